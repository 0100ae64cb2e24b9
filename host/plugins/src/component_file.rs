//! A provider as one file: a component with its manifest inside. Reading it checks what can be told without running it:
//! that it is a component of the right world and contract, and that its manifest is valid. Nothing is compiled here.

#[cfg(feature = "compile")]
mod code;
mod contract;
mod error;
mod limits;
mod sections;
mod structure;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use damper_core::manifest::Manifest;
use semver::Version;
use serde::Deserialize;

#[cfg(feature = "compile")]
pub use code::CodeCost;
pub(crate) use contract::WASI_SOCKETS_PACKAGE;
use contract::{CONTRACT_PACKAGE, EXPORT, is_inert, is_offered, version};
pub use contract::{HOST_CONTRACT, host_contracts};
pub use error::ComponentFileError;
pub use limits::MAX_COMPONENT_BYTES;
pub(crate) use limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use sections::Sections;
pub use structure::Excess;
use structure::StructureError;

use crate::digest::digest;

/// A provider's file, read and checked.
///
/// ```
/// use std::path::Path;
/// use damper_plugins::component_file::{ComponentFile, ComponentFileError};
///
/// # let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/components/sdk-0.1.0-rust.wasm"));
/// let file = ComponentFile::read(path)?;
/// assert_eq!((&*file.manifest.name, &*file.manifest.version), ("demo", "0.1.0"));
/// assert_eq!(file.contract.to_string(), "0.1.0");
/// assert_eq!(file.stamp.map(|stamp| stamp.language).as_deref(), Some("rust"));
/// assert!(file.digest.starts_with("sha256:"));
///
/// // A core module is refused, as is anything else that this host cannot run.
/// let refused = ComponentFile::from_bytes("core.wasm", &b"\0asm\x01\0\0\0"[..]);
/// assert!(matches!(refused, Err(ComponentFileError::CoreModule { .. })));
/// # Ok::<(), ComponentFileError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ComponentFile {
    /// The manifest inside.
    pub manifest: Manifest,
    /// The manifest's text as its author wrote it.
    pub manifest_text: String,
    /// The SDK's stamp; `None` if the provider was written without an SDK.
    pub stamp: Option<SdkStamp>,
    /// The SHA-256 of the whole file, as `sha256:...`.
    pub digest: String,
    /// The file.
    pub bytes: Bytes,
    /// The interfaces it imports, with their versions.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// The version of `damper:provider` it was built against.
    pub contract: Version,
    /// The bytes that the host stores for one instance beside its memories and tables, at most 2 MiB.
    pub instance_bytes: u64,
}

/// The stamp of an SDK in the components that are built with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SdkStamp {
    /// The version of the contract.
    pub wit: String,
    /// The SDK's own version.
    pub sdk: String,
    /// The language.
    pub language: String,
}

impl ComponentFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is no provider that this host can run.
    pub fn read(path: &Path) -> Result<Self, ComponentFileError> {
        let file = path.display().to_string();
        let unreadable = |source| ComponentFileError::Unreadable { file: file.clone(), source };
        let mut bytes = Vec::new();
        let limit = MAX_COMPONENT_BYTES as u64 + 1;
        File::open(path).and_then(|opened| opened.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
        Self::from_bytes(&file, bytes)
    }

    /// Checks the content of the file of this name.
    ///
    /// # Errors
    /// If it is no provider that this host can run.
    pub fn from_bytes(file: &str, bytes: impl Into<Bytes>) -> Result<Self, ComponentFileError> {
        let bytes = bytes.into();
        let sections = component_sections(file, &bytes)?;
        let instance = structure::check_instance(&bytes).map_err(|refusal| structure_error(file, refusal))?;
        let plugin = plugin_name(file, sections.manifest);
        if !sections.exports.iter().any(|export| export == EXPORT) {
            return Err(ComponentFileError::no_export(file, &sections.exports));
        }
        let contract = contract(file, &plugin, &sections.imports)?;
        let stamp: Option<SdkStamp> = sections.stamp.and_then(|stamp| serde_json::from_slice(stamp).ok());
        let language = stamp.as_ref().map(|stamp| stamp.language.as_str());
        let is_refused = |name: &&String| !is_offered(name) && !is_inert(name, language);
        let refused: Vec<String> = sections.imports.iter().filter(is_refused).cloned().collect();
        if !refused.is_empty() {
            return Err(ComponentFileError::ForbiddenImports { plugin, imports: refused });
        }
        let text = sections.manifest.ok_or_else(|| ComponentFileError::NoManifest { file: file.to_owned() })?;
        let manifest_text = String::from_utf8_lossy(text).into_owned();
        let manifest = Manifest::parse(&manifest_text)
            .map_err(|source| ComponentFileError::Manifest { file: file.to_owned(), source })?;
        let (imports, exports) = (sections.imports, sections.exports);
        let digest = digest(&bytes);
        let instance_bytes = instance.bytes;
        Ok(Self { manifest, manifest_text, stamp, digest, bytes, imports, exports, contract, instance_bytes })
    }
}

