//! Secrets in the environment. No other module of this crate reads it.
#![allow(clippy::disallowed_methods, reason = "the one module of this crate that reads the environment")]

use std::env;

/// The text of an environment variable that a damper.toml names as the home of a secret. Empty is absent.
///
/// # Errors
/// If the value is no UTF-8.
pub(crate) fn secret(name: &str) -> Result<Option<String>, NotUtf8> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(NotUtf8),
    }
}

/// A value that is no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8;
