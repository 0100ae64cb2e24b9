//! Push: from a component to an artifact under a tag.
//!
//! The contents come first and the tag last, in one request. A push that breaks off leaves the tag as it was, and the
//! same push completes it.

use bytes::Bytes;

use crate::artifact::Artifact;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::reference::Reference;
use crate::registry::Registry;
use crate::upload::{upload_blob, write_tag};

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// The tag is new.
    New,
    /// The artifact was there already.
    Unchanged,
    /// The tag named this artifact before.
    Replaced(Digest),
}

/// Pushes a component under the reference's tag. A tag that names another artifact is moved only with `overwrite`.
///
/// # Errors
/// If the tag names another artifact, access is refused, or the registry fails. The tag is then as it was, or, if
/// responses were lost, names this artifact.
pub async fn push(
    registry: &Registry,
    reference: &Reference,
    artifact: &Artifact,
    component: &Bytes,
    overwrite: bool,
) -> Result<PushOutcome, RegistryError> {
    let tag = reference.tag().ok_or_else(|| RegistryError::NoTag(reference.to_string()))?;
    let existing = registry.fetch_manifest(tag).await?.map(|(_, digest)| digest);
    match existing {
        Some(existing) if existing == artifact.digest => return Ok(PushOutcome::Unchanged),
        Some(existing) if !overwrite => {
            let (reference, offered) = (reference.to_string(), artifact.digest);
            return Err(RegistryError::Exists { reference, existing, offered });
        }
        _ => {}
    }
    upload_blob(registry, artifact.component, component).await?;
    let config = Bytes::copy_from_slice(&artifact.config);
    upload_blob(registry, Digest::of(&config), &config).await?;
    let manifest = Bytes::copy_from_slice(&artifact.manifest);
    write_tag(registry, tag, &manifest, artifact.digest).await?;
    Ok(existing.map_or(PushOutcome::New, PushOutcome::Replaced))
}
