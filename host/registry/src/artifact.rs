//! The layout of a component as an artifact: a configuration, one layer, and a manifest that names both by digest.
//!
//! Writing is deterministic: the same component and description give the same bytes. The configuration must have a time
//! of creation; it is always the epoch, so that a component that is pushed twice is the same artifact.

use std::collections::BTreeMap;

use damper_core::escape::escape_text;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The media type of the manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of the configuration.
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The media type of the layer, which is the component.
pub const LAYER_TYPE: &str = "application/wasm";
/// The longest manifest and the longest configuration that are read or written, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const CREATED: &str = "1970-01-01T00:00:00Z";
const ARCHITECTURE: &str = "wasm";
/// The name of components among the systems that the layout knows.
const SYSTEM: &str = "wasip2";
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const DESCRIPTION: &str = "org.opencontainers.image.description";

/// A component, for the artifact that it becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its description; may be empty.
    pub description: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
}

/// An artifact that can be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The configuration, as JSON.
    pub config: Vec<u8>,
    /// The manifest, as JSON.
    pub manifest: Vec<u8>,
    /// The digest of the manifest, by which the artifact is known.
    pub digest: Digest,
    /// The digest of the component, which is that of its file.
    pub component: Digest,
}

/// The component in an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentLayer {
    /// The digest of the component.
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The version that the artifact's annotations tell; its author's text.
    pub version: Option<String>,
}

/// A manifest that describes no component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It is no manifest.
    #[error("the manifest cannot be read: {0}")]
    Malformed(String),
    /// It lists images for several platforms.
    #[error("this is an index of images for several platforms, not a component")]
    Index,
    /// It is something else.
    #[error("this is {what}, not a component (its configuration is of type {media_type})")]
    OtherKind {
        /// Its kind, with an article.
        what: &'static str,
        /// The media type of its configuration, fit for a terminal.
        media_type: String,
    },
    /// It has not exactly one layer of WebAssembly.
    #[error("a component has one layer of type {LAYER_TYPE}, and this artifact has {0}")]
    Layers(String),
    /// The component is too large.
    #[error("the component has {bytes} bytes, and at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size that is allowed.
        limit: u64,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenConfig<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [String; 1],
    component: WrittenInterfaces<'a>,
}

#[derive(Serialize)]
struct WrittenInterfaces<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenManifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: WrittenDescriptor<'a>,
    layers: [WrittenDescriptor<'a>; 1],
    annotations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
}

/// A manifest of any artifact, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnyManifest {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<AnyDescriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<AnyDescriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// A content that a manifest names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnyDescriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Artifact {
    /// The artifact of a component.
    ///
    /// # Errors
    /// If its description is too long for a manifest.
    pub fn of(component: &[u8], info: &ComponentInfo) -> Result<Self, ArtifactError> {
        let digest = Digest::of(component);
        let config = to_json(&WrittenConfig {
            created: CREATED,
            architecture: ARCHITECTURE,
            os: SYSTEM,
            layer_digests: [digest.to_string()],
            component: WrittenInterfaces { exports: &info.exports, imports: &info.imports },
        })?;
        let annotations = [(TITLE, &info.name), (VERSION, &info.version), (DESCRIPTION, &info.description)];
        let descriptor = |media_type, digest: Digest, bytes: &[u8]| WrittenDescriptor {
            media_type,
            digest: digest.to_string(),
            size: bytes.len() as u64,
        };
        let manifest = to_json(&WrittenManifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE,
            config: descriptor(CONFIG_TYPE, Digest::of(&config), &config),
            layers: [descriptor(LAYER_TYPE, digest, component)],
            annotations: annotations
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(key, text)| (key, text.as_str()))
                .collect(),
        })?;
        Ok(Self { digest: Digest::of(&manifest), component: digest, config, manifest })
    }
}

/// Finds the component in a manifest. `max_bytes`: the largest component that is allowed.
///
/// # Errors
/// If the manifest is that of something else, or the component is too large.
pub fn find_component(manifest: &[u8], max_bytes: u64) -> Result<ComponentLayer, ArtifactError> {
    let manifest = AnyManifest::parse(manifest)?;
    let config_type = manifest.config.as_ref().map(|config| config.media_type.as_str()).unwrap_or_default();
    if config_type != CONFIG_TYPE {
        let media_type = if config_type.is_empty() { "none".to_owned() } else { escape_text(config_type) };
        return Err(ArtifactError::OtherKind { what: kind(config_type), media_type });
    }
    let layer = match manifest.layers.as_slice() {
        [layer] if layer.media_type == LAYER_TYPE => layer,
        [layer] => return Err(ArtifactError::Layers(format!("one of type {}", escape_text(&layer.media_type)))),
        layers => return Err(ArtifactError::Layers(format!("{} layers", layers.len()))),
    };
    let digest = layer.digest.parse().map_err(|error| {
        ArtifactError::Malformed(format!("the digest of its layer is {:?}: {error}", escape_text(&layer.digest)))
    })?;
    if layer.size > max_bytes {
        return Err(ArtifactError::TooLarge { bytes: layer.size, limit: max_bytes });
    }
    let version = manifest.annotations.and_then(|mut annotations| annotations.remove(VERSION));
    Ok(ComponentLayer { digest, bytes: layer.size, version })
}

impl AnyManifest {
    /// Reads a manifest, which is no index.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ArtifactError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ArtifactError::Malformed(format!("it has more than {MAX_MANIFEST_BYTES} bytes")));
        }
        // The parser refuses more than 128 levels.
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| ArtifactError::Malformed(escape_text(&error.to_string())))?;
        if manifest.media_type.as_deref().is_some_and(|media_type| INDEX_TYPES.contains(&media_type)) {
            return Err(ArtifactError::Index);
        }
        if manifest.schema_version != 2 {
            return Err(ArtifactError::Malformed(format!("its schema has version {}", manifest.schema_version)));
        }
        Ok(manifest)
    }
}

/// The kind of an artifact, from the media type of its configuration.
fn kind(config_type: &str) -> &'static str {
    match config_type {
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
            "a container image"
        }
        "application/vnd.cncf.helm.config.v1+json" => "a Helm chart",
        "application/vnd.fermyon.spin.application.v1+config" => "a Spin application",
        _ => "another artifact",
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    let json = serde_json::to_vec(value).map_err(|error| ArtifactError::Malformed(error.to_string()))?;
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(ArtifactError::Malformed(format!("it would have more than {MAX_MANIFEST_BYTES} bytes")));
    }
    Ok(json)
}

#[cfg(test)]
mod tests;
