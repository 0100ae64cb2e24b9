//! `damper pull`: from a registry to a component's file.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use damper_plugins::component_file::ComponentFile;
use damper_registry::pull::{pull, resolve, write_file};
use damper_registry::signature::{PublicKey, find_signature};
use damper_registry::{Access, Reference, Registry};
use serde_json::json;

use super::registry::{MAX_COMPONENT_BYTES, RegistryArgs, read_keys, read_reference};
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, put_json, size};

/// Pull a component from an OCI registry
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper pull oci://ghcr.io/acme/gleif:1.2.0                  # writes gleif.wasm
  damper pull oci://ghcr.io/acme/gleif:1.2.0 -o components/gleif.wasm --key cosign.pub
  damper pull oci://ghcr.io/acme/gleif@sha256:...             # exactly this one

The file is written when its digest, with --key its signature, and its contract have been checked;
it is never there in part. Credentials come from docker's configuration: `docker login REGISTRY`.")]
pub(crate) struct Pull {
    /// The name, with its version or digest
    #[arg(value_name = "oci://REGISTRY/NAME:VERSION")]
    reference: String,

    /// The file to write; default: NAME.wasm in the working folder, unless another component is there
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Demand a signature of one of these public keys; can be given several times
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A component that was pulled.
struct Pulled {
    manifest: String,
    file: ComponentFile,
    signer: Option<String>,
}

/// Pull a component.
///
/// # Errors
/// If there is none, it is not what was asked for, cannot be run or written, or the registry fails.
pub(crate) fn run(command: &Pull, context: &Context) -> Result<Exit, CliError> {
    let reference = read_reference(&command.reference)?;
    let keys = read_keys(&command.key)?;
    let registry = Registry::open(&reference, Access::Pull, &command.registry.options(context))?;
    let pulled = context::runtime()?.block_on(pull_checked(&registry, &reference, &keys))?;
    let output = match &command.output {
        Some(output) => output.clone(),
        None => default_output(&reference, &pulled.file)?,
    };
    write_file(&output, &pulled.file.bytes)?;
    let Pulled { manifest, file, signer } = pulled;
    let shown = output.display().to_string();
    if command.json {
        put_json(&json!({
            "file": shown, "name": file.manifest.name, "version": file.manifest.version, "digest": manifest,
            "component": file.digest, "bytes": file.bytes.len(), "signer": signer,
        }))?;
    } else {
        let (name, version) = (&file.manifest.name, &file.manifest.version);
        let signed = signer.map(|signer| format!("  signed with {signer}")).unwrap_or_default();
        put(format!("{}  {name} {version}  {}  {manifest}{signed}", printable(&shown), size(file.bytes.len() as u64)))?;
    }
    Ok(Exit::Done)
}

/// The file that is written if none is named. It replaces no other component.
fn default_output(reference: &Reference, pulled: &ComponentFile) -> Result<PathBuf, CliError> {
    let output = PathBuf::from(format!("{}.wasm", reference.short_name()));
    let is_other = fs::read(&output).is_ok_and(|there| there != pulled.bytes);
    if is_other {
        let hint = format!("name the file: `-o {}` replaces it", output.display());
        return Err(CliError::input_in(&output, "the file is there already, with another content", hint));
    }
    Ok(output)
}

async fn pull_checked(registry: &Registry, reference: &Reference, keys: &[PublicKey]) -> Result<Pulled, CliError> {
    let resolved = resolve(registry, reference, MAX_COMPONENT_BYTES).await?;
    let signer = if keys.is_empty() {
        None
    } else {
        Some(find_signature(registry, reference, resolved.manifest, keys).await?.1.fingerprint())
    };
    let bytes = pull(registry, reference, &resolved).await?;
    let file = ComponentFile::from_bytes(&reference.to_string(), bytes)?;
    Ok(Pulled { manifest: resolved.manifest.to_string(), file, signer })
}
