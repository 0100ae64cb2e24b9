//! A small memory that outlives a call: a session login, a token.
//!
//! Each call runs in a fresh instance, so a `static` forgets. This does not, but it may at any time: it is memory of
//! one process, bounded (keys of 256 bytes, values of 64 KiB, 1 MiB in all; what is larger is not kept), and cleared
//! whenever a call fails as `unauthorized`, so that an expired login is made anew.
//!
//! ```
//! use damper_sdk::prelude::*;
//! use std::time::Duration;
//!
//! fn token() -> Result<String, Failure> {
//!     cache::text_or("token", Duration::from_secs(600), || {
//!         let answer = http::post("https://api.example.org/login").credential("login").send()?.ok()?;
//!         Ok(answer.json::<json::Value>()?.str_at("/token")?.to_owned())
//!     })
//! }
//! # let mut api = damper_sdk::testing::Api::new();
//! # api.post("https://api.example.org/login").credential("login").answers(200, r#"{"token": "t"}"#);
//! # assert_eq!(api.run(|| [token(), token()]), [Ok("t".to_owned()), Ok("t".to_owned())]);
//! ```

use std::time::Duration;

use crate::{Failure, backend};

/// The value that [`put`] stored under a key, if it is still there.
pub fn get(key: &str) -> Option<Vec<u8>> {
    backend::cache_get(key)
}

/// Keeps a value for this provider's later calls, at most for `ttl`.
pub fn put(key: &str, value: impl AsRef<[u8]>, ttl: Duration) {
    backend::cache_put(key, value.as_ref(), millis(ttl));
}

/// Forgets the value of a key, if there is one: for instance a session that the API no longer knows.
pub fn remove(key: &str) {
    backend::cache_remove(key);
}

/// The text kept under a key, or what `make` gives, kept from now on.
///
/// # Errors
///
/// Those of `make`; then nothing is kept.
pub fn text_or(key: &str, ttl: Duration, make: impl FnOnce() -> Result<String, Failure>) -> Result<String, Failure> {
    if let Some(kept) = get(key).and_then(|bytes| String::from_utf8(bytes).ok()) {
        return Ok(kept);
    }
    let value = make()?;
    put(key, &value, ttl);
    Ok(value)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
