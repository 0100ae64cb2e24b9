//! `damper push`: from a component's file to a registry.

use std::path::PathBuf;

use clap::Args;
use damper_plugins::component_file::ComponentFile;
use damper_registry::artifact::{Artifact, ComponentInfo};
use damper_registry::push::{PushOutcome, push};
use damper_registry::{Access, Registry, RegistryError};
use serde_json::json;

use super::registry::{RegistryArgs, read_reference};
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json};

/// Push a component to an OCI registry
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper push gleif.wasm oci://ghcr.io/acme/gleif:1.2.0
  damper push gleif.wasm oci://localhost:5000/gleif:1.2.0 --json | jq -r .digest

The component becomes an artifact of the CNCF's layout for WebAssembly, which `wkg` and other tools
read. The same component always becomes the same artifact, with the same digest. Credentials come
from docker's configuration: log in with `docker login REGISTRY`. An interrupted push leaves the
version in the registry as it was; run it again.")]
pub(crate) struct Push {
    /// The component's file, as written by `damper build`
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    /// The name and version to push to
    #[arg(value_name = "oci://REGISTRY/NAME:VERSION")]
    reference: String,

    /// Replace another component that is there under this version
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    registry: RegistryArgs,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Push a component.
///
/// # Errors
/// If the file is no component that can be run, something else is there, or the registry fails.
pub(crate) fn run(command: &Push, context: &Context) -> Result<Exit, CliError> {
    let reference = read_reference(&command.reference)?;
    let file = ComponentFile::read(&command.file)?;
    let manifest = &file.manifest;
    if let Some(tag) = reference.tag().filter(|tag| tag.trim_start_matches('v') != manifest.version) {
        let version = &manifest.version;
        context.screen.warn(format!("it is pushed as version {tag}, and the component calls itself {version}"));
    }
    let info = ComponentInfo {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        imports: file.imports.clone(),
        exports: file.exports.clone(),
    };
    let artifact = Artifact::of(&file.bytes, &info)
        .map_err(|problem| RegistryError::Artifact { reference: reference.to_string(), problem })?;
    let registry = Registry::open(&reference, Access::Push, &command.registry.options(context))?;
    let outcome =
        context::runtime()?.block_on(push(&registry, &reference, &artifact, &file.bytes, command.overwrite))?;
    let (word, replaced) = match outcome {
        PushOutcome::New => ("new", None),
        PushOutcome::Unchanged => ("unchanged", None),
        PushOutcome::Replaced(replaced) => ("replaced", Some(replaced.to_string())),
    };
    if command.json {
        put_json(&json!({
            "reference": reference.to_string(), "digest": artifact.digest.to_string(), "component": file.digest,
            "bytes": file.bytes.len(), "outcome": word, "replaced": replaced,
        }))?;
    } else {
        put(format!("{}  {word}", reference.with_digest(artifact.digest)))?;
    }
    Ok(Exit::Done)
}
