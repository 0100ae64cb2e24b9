//! The providers of the package, each with its pipeline, made when it is first needed: what a package holds that nobody asks for
//! costs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use damper_core::pipeline::{Pipeline, Stores};
use damper_plugins::package::{Package, PackageError};
use damper_plugins::{HostError, HostOptions, LoadError, PluginHost};
use tokio::sync::OnceCell;

/// Where pipelines come from.
#[async_trait]
pub(crate) trait Providers: Send + Sync {
    /// The names of all providers.
    fn names(&self) -> Result<Vec<String>, ProviderError>;

    /// A provider's pipeline, the same for every invocation of this process.
    async fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, ProviderError>;
}

/// A provider that cannot be worked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It is not in the package, or cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The engine does not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What the operator set does not fit it.
    #[error("the settings of {provider} in this package cannot be used: {message}")]
    Settings { provider: String, message: String },
    /// Its credentials or grants cannot be set up.
    #[error("{provider} cannot be loaded: {source}")]
    Load { provider: String, source: LoadError },
}
