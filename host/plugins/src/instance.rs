//! The host's side of one instance of a component: the data of its store, and the functions that it may call.

pub(crate) mod host_functions;
mod provider_cache;
mod store_data;
pub(crate) mod wasi;

pub use provider_cache::CachedValues;
pub(crate) use provider_cache::ProviderCache;
pub(crate) use store_data::{SharedContext, StoreData};
