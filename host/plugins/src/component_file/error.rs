//! Errors of files that should be providers, with remedies.

use damper_core::manifest::ManifestError;
use semver::Version;

use super::structure::Excess;
use super::{EXPORT, HOST_CONTRACT, MAX_COMPONENT_BYTES, host_contracts};

/// A file that is no provider this host can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentFileError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_COMPONENT_BYTES`].
    #[error("{file} is larger than {} MiB, the largest component that is allowed: build it in release mode and without debug information", MAX_COMPONENT_BYTES >> 20)]
    TooLarge {
        /// The file.
        file: String,
    },
    /// The file is not WebAssembly.
    #[error("{file} is not WebAssembly: give the .wasm file that `damper build` made")]
    NotWasm {
        /// The file.
        file: String,
    },
    /// The file is a core module, from which a component was still to be made.
    #[error("{file} is a core WebAssembly module, not a component: build it with `damper build`, or for wasm32-wasip2")]
    CoreModule {
        /// The file.
        file: String,
    },
    /// The file begins like a component and cannot be read on.
    #[error("{file} is a damaged component ({problem}): build it again with `damper build`")]
    Damaged {
        /// The file.
        file: String,
        /// The problem, and its place in the file.
        problem: String,
    },
    /// The file describes more than any compiler makes, and would exhaust the host.
    #[error(
        "{file} would cost too much to compile or to run ({excess}): build it with the usual compiler of its language"
    )]
    TooCostly {
        /// The file.
        file: String,
        /// The quantity that is too large.
        excess: Excess,
    },
    /// A component of another world: it lacks the export, or the contract, of a provider.
    #[error(
        "{file} is a component, but not a provider: {lacks}; write it with damper-sdk (`damper new` starts one) or against wit/provider.wit"
    )]
    AnotherWorld {
        /// The file.
        file: String,
        /// The missing part.
        lacks: String,
    },
    /// A provider that asks for more than the host offers.
    #[error("{plugin} imports interfaces that the host does not offer: {}; send requests with the http interface of damper:provider, and use no sockets and no wasi:http", list(.imports))]
    ForbiddenImports {
        /// Name and version, or the file.
        plugin: String,
        /// The imports.
        imports: Vec<String>,
    },
    /// A provider built against a contract that this host does not know yet.
    #[error(
        "{plugin} is built against the contract damper:provider {contract}, and this host runs {}: update damper, or build the provider with an SDK for {}",
        host_contracts(),
        HOST_CONTRACT
    )]
    NewerContract {
        /// Name and version, or the file.
        plugin: String,
        /// The contract it was built against.
        contract: Version,
    },
    /// A provider built against a contract that this host does not know any more.
    #[error(
        "{plugin} is built against the contract damper:provider {contract}, and this host runs {}: build the provider again with an SDK for {}",
        host_contracts(),
        HOST_CONTRACT
    )]
    OlderContract {
        /// Name and version, or the file.
        plugin: String,
        /// The contract it was built against.
        contract: Version,
    },
    /// There is no manifest inside.
    #[error("{file} has no manifest inside: build it with `damper build`, which puts provider.toml into it")]
    NoManifest {
        /// The file.
        file: String,
    },
    /// The manifest inside is not valid.
    #[error("the manifest of {file}: {source}")]
    Manifest {
        /// The file.
        file: String,
        /// The problem.
        source: ManifestError,
    },
}

impl ComponentFileError {
    pub(super) fn no_export(file: &str, exports: &[String]) -> Self {
        let lacks = if exports.is_empty() {
            format!("it exports nothing, and should export {EXPORT}")
        } else {
            format!("it exports {} instead of {EXPORT}", list(exports))
        };
        Self::AnotherWorld { file: file.to_owned(), lacks }
    }
}

/// Names from a file, quoted so that nothing in them reaches a terminal as it is; the first few of many.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    const CHARACTERS: usize = 100;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("{:?}", name.chars().take(CHARACTERS).collect::<String>()))
        .collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
