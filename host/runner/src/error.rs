//! Why a provider cannot run, or does not go on.

use damper_core::ledger::{LedgerError, OpenedBy};
use damper_core::pipeline::AdaptError;
use damper_local::DatabaseError;
use damper_local::folder::FolderError;
use damper_local::poller::PollerError;
use jiff::Timestamp;

/// Why a provider cannot run, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A component cannot be loaded.
    #[error("the provider {provider} cannot be loaded: {message}")]
    Load {
        /// Its name.
        provider: String,
        /// Why not.
        message: String,
    },
    /// A provider's breaker is open.
    #[error("{provider} has been stopped since {since:.0} by {by}: {reason}")]
    Stopped {
        /// The provider.
        provider: String,
        /// Since when.
        since: Timestamp,
        /// The cause of the stop.
        by: OpenedBy,
        /// Why.
        reason: String,
    },
    /// The sink or the ledger failed while a provider ran.
    #[error("{provider} cannot continue: {message}")]
    Storage {
        /// The provider.
        provider: String,
        /// The message of the failed store.
        message: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The control item or the mapping was not read or changed.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// The output folder failed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The poller failed.
    #[error(transparent)]
    Poller(#[from] PollerError),
}

impl RunError {
    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Stopped { provider, by: OpenedBy::Operator, .. } => {
                Some(format!("`damper resume {provider}` ends the pause; then run again"))
            }
            Self::Stopped { provider, .. } => {
                Some(format!("fix the cause, then `damper resume {provider}` and run again"))
            }
            Self::Storage { .. } => {
                Some("check the disk and the permissions, then run again; nothing is lost".to_owned())
            }
            Self::Folder(FolderError::NotMade { .. }) => Some("name another `output` in damper.toml".to_owned()),
            Self::Ledger(_) => {
                Some("check the disk and the permissions of the database, then run again; nothing is lost".to_owned())
            }
            Self::Load { .. } | Self::Database(_) | Self::Adapt(_) | Self::Folder(_) | Self::Poller(_) => None,
        }
    }
}
