//! Registries for components that others wrote, built once from their pinned Go modules and run on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::go::GoProgram;
use crate::server::free_port;
use crate::tied::TiedProcess;

/// Google's go-containerregistry: a registry in memory, and a client (`crane digest`, `crane blob`).
const CRANE: GoProgram = GoProgram {
    name: "crane",
    package: "github.com/google/go-containerregistry/cmd/crane",
    version: "v0.22.1",
    patience: "half a minute",
};
/// CNCF's own registry.
const DISTRIBUTION: GoProgram = GoProgram {
    name: "distribution",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
    patience: "two minutes",
};
const START_TIME: Duration = Duration::from_secs(60);

/// A running registry, with its data in a folder of its own. It ends with this value, and with this process.
#[derive(Debug)]
pub struct RunningRegistry {
    /// Where it listens: `127.0.0.1:40123`.
    pub address: String,
    _process: TiedProcess,
}

/// The program `crane`. `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If Go is there and it cannot be had, in CI.
#[must_use]
pub fn crane() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    CRANE.get(&PROGRAM)
}

/// The program of CNCF's registry. `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If Go is there and it cannot be had, in CI.
#[must_use]
pub fn distribution() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    DISTRIBUTION.get(&PROGRAM)
}

impl RunningRegistry {
    /// Starts `crane registry serve`, which keeps its contents in memory.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_crane(program: &Path) -> Result<Self, String> {
        Self::start(program, |command, address| {
            command.args(["registry", "serve", "--address", address]);
        })
    }

    /// Starts CNCF's registry with its data in this folder.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_distribution(program: &Path, folder: &Path) -> Result<Self, String> {
        let config = folder.join("registry.yml");
        Self::start(program, |command, address| {
            let data = folder.join("data");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {data:?}}}}}\nhttp: {{addr: {address:?}}}\n"
            );
            // If this fails, the registry says that it has no configuration.
            let _ = fs::write(&config, text);
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        })
    }

    fn start(program: &Path, configure: impl FnOnce(&mut std::process::Command, &str)) -> Result<Self, String> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut process = TiedProcess::start(program, |command| configure(command, &address))?;
        process.wait_for_port(port, START_TIME)?;
        Ok(Self { address, _process: process })
    }
}
