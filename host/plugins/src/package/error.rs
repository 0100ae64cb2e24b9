//! Errors of packages, with remedies.

use damper_core::manifest::ManifestError;

/// A package, or a provider in it, that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// There is no package.
    #[error("{folder} is not a package: it has no folder `providers`; deploy a zip that `damper package` wrote")]
    NoPackage {
        /// The folder.
        folder: String,
    },
    /// The folder of the providers cannot be read.
    #[error("cannot list the providers in {folder}: {source}")]
    Listing {
        /// The folder.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The provider is not in the package.
    #[error(
        "the provider {provider} is not in this package: run `damper package` with all providers, and deploy the new zip"
    )]
    NotPackaged {
        /// The provider.
        provider: String,
    },
    /// A file of the provider cannot be read.
    #[error("the provider {provider} cannot be read from {file}: {source}; package it again with `damper package`")]
    Unreadable {
        /// The provider.
        provider: String,
        /// The file.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The provider's description is not what was written.
    #[error("the provider {provider} is damaged in {file} ({problem}): package it again with `damper package`")]
    Damaged {
        /// The provider.
        provider: String,
        /// The file.
        file: String,
        /// The problem.
        problem: String,
    },
    /// The provider's code is not what was packaged.
    #[error(
        "the code of {provider} has changed since it was packaged: {file} has the digest {found} instead of {packaged}; package it again with `damper package`"
    )]
    AnotherDigest {
        /// The provider.
        provider: String,
        /// The file.
        file: String,
        /// The digest it was packaged with.
        packaged: String,
        /// The digest it has.
        found: String,
    },
    /// The code was compiled by another release of the engine.
    #[error(
        "{provider} was compiled by {packaged}, and this program runs {host}: build the zip again with one `damper package`, which takes `bootstrap` and the providers from the same release"
    )]
    AnotherEngine {
        /// The provider.
        provider: String,
        /// The engine that compiled it.
        packaged: String,
        /// The engine here.
        host: String,
    },
    /// The code was compiled for another architecture.
    #[error(
        "{provider} was compiled for {packaged}, and this machine is {host}: deploy the zip of the function's architecture"
    )]
    AnotherArchitecture {
        /// The provider.
        provider: String,
        /// The architecture it was compiled for.
        packaged: String,
        /// The architecture here.
        host: &'static str,
    },
    /// The code was compiled by the same engine with other settings.
    #[error(
        "{provider} was compiled by damper {packaged} with other settings than those of this program's damper {host}: build the zip again with one `damper package`"
    )]
    AnotherDamper {
        /// The provider.
        provider: String,
        /// The version that compiled it.
        packaged: String,
        /// The version here.
        host: &'static str,
    },
    /// The manifest is not valid for this program.
    #[error("the manifest of {provider}: {source}")]
    Manifest {
        /// The provider.
        provider: String,
        /// The problem.
        source: Box<ManifestError>,
    },
    /// The component does not compile.
    #[error("{provider} does not compile for {architecture}: {problem}")]
    NotCompiled {
        /// The provider.
        provider: String,
        /// The architecture.
        architecture: &'static str,
        /// The compiler's error.
        problem: String,
    },
}
