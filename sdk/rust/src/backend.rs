//! The host's part: the component's imports in wasm, the scripted API of [`crate::testing`] natively. Everything above
//! this line is the same in both.

#[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
pub(crate) mod wasm;

#[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
pub(crate) use crate::testing::backend::{cache_get, cache_put, cache_remove, config_get, log, send, send_all, sign};
#[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
pub(crate) use wasm::{cache_get, cache_put, cache_remove, config_get, log, send, send_all, sign};

/// A request ready to be sent: the contract's shape, without its generated types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) credentials: Vec<String>,
    pub(crate) timeout_ms: Option<u64>,
}
