//! Errors of credentials that cannot be set up.

use crate::grants::OriginError;

/// Why a credential cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A secret is bound to a credential that the manifest does not name.
    #[error("a secret is bound to {name:?}, which is not a credential of the provider: remove it, or correct the name")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The secret does not have the form its kind needs.
    #[error("the secret of the credential {name:?} {problem}")]
    BadSecret {
        /// The credential's name.
        name: String,
        /// The problem; never the secret.
        problem: &'static str,
    },
    /// One of the hosts that may receive the secret is none.
    #[error("the hosts of the credential {name:?}: {source}")]
    BadHost {
        /// The credential's name.
        name: String,
        /// The problem.
        source: OriginError,
    },
    /// A setting that its kind needs beside the secret is missing, or cannot be used.
    #[error("the credential {name:?} {problem}")]
    BadUse {
        /// The credential's name.
        name: String,
        /// The problem.
        problem: String,
    },
}
