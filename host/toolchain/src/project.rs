//! A provider's project: its folder, its language and its manifest, checked before anything is compiled.

use std::fs;
use std::path::{Path, PathBuf};

use damper_core::manifest::Manifest;
use damper_plugins::component_file::{
    ComponentFile, HOST_CONTRACT, SdkStamp, embed_manifest, embed_stamp, strip_part_names,
};

use crate::error::ToolchainError;
use crate::files::replace_file;
use crate::language::Language;

const MANIFEST: &str = "provider.toml";

/// A provider's project.
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// The language that it is written in.
    pub language: Language,
    manifest_text: String,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Project {
    /// Read and check a project's manifest.
    ///
    /// # Errors
    /// If there is no project, or its manifest is not valid.
    pub fn read(folder: &Path) -> Result<Self, ToolchainError> {
        let folder = folder.strip_prefix(".").unwrap_or(folder);
        let path = folder.join(MANIFEST);
        if !path.is_file() {
            let hint = "name a provider's folder, which contains provider.toml; `damper new NAME` creates one";
            return Err(ToolchainError::input_in(&path, "there is no manifest", hint));
        }
        let language = Language::of(folder)?;
        let manifest_text = fs::read_to_string(&path).map_err(ToolchainError::file("read the manifest", &path))?;
        let manifest = Manifest::parse(&manifest_text)
            .map_err(|source| ToolchainError::Manifest { path, source: Box::new(source) })?;
        Ok(Self { folder: folder.to_path_buf(), language, manifest_text, manifest })
    }

    /// Whether a folder holds a provider's project.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(MANIFEST).is_file() && Language::of(folder).is_ok()
    }

    /// The name of the component's file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.wasm", self.manifest.name)
    }

    /// Embed the manifest in the compiled file, check the component, and write it. Returns its size in bytes.
    pub(crate) fn assemble(&self, wasm: &Path, output: &Path) -> Result<u64, ToolchainError> {
        let component = fs::read(wasm).map_err(ToolchainError::file("read the compiled component", wasm))?;
        let mut component = strip_part_names(&component)?;
        if self.language != Language::Rust {
            // In Rust the SDK's macro has done it.
            component = embed_stamp(&component, &stamp(self.language))?;
        }
        let component = embed_manifest(&component, &self.manifest_text)?;
        let checked = ComponentFile::from_bytes(&output.display().to_string(), component)?;
        replace_file(output, &checked.bytes)?;
        Ok(checked.bytes.len() as u64)
    }
}

/// The SDKs are those that this program brings, so they have its version and its contract.
fn stamp(language: Language) -> SdkStamp {
    SdkStamp {
        wit: HOST_CONTRACT.to_string(),
        sdk: env!("CARGO_PKG_VERSION").to_owned(),
        language: language.name().to_owned(),
    }
}
