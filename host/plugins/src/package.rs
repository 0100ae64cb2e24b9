//! Providers in a deployment package: compiled ahead of time, each with its manifest and what the operator set for it.
//!
//! ```text
//! bootstrap
//! providers/NAME/provider.json    the provider's component and settings, by whom it was compiled, and the digests
//! components/DIGEST.cwasm         a compiled component, as the engine maps it; providers share it
//! ```
//!
//! Files are read only when they are needed: opening a package reads no provider, [`Package::provider`] reads one
//! provider's `provider.json`, and its code is read (once, for its digest) and mapped at its first fetch. A package
//! with five hundred providers starts as fast as one with a single provider. `damper package` makes the zip around a
//! package; this module does not.

pub(crate) mod artifact;
mod description;
mod error;
#[cfg(feature = "compile")]
mod write;

use std::io;
use std::path::{Path, PathBuf};

use damper_core::manifest::{Manifest, is_name};

pub use crate::engine::Architecture;
use artifact::Artifact;
use description::ProviderDescription;
pub use error::PackageError;
#[cfg(feature = "compile")]
pub use write::{PackagedFile, compile, description_path, files, is_current, write};

/// The folder of the providers, within a package.
const PROVIDERS: &str = "providers";
/// The file that describes a provider.
const DESCRIPTION: &str = "provider.json";
/// The folder of the compiled components, within a package.
const COMPONENTS: &str = "components";
/// The extension of compiled components.
const CODE_EXTENSION: &str = "cwasm";

/// A package that was unpacked into a folder.
///
/// ```
/// # #[cfg(feature = "compile")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::path::Path;
/// # use damper_plugins::component_file::ComponentFile;
/// # use damper_plugins::package::{self, Architecture, Package, PackageError};
/// # let folder = tempfile::tempdir()?;
/// # let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/components/sdk-0.1.0-rust.wasm"));
/// let file = ComponentFile::read(path)?;
/// let code = b"as `package::compile` makes it".to_vec();
/// let files = package::files("acme-life", &file, Architecture::Aarch64, code, "hosts = \"manifest\"\n");
/// assert!(files[0].path.starts_with("components/"));
/// assert_eq!(files[1].path, "providers/acme-life/provider.json");
/// package::write(folder.path(), &files)?;
///
/// let package = Package::open(folder.path())?;
/// assert_eq!(package.names()?, ["acme-life"]);
/// assert!(matches!(package.provider("gleif"), Err(PackageError::NotPackaged { .. })));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "compile"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct Package {
    folder: PathBuf,
}

/// A provider of a package.
#[derive(Debug, Clone)]
pub struct PackagedProvider {
    /// Its component's manifest, as the author wrote it, with the provider's name.
    pub manifest: Manifest,
    /// The operator's table `[providers.NAME]` as TOML, without its header; empty if nothing was set.
    pub settings: String,
    pub(crate) artifact: Artifact,
}

impl Package {
    /// The package in this folder, beside `bootstrap`. Its content is not checked.
    ///
    /// # Errors
    /// If the folder holds no package.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        if folder.join(PROVIDERS).is_dir() {
            return Ok(Self { folder: folder.to_path_buf() });
        }
        Err(PackageError::NoPackage { folder: folder.display().to_string() })
    }

    /// The names of its providers, in order.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, PackageError> {
        let providers = self.folder.join(PROVIDERS);
        let unreadable = |source| PackageError::Listing { folder: providers.display().to_string(), source };
        let mut names = Vec::new();
        for entry in providers.read_dir().map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            names.extend(name.to_str().filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// A provider by its name: its description is read, not its code.
    ///
    /// # Errors
    /// If it is not in the package, cannot be read, or was compiled for another engine or another machine.
    pub fn provider(&self, name: &str) -> Result<PackagedProvider, PackageError> {
        let not_packaged = || PackageError::NotPackaged { provider: printable(name) };
        // The name comes from the invocation. It must not lead out of the folder.
        if !is_name(name) {
            return Err(not_packaged());
        }
        let path = self.folder.join(PROVIDERS).join(name).join(DESCRIPTION);
        let described = match ProviderDescription::read(name, &path) {
            Err(PackageError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(not_packaged());
            }
            described => described?,
        };
        described.check(name)?;
        let manifest = Manifest::parse(&described.manifest)
            .map_err(|source| PackageError::Manifest { provider: name.to_owned(), source: Box::new(source) })?;
        let code = code_path(&described.component).ok_or_else(|| PackageError::Damaged {
            provider: name.to_owned(),
            file: path.display().to_string(),
            problem: "its component is no SHA-256".to_owned(),
        })?;
        let (manifest, settings) = (manifest.for_provider(name), described.settings.clone());
        Ok(PackagedProvider { manifest, settings, artifact: Artifact::new(name, self.folder.join(code), described) })
    }
}

impl PackagedProvider {
    /// The SHA-256 of the component's file before it was compiled, as `sha256:...`.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.artifact.component()
    }

    /// Reads the compiled code and compares its digest, as the first fetch does.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was packaged.
    pub fn verify(&self) -> Result<(), PackageError> {
        self.artifact.check().map(drop)
    }
}

/// The path of a component's compiled code in a package. None: the digest is none, and must not become a path.
fn code_path(digest: &str) -> Option<String> {
    let hexadecimal = digest.strip_prefix("sha256:")?;
    let is_digest =
        hexadecimal.len() == 64 && hexadecimal.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then(|| format!("{COMPONENTS}/{hexadecimal}.{CODE_EXTENSION}"))
}

/// A name that may be anything, for a message.
fn printable(name: &str) -> String {
    if is_name(name) { name.to_owned() } else { format!("{:?}", name.chars().take(64).collect::<String>()) }
}
