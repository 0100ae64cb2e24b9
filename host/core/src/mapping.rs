//! The port to the source of batches: the Kinesis event source mapping, or the local poller.

use async_trait::async_trait;

/// Reads and changes how a provider's batches are fed. Changes may take a while to apply.
#[async_trait]
pub trait Mapping: Send + Sync {
    /// The mapping as it is now.
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError>;

    /// Ask for a change; it holds from a later batch on.
    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError>;
}

/// The state of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingState {
    /// The most entries of one batch.
    pub batch_size: u32,
    /// Whether batches are fed at all.
    pub enabled: bool,
    /// Whether an earlier change has yet to apply; further changes are refused meanwhile.
    pub pending: bool,
}

/// A change of a mapping; `None` leaves a value as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MappingChange {
    /// The most entries of one batch, 1 to 10,000.
    pub batch_size: Option<u32>,
    /// Whether batches are fed.
    pub enabled: Option<bool>,
}

/// Why a mapping was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// There is no mapping for this provider.
    #[error("the provider {0:?} has no mapping: feed its stream once, or deploy its stack")]
    Unknown(String),
    /// An earlier change has yet to apply.
    #[error("the mapping of {0:?} is still changing: try again later")]
    Pending(String),
    /// The store or service behind the mapping failed.
    #[error("the mapping of {provider:?} cannot be reached: {message}")]
    Failed {
        /// The provider.
        provider: String,
        /// The error of the store or service.
        message: String,
    },
}
