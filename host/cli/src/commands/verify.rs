//! `damper verify`: whether a component is signed with a key that the operator trusts.

use std::path::{Path, PathBuf};

use clap::Args;
use damper_registry::pull::resolve;
use damper_registry::signature::{MAX_FILE_BYTES, PublicKey, SignatureError, find_signature, verify_file};
use damper_registry::{Access, Digest, Reference, Registry, RegistryError, RegistryOptions, SCHEME};
use serde_json::json;

use super::registry::{MAX_COMPONENT_BYTES, RegistryArgs, read_file, read_keys, read_reference};
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, put_json};

/// Check the cosign signature of a component in a registry, or of a file
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper verify oci://ghcr.io/acme/gleif:1.2.0 --key cosign.pub
  damper verify gleif.wasm --key cosign.pub    # its signature is in gleif.wasm.sig

Signatures are made with cosign 2.6 or 3:
  O='--tlog-upload=false --new-bundle-format=false --use-signing-config=false'
  cosign sign --key cosign.key $O REGISTRY/NAME@sha256:...
  cosign sign-blob --key cosign.key $O --output-signature gleif.wasm.sig gleif.wasm
Only the key is trusted (ECDSA on P-256); no transparency log is asked. The exit code is 4 if no
signature holds.")]
pub(crate) struct Verify {
    /// A component's file, or its name in a registry
    #[arg(value_name = "FILE|oci://REGISTRY/NAME:VERSION")]
    component: String,

    /// A public key; can be given several times, of which one has to fit
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// The signature of a file; default: the file's name with .sig
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A component whose signature holds.
struct Verified {
    subject: String,
    digest: Digest,
    signer: String,
}

/// Check a signature.
///
/// # Errors
/// If there is none that holds, or the registry fails.
pub(crate) fn run(command: &Verify, context: &Context) -> Result<Exit, CliError> {
    let keys = read_keys(&command.key)?;
    let verified = if command.component.starts_with(SCHEME) {
        if command.signature.is_some() {
            return Err(CliError::input("a signature in a registry is found there", "remove --signature"));
        }
        let reference = read_reference(&command.component)?;
        let options = command.registry.options(context);
        context::runtime()?.block_on(verify_in_registry(&reference, &keys, &options))?
    } else {
        verify_local_file(Path::new(&command.component), command.signature.as_deref(), &keys)?
    };
    let Verified { subject, digest, signer } = verified;
    if command.json {
        put_json(&json!({ "component": subject, "digest": digest.to_string(), "signer": signer }))?;
    } else {
        put(format!("{}  {digest}  signed with {signer}", printable(&subject)))?;
    }
    Ok(Exit::Done)
}

async fn verify_in_registry(
    reference: &Reference,
    keys: &[PublicKey],
    options: &RegistryOptions,
) -> Result<Verified, RegistryError> {
    let registry = Registry::open(reference, Access::Pull, options)?;
    let digest = resolve(&registry, reference, MAX_COMPONENT_BYTES).await?.manifest;
    let (_, key) = find_signature(&registry, reference, digest, keys).await?;
    Ok(Verified { subject: reference.to_string(), digest, signer: key.fingerprint() })
}

fn verify_local_file(file: &Path, signature: Option<&Path>, keys: &[PublicKey]) -> Result<Verified, CliError> {
    let subject = file.display().to_string();
    let refuse = |problem| RegistryError::Signature { subject: subject.clone(), problem };
    let content = read_file(file, MAX_COMPONENT_BYTES)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".sig");
    let path = signature.map_or_else(|| PathBuf::from(beside), Path::to_path_buf);
    if signature.is_none() && !path.exists() {
        let hint = format!("{} is not there; name the signature with --signature", path.display());
        return Err(CliError::input_in(file, SignatureError::Unsigned.to_string(), hint));
    }
    let text = String::from_utf8_lossy(&read_file(&path, MAX_FILE_BYTES as u64)?).into_owned();
    let signer = verify_file(&content, &text, keys).map_err(refuse)?.fingerprint();
    Ok(Verified { subject, digest: Digest::of(&content), signer })
}
