//! Making what a package holds of a provider.

use std::fs;
use std::io;
use std::path::Path;

use super::described::Described;
use super::{Architecture, CODE, DESCRIPTION, PROVIDERS, PackageError};
use crate::component_file::{ComponentFile, digest};
use crate::engine::{self, CodeSettings};

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Its path within the package, with `/`.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Compiles a component for an architecture's baseline, whatever machine this is. The same component gives the same bytes.
///
/// # Errors
/// Where the component does not compile.
pub fn compile(file: &ComponentFile, architecture: Architecture) -> Result<Vec<u8>, PackageError> {
    CodeSettings::linux(architecture).compile(&file.bytes).map_err(|error| PackageError::NotCompiled {
        provider: file.manifest.name.clone(),
        architecture: architecture.name(),
        problem: format!("{error:#}"),
    })
}

/// The files of a provider in a package: of its component, its code as [`compile`] made it for the same architecture, and the
/// operator's table `[providers.NAME]` as TOML.
#[must_use]
pub fn files(file: &ComponentFile, architecture: Architecture, code: Vec<u8>, settings: &str) -> [PackagedFile; 2] {
    let code_settings = CodeSettings::linux(architecture);
    let described = Described {
        component: file.digest.clone(),
        artifact: digest(&code),
        damper: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine::version(),
        architecture: code_settings.architecture().to_owned(),
        code: code_settings.key(),
        manifest: file.manifest_text.clone(),
        settings: settings.to_owned(),
    };
    // A struct of texts has one JSON form, and no way to fail.
    let mut description = serde_json::to_vec_pretty(&described).unwrap_or_default();
    description.push(b'\n');
    let path = |name| format!("{PROVIDERS}/{}/{name}", file.manifest.name);
    [PackagedFile { path: path(CODE), bytes: code }, PackagedFile { path: path(DESCRIPTION), bytes: description }]
}

/// Writes files of a package into a folder.
///
/// # Errors
/// Where they cannot be written.
pub fn write(folder: &Path, files: &[PackagedFile]) -> io::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, &file.bytes)?;
    }
    Ok(())
}
