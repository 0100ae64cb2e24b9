//! The errors of packaging, each with its place and a hint.

use std::io;
use std::path::{Path, PathBuf};

use damper_plugins::settings::BindingError;
use damper_toolchain::ToolchainError;

/// Why something cannot be packaged.
#[derive(Debug, thiserror::Error)]
pub enum PackagingError {
    /// A program that builds failed, or cannot be used.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// A component, and what the operator grants it, do not go together.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A provider, a program or a folder cannot be used.
    #[error("{what}")]
    Input {
        /// The problem.
        what: String,
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// The hint that goes with the error.
        hint: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action}: {source}")]
    File {
        /// The action that failed.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {action}: {message}")]
    Unexpected {
        /// The action that failed.
        action: &'static str,
        /// The error.
        message: String,
    },
}

impl PackagingError {
    /// The place of the error, unless the message already names it.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Toolchain(error) => error.place().map(|path| path.display().to_string()),
            Self::Binding(error) => error.place(),
            Self::Input { path, .. } => path.as_ref().map(|path| path.display().to_string()),
            Self::File { path, .. } => Some(path.display().to_string()),
            Self::Unexpected { .. } => None,
        }
    }

    /// The hint, unless the message already says what to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Toolchain(error) => error.hint(),
            Self::Binding(error) => Some(error.hint()),
            Self::Input { hint, .. } => Some(hint.clone()),
            Self::File { .. } | Self::Unexpected { .. } => None,
        }
    }

    pub(crate) fn input(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: None, hint: hint.into() }
    }

    pub(crate) fn input_in(path: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: Some(path.to_path_buf()), hint: hint.into() }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn cannot(action: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unexpected { action, message: error.to_string() }
    }
}