/// The same component with this manifest inside, in the place of any that it had.
///
/// # Errors
/// If the bytes are no component, or the manifest is not valid.
pub fn embed_manifest(component: &[u8], manifest_text: &str) -> Result<Vec<u8>, ComponentFileError> {
    let file = "the component";
    component_sections(file, component)?;
    Manifest::parse(manifest_text).map_err(|source| ComponentFileError::Manifest { file: file.to_owned(), source })?;
    sections::with_section(component, sections::MANIFEST_SECTION, manifest_text.as_bytes())
        .map_err(|error| damaged_error(file, &error))
}

/// The same component without the names of its parts, which no engine reads: 4 KB of a component in Rust. The names of
/// functions, which are in the modules, stay.
///
/// # Errors
/// If the bytes are no component.
pub fn strip_part_names(component: &[u8]) -> Result<Vec<u8>, ComponentFileError> {
    let file = "the component";
    component_sections(file, component)?;
    sections::without_section(component, sections::NAMES_SECTION).map_err(|error| damaged_error(file, &error))
}

/// The same component with its SDK's stamp, for languages whose compiler cannot put it there.
///
/// # Errors
/// If the bytes are no component.
pub fn embed_stamp(component: &[u8], stamp: &SdkStamp) -> Result<Vec<u8>, ComponentFileError> {
    let file = "the component";
    component_sections(file, component)?;
    let SdkStamp { wit, sdk, language } = stamp;
    let text = serde_json::json!({"wit": wit, "sdk": sdk, "language": language}).to_string();
    sections::with_section(component, sections::STAMP_SECTION, text.as_bytes())
        .map_err(|error| damaged_error(file, &error))
}

fn component_sections<'a>(file: &str, bytes: &'a [u8]) -> Result<Sections<'a>, ComponentFileError> {
    let file = file.to_owned();
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(ComponentFileError::TooLarge { file });
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(ComponentFileError::CoreModule { file });
    }
    if !wasmparser::Parser::is_component(bytes) {
        return Err(ComponentFileError::NotWasm { file });
    }
    let sections = Sections::read(bytes).map_err(|error| damaged_error(&file, &error))?;
    if sections.is_component { Ok(sections) } else { Err(ComponentFileError::NotWasm { file }) }
}

fn damaged_error(file: &str, error: &wasmparser::BinaryReaderError) -> ComponentFileError {
    // Debug, for the message may quote a name from the file.
    let problem = format!("at byte {}: {:?}", error.offset(), error.message());
    ComponentFileError::Damaged { file: file.to_owned(), problem }
}

fn structure_error(file: &str, refusal: StructureError) -> ComponentFileError {
    match refusal {
        StructureError::Damaged(error) => damaged_error(file, &error),
        StructureError::Excess(excess) => ComponentFileError::TooCostly { file: file.to_owned(), excess },
    }
}

/// Checks the cost of compiling a component, from its code.
///
/// # Errors
/// If the code is damaged, or beyond a limit.
#[cfg(feature = "compile")]
pub(crate) fn check_code(name: &str, bytes: &[u8]) -> Result<CodeCost, ComponentFileError> {
    code::check(bytes).map_err(|refusal| structure_error(name, refusal))
}

/// The provider's name and version if its manifest has them, else its file.
fn plugin_name(file: &str, manifest: Option<&[u8]>) -> String {
    let manifest = manifest.and_then(|text| Manifest::parse(std::str::from_utf8(text).ok()?).ok());
    manifest.map_or_else(|| file.to_owned(), |manifest| format!("{} {} ({file})", manifest.name, manifest.version))
}

/// The contract that the imports name, if this host runs it.
fn contract(file: &str, plugin: &str, imports: &[String]) -> Result<Version, ComponentFileError> {
    let versions = imports.iter().filter(|name| name.starts_with(CONTRACT_PACKAGE)).filter_map(|name| version(name));
    let Some(contract) = versions.max() else {
        let lacks = format!("it uses no interface of {}", CONTRACT_PACKAGE.trim_end_matches('/'));
        return Err(ComponentFileError::AnotherWorld { file: file.to_owned(), lacks });
    };
    let plugin = plugin.to_owned();
    if contract > HOST_CONTRACT {
        return Err(ComponentFileError::NewerContract { plugin, contract });
    }
    if (contract.major, contract.minor) != (HOST_CONTRACT.major, HOST_CONTRACT.minor) {
        return Err(ComponentFileError::OlderContract { plugin, contract });
    }
    Ok(contract)
}

#[cfg(test)]
mod tests;
