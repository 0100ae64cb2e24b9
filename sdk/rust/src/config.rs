//! The manifest's `[config]`: what the operator may set for this provider.

use crate::{Failure, backend};

/// A key as the operator set it, or its default; `None` where the manifest does not list the key.
pub fn get(key: &str) -> Option<String> {
    backend::config_get(key)
}

/// A key without which the provider cannot work. A default of `""` in the manifest means: the operator must set it.
///
/// # Errors
///
/// `other("config")`, with what to set, where the key is not listed or empty.
///
/// ```
/// use damper_sdk::prelude::*;
///
/// # let mut api = damper_sdk::testing::Api::new();
/// # api.config("user_agent", "");
/// # api.run(|| {
/// let failure = config::required("user_agent").unwrap_err();
/// assert_eq!(failure.kind, FailureKind::Other("config".to_owned()));
/// # });
/// ```
pub fn required(key: &str) -> Result<String, Failure> {
    match get(key) {
        Some(value) if !value.trim().is_empty() => Ok(value),
        Some(_) => Err(Failure::other(
            "config",
            format!("`{key}` is not set; set it in this provider's config in damper.toml"),
        )),
        None => Err(Failure::other(
            "config",
            format!("`{key}` is not listed under [config] in provider.toml; add it there"),
        )),
    }
}

/// A key that switches something: `true`, or anything else (also nothing) for false.
pub fn flag(key: &str) -> bool {
    get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Api;

    #[test]
    fn a_missing_key_says_where_it_belongs() {
        let mut api = Api::new();
        api.config("empty", " ").config("set", "x").config("on", "True");
        api.run(|| {
            assert!(required("empty").unwrap_err().message.contains("damper.toml"));
            assert!(required("absent").unwrap_err().message.contains("provider.toml"));
            assert_eq!(required("set").unwrap(), "x");
            assert!(flag("on"));
            assert!(!flag("set"));
            assert!(!flag("absent"));
        });
    }
}
