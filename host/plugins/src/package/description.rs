//! `provider.json`: the description of a packaged provider and its compiled code.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::PackageError;
use crate::engine::{CodeSettings, engine_version};

/// The longest description that is read, in bytes: a manifest and the operator's table have 64 KiB and 1 MiB at most.
const MAX_DESCRIPTION_BYTES: u64 = 4 << 20;

/// A packaged provider.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProviderDescription {
    /// The digest of the component's file.
    pub(super) component: String,
    /// The digest of the compiled code's file.
    pub(super) artifact: String,
    /// Damper's version.
    pub(super) damper: String,
    /// The engine's name and version.
    pub(super) engine: String,
    /// The architecture of the machines that run the code.
    pub(super) architecture: String,
    /// The key of everything that decides how compiled code looks, engine and architecture included.
    pub(super) code: String,
    /// The manifest's text.
    pub(super) manifest: String,
    /// The operator's table.
    pub(super) settings: String,
    /// The bytes that the host stores for one instance; none in packages that were made before this was counted.
    #[serde(default)]
    pub(super) instance_bytes: u64,
}

impl ProviderDescription {
    pub(super) fn read(provider: &str, path: &Path) -> Result<Self, PackageError> {
        let file = || path.display().to_string();
        let mut text = Vec::new();
        File::open(path)
            .and_then(|opened| opened.take(MAX_DESCRIPTION_BYTES).read_to_end(&mut text))
            .map_err(|source| PackageError::Unreadable { provider: provider.to_owned(), file: file(), source })?;
        serde_json::from_slice(&text).map_err(|error| PackageError::Damaged {
            provider: provider.to_owned(),
            file: file(),
            problem: error.to_string(),
        })
    }

    /// Checks that this program's engine, on this machine, runs the code.
    pub(super) fn check(&self, provider: &str) -> Result<(), PackageError> {
        let provider = || provider.to_owned();
        let Some(host) = CodeSettings::host().filter(|host| host.architecture() == self.architecture) else {
            return Err(PackageError::AnotherArchitecture {
                provider: provider(),
                packaged: self.architecture.clone(),
                host: std::env::consts::ARCH,
            });
        };
        let engine = engine_version();
        if engine != self.engine {
            return Err(PackageError::AnotherEngine {
                provider: provider(),
                packaged: self.engine.clone(),
                host: engine,
            });
        }
        if host.key() == self.code {
            return Ok(());
        }
        Err(PackageError::AnotherDamper {
            provider: provider(),
            packaged: self.damper.clone(),
            host: env!("CARGO_PKG_VERSION"),
        })
    }
}
