//! Makes the files of a provider in a package.

use std::fs;
use std::io;
use std::path::Path;

use super::description::ProviderDescription;
use super::error::PackageError;
use super::{DESCRIPTION, PROVIDERS, code_path};
use crate::component_file::ComponentFile;
use crate::digest::digest;
use crate::engine::compiler::Compiler;
use crate::engine::{Architecture, CodeSettings, engine_version};

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedFile {
    /// Its path within the package, with `/`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Compiles a component for an architecture's baseline, on any machine. The same component gives the same bytes.
///
/// # Errors
/// If the component does not compile.
pub fn compile(compiler: &Compiler, file: &ComponentFile, architecture: Architecture) -> Result<Vec<u8>, PackageError> {
    compiler.compile(&CodeSettings::linux(architecture), &file.bytes).map_err(|problem| PackageError::NotCompiled {
        provider: file.manifest.name.clone(),
        architecture: architecture.name(),
        problem,
    })
}

/// The files of a provider in a package, made from its component, its code as [`compile`] made it for the same
/// architecture, and the operator's table `[providers.NAME]` as TOML: the compiled component, which is the same for
/// each of its providers, and the provider's description.
#[must_use]
pub fn files(
    provider: &str,
    file: &ComponentFile,
    architecture: Architecture,
    code: Vec<u8>,
    settings: &str,
) -> [PackagedFile; 2] {
    let code_settings = CodeSettings::linux(architecture);
    let described = ProviderDescription {
        component: file.digest.clone(),
        artifact: digest(&code),
        damper: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine_version(),
        architecture: code_settings.architecture().to_owned(),
        code: code_settings.key(),
        manifest: file.manifest_text.clone(),
        settings: settings.to_owned(),
        instance_bytes: file.instance_bytes,
    };
    // A struct of texts has one JSON form, and no way to fail.
    let mut description = serde_json::to_vec_pretty(&described).unwrap_or_default();
    description.push(b'\n');
    let described = PackagedFile { path: description_path(provider), bytes: description };
    // A component file's digest is always a path.
    [PackagedFile { path: code_path(&file.digest).unwrap_or_default(), bytes: code }, described]
}

/// The path of a provider's description in a package.
#[must_use]
pub fn description_path(provider: &str) -> String {
    format!("{PROVIDERS}/{provider}/{DESCRIPTION}")
}

/// Whether a description in a package of this architecture matches this component and this table, compiled as
/// [`compile`] would do it. Nothing is compiled.
#[must_use]
pub fn is_current(description: &[u8], file: &ComponentFile, architecture: Architecture, settings: &str) -> bool {
    let described = serde_json::from_slice::<ProviderDescription>(description);
    described.is_ok_and(|described| {
        described.component == file.digest
            && described.settings == settings
            && described.damper == env!("CARGO_PKG_VERSION")
            && described.code == CodeSettings::linux(architecture).key()
    })
}

/// Writes files of a package into a folder.
///
/// # Errors
/// If they cannot be written.
pub fn write(folder: &Path, files: &[PackagedFile]) -> io::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, &file.bytes)?;
    }
    Ok(())
}
