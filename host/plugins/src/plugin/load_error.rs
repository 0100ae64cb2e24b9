//! The reasons for which a provider cannot be loaded.

use crate::credentials::CredentialError;
use crate::grants::OriginError;
use crate::http_client::ProxyError;

/// A provider that cannot be loaded as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A credential cannot be set up.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A granted host is no host name.
    #[error("the granted hosts: {0}")]
    Host(#[from] OriginError),
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A setting without a default was not given.
    #[error("the setting {key:?} has no default: set it in damper.toml under [providers.{provider}.config]")]
    ConfigMissing {
        /// The provider.
        provider: String,
        /// The key.
        key: String,
    },
    /// A setting was given that the manifest does not list.
    #[error(
        "{provider} has no setting {key:?}: remove it from [providers.{provider}.config], or correct it; it has {known}"
    )]
    ConfigUnknown {
        /// The provider.
        provider: String,
        /// The key.
        key: String,
        /// The keys there are.
        known: String,
    },
}
