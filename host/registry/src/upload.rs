//! Upload of contents and manifests. Every step can be repeated: contents are known by their digest, and a manifest is
//! written under its tag last.

use bytes::Bytes;
use http::header::LOCATION;
use http::{Method, StatusCode};
use url::Url;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::{Registry, TRIES, is_transient};
use crate::transport::Outgoing;

const CONTENT: &str = "application/octet-stream";
/// The longest response to an upload that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 16 << 10;

/// Uploads a content, unless the repository has it.
pub(crate) async fn upload_blob(registry: &Registry, digest: Digest, content: &Bytes) -> Result<(), RegistryError> {
    let mut tries = 1;
    loop {
        // After a failure the content may be there nevertheless: its response was lost.
        if has_blob(registry, digest).await? {
            return Ok(());
        }
        match upload_once(registry, digest, content).await {
            Err(error) if tries < TRIES && error.is_transient() => registry.wait(tries, None).await,
            result => return result,
        }
        tries += 1;
    }
}

/// Writes a manifest under a tag, whose contents are all uploaded. If the outcome is unknown, the tag is looked at.
pub(crate) async fn write_tag(
    registry: &Registry,
    tag: &str,
    manifest: &Bytes,
    digest: Digest,
) -> Result<(), RegistryError> {
    let mut tries = 1;
    loop {
        let error = match registry.put_manifest(tag, manifest.clone()).await {
            Ok(fetched) if fetched.status.is_success() => return Ok(()),
            Ok(fetched) => registry.refuse(&fetched).await,
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(error);
        }
        registry.wait(tries, None).await;
        let there = registry.fetch_manifest(tag).await;
        match there {
            Ok(Some((_, there))) if there == digest => return Ok(()),
            _ if tries >= TRIES => return Err(error),
            _ => tries += 1,
        }
    }
}

async fn has_blob(registry: &Registry, digest: Digest) -> Result<bool, RegistryError> {
    let outgoing = registry.read_request(Method::HEAD, &format!("blobs/{digest}"))?;
    let fetched = registry.fetch(&outgoing, 0).await?;
    match fetched.status {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        _ => Err(registry.refuse(&fetched).await),
    }
}

async fn upload_once(registry: &Registry, digest: Digest, content: &Bytes) -> Result<(), RegistryError> {
    let mut outgoing = registry.read_request(Method::POST, "blobs/uploads/")?;
    outgoing.body = Some(Bytes::new());
    let begun = registry.fetch_once(&outgoing, MAX_RESPONSE_BYTES).await?;
    registry.check_success(&begun).await?;
    let location = begun.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let url = session_url(registry, &outgoing.url, location, digest)?;
    let outgoing = Outgoing {
        method: Method::PUT,
        url,
        accept: None,
        content_type: Some(CONTENT),
        body: Some(content.clone()),
        timeout: registry.transport.timeouts.transfer,
    };
    let ended = registry.fetch_once(&outgoing, MAX_RESPONSE_BYTES).await?;
    // An upload session that is gone; the next try begins another.
    if ended.status == StatusCode::NOT_FOUND || is_transient(ended.status) {
        let problem = format!("status {} for an upload", ended.status.as_u16());
        return Err(RegistryError::Failed { host: registry.transport.host.clone(), problem });
    }
    registry.check_success(&ended).await
}

/// The URL of an upload session. The registry may have it anywhere; the credentials go to its own origin alone.
fn session_url(registry: &Registry, base: &Url, location: Option<&str>, digest: Digest) -> Result<Url, RegistryError> {
    let url = location.and_then(|location| base.join(location).ok());
    let Some(mut url) = url else {
        return Err(registry.transport.protocol_error("it begins an upload without a usable Location".to_owned()));
    };
    if !registry.transport.is_allowed(&url) {
        return Err(registry.transport.protocol_error("it wants an upload without TLS".to_owned()));
    }
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    Ok(url)
}
