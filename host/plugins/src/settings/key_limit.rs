//! The daily quotas of keys, and the names under which their requests are counted.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use sha2::{Digest, Sha256};

use super::binder::Binder;
use super::error::BindingError;
use super::shape::KeySettings;
use crate::digest::hexadecimal;
use crate::grants::KeyLimit;

/// The bytes of a digest that name a key: enough that no two places of a provider share a name.
const NAME_BYTES: usize = 16;

impl KeySettings {
    pub(super) fn is_limited(&self) -> bool {
        self.daily_quota.is_some()
    }

    /// Its limit, after [`Binder::check_key_limits`].
    pub(super) fn limit(&self) -> Option<KeyLimit> {
        let daily_quota = NonZeroU64::new(u64::try_from(self.daily_quota?).ok()?)?;
        Some(KeyLimit { daily_quota, counted_as: self.counted_as() })
    }

    /// The name under which its requests are counted: a digest of the name of its place. The key itself is no part of
    /// it, so that nobody who can read the counts can test guesses of the key; and a key that is replaced in its place
    /// goes on from the count of the day, as it does at an API that counts by account.
    fn counted_as(&self) -> String {
        let Self { env, file, secret, secret_key, .. } = self;
        let file = file.as_ref().map(|path| path.to_string_lossy());
        let parts = [("env", env.as_deref()), ("file", file.as_deref()), ("secret", secret.as_deref())];
        let parts = parts.into_iter().chain([("secret_key", secret_key.as_deref())]);
        let mut digest = Sha256::new();
        for (name, part) in parts.filter_map(|(name, part)| Some((name, part?))) {
            digest.update(format!("{name} {} {part}", part.len()));
        }
        hexadecimal(digest.finalize().get(..NAME_BYTES).unwrap_or_default())
    }
}

impl Binder<'_> {
    /// Refuses quotas that are none, and a key that is counted in one place and not, or otherwise, in another.
    pub(super) fn check_key_limits(&self) -> Result<(), BindingError> {
        let mut seen: BTreeMap<String, (Option<i64>, &str)> = BTreeMap::new();
        for (name, settings) in &self.settings.credentials {
            for key in settings.keys() {
                if let Some(quota) = key.daily_quota.filter(|quota| *quota < 1) {
                    let problem = format!("has the `daily_quota` {quota}");
                    return Err(self.wrong_limit(name, problem, "it must be at least 1; for no quota, remove it"));
                }
                let (quota, other) = seen.entry(key.counted_as()).or_insert((key.daily_quota, name));
                if *quota != key.daily_quota {
                    let problem =
                        format!("has a key with another `daily_quota` than the same key of credentials.{other}");
                    let hint = "the requests of a key are counted together: give it the same `daily_quota` everywhere";
                    return Err(self.wrong_limit(name, problem, hint));
                }
            }
        }
        Ok(())
    }

    fn wrong_limit(&self, credential: &str, problem: String, hint: &str) -> BindingError {
        self.setting(&format!("credentials.{credential}"), problem, hint)
    }
}
