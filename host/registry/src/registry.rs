//! The client for one repository of one registry: requests with authorization, retries and limits.

use bytes::Bytes;
use damper_core::escape::escape_text;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use crate::artifact::{MANIFEST_TYPE, MAX_MANIFEST_BYTES};
use crate::auth::{AuthError, answer_challenge, read_challenge};
use crate::credentials::{Credentials, find_credentials};
use crate::digest::{Digest, Hasher};
use crate::error::{CredentialOrigin, RegistryError};
use crate::reference::Reference;
use crate::transport::{Incoming, Outgoing, RegistryOptions, Transport};

/// How often a request is sent that may be repeated.
pub(crate) const TRIES: u32 = 3;
/// The longest wait that a registry may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// The longest explanation of a registry that is read, and the longest that is shown, in bytes.
const MAX_ERROR_BYTES: usize = 16 << 10;
const MAX_SAID_CHARACTERS: usize = 200;
/// Manifests of other artifacts are accepted too, to tell what they are.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
const DIGEST_HEADER: &str = "docker-content-digest";

/// What a command does in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Pull,
    /// It reads and writes.
    Push,
}

/// The client for one repository.
///
/// It asks without credentials first. Where the registry demands some, it looks them up once.
#[derive(Debug)]
pub struct Registry {
    pub(crate) transport: Transport,
    pub(crate) repository: String,
    access: Access,
    docker_config: Option<PathBuf>,
    credentials: OnceCell<(Credentials, CredentialOrigin)>,
    authorization: Mutex<Option<HeaderValue>>,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

#[derive(Deserialize)]
struct ErrorResponse {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    /// The client for a reference's repository. Nothing is sent yet.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn open(reference: &Reference, access: Access, options: &RegistryOptions) -> Result<Self, RegistryError> {
        Ok(Self {
            transport: Transport::new(reference, options)?,
            repository: reference.repository().to_owned(),
            access,
            docker_config: options.docker_config.clone(),
            credentials: OnceCell::new(),
            authorization: Mutex::new(None),
        })
    }

    /// A URL below the repository, such as `manifests/1.2.0`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let path = format!("v2/{}/{path}", self.repository);
        self.transport.base.join(&path).map_err(|error| self.transport.protocol_error(error.to_string()))
    }

    /// A request that reads.
    pub(crate) fn read_request(&self, method: Method, path: &str) -> Result<Outgoing, RegistryError> {
        let timeout = self.transport.timeouts.request;
        Ok(Outgoing { method, url: self.url(path)?, accept: None, content_type: None, body: None, timeout })
    }

    /// Sends a request once, or once more with the authorization that the registry demands.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Result<Incoming, RegistryError> {
        let known = self.authorization.lock().await.clone();
        let incoming = self.transport.send(outgoing, known.as_ref()).await?;
        if incoming.response.status() != StatusCode::UNAUTHORIZED || !incoming.is_from_registry {
            return Ok(incoming);
        }
        let fresh = self.authorize(incoming.response.headers()).await?;
        self.transport.send(outgoing, Some(&fresh)).await
    }

    /// Sends a request that may be repeated, and reads the response to its end. It is sent up to three times.
    pub(crate) async fn fetch(&self, outgoing: &Outgoing, limit: usize) -> Result<Fetched, RegistryError> {
        let mut tries = 1;
        loop {
            let result = self.fetch_once(outgoing, limit).await;
            let is_last = tries >= TRIES;
            let wait = match &result {
                Ok(fetched) if !is_last && is_transient(fetched.status) => read_retry_after(&fetched.headers),
                Err(error) if !is_last && error.is_transient() => None,
                _ => return result,
            };
            self.wait(tries, wait).await;
            tries += 1;
        }
    }

    /// Waits before another try. `wait`: how long the registry asks for.
    pub(crate) async fn wait(&self, tries: u32, wait: Option<Duration>) {
        let backoff = self.transport.timeouts.retry.saturating_mul(3_u32.saturating_pow(tries.saturating_sub(1)));
        tokio::time::sleep(wait.unwrap_or(backoff).min(MAX_RETRY_AFTER)).await;
    }

    pub(crate) async fn fetch_once(&self, outgoing: &Outgoing, limit: usize) -> Result<Fetched, RegistryError> {
        let response = self.send(outgoing).await?.response;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status.is_success() { limit } else { MAX_ERROR_BYTES };
        let body = match self.transport.read_body(response, limit).await {
            // What a refusal says matters less than that it is one.
            Err(RegistryError::Protocol { .. }) if !status.is_success() => Vec::new(),
            body => body?,
        };
        Ok(Fetched { status, headers, body })
    }

    /// Reads a manifest by tag or digest. `None`: there is none.
    pub(crate) async fn fetch_manifest(&self, key: &str) -> Result<Option<(Vec<u8>, Digest)>, RegistryError> {
        let mut outgoing = self.read_request(Method::GET, &format!("manifests/{key}"))?;
        outgoing.accept = Some(MANIFEST_TYPES);
        let fetched = self.fetch(&outgoing, MAX_MANIFEST_BYTES).await?;
        if fetched.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.check_success(&fetched).await?;
        let digest = Digest::of(&fetched.body);
        let claimed = fetched.headers.get(DIGEST_HEADER).and_then(|claimed| claimed.to_str().ok()?.parse().ok());
        let other = [key.parse().ok(), claimed].into_iter().flatten().find(|expected| *expected != digest);
        if let Some(expected) = other {
            let what = format!("the manifest of {}/{}:{key}", self.transport.host, self.repository);
            return Err(RegistryError::DigestMismatch { what, expected, actual: digest });
        }
        Ok(Some((fetched.body, digest)))
    }

    /// Reads a content of exactly this digest and size. `None`: there is none.
    pub(crate) async fn fetch_blob(&self, digest: Digest, bytes: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        let mut outgoing = self.read_request(Method::GET, &format!("blobs/{digest}"))?;
        outgoing.timeout = self.transport.timeouts.transfer;
        let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut tries = 1;
        loop {
            match self.fetch_blob_once(&outgoing, digest, limit).await {
                Err(error) if tries < TRIES && error.is_transient() => self.wait(tries, None).await,
                result => return result,
            }
            tries += 1;
        }
    }

    async fn fetch_blob_once(
        &self,
        outgoing: &Outgoing,
        digest: Digest,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let mut response = self.send(outgoing).await?.response;
        if !response.status().is_success() {
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.transport.read_body(response, MAX_ERROR_BYTES).await.unwrap_or_default();
            let fetched = Fetched { status, headers, body };
            return if status == StatusCode::NOT_FOUND { Ok(None) } else { Err(self.refuse(&fetched).await) };
        }
        let (mut hasher, mut body) = (Hasher::default(), Vec::new());
        while let Some(chunk) = self.transport.read_chunk(&mut response).await? {
            if body.len().saturating_add(chunk.len()) > limit {
                let problem = format!("it sends more than the {limit} bytes that the manifest names");
                return Err(self.transport.protocol_error(problem));
            }
            hasher.update(&chunk);
            body.extend_from_slice(&chunk);
        }
        let actual = hasher.finish();
        if actual != digest {
            let what = format!("what {} sent of {}", self.transport.host, self.repository);
            return Err(RegistryError::DigestMismatch { what, expected: digest, actual });
        }
        Ok(Some(body))
    }

    /// Writes a manifest under a tag, once.
    pub(crate) async fn put_manifest(&self, tag: &str, manifest: Bytes) -> Result<Fetched, RegistryError> {
        let mut outgoing = self.read_request(Method::PUT, &format!("manifests/{tag}"))?;
        (outgoing.content_type, outgoing.body) = (Some(MANIFEST_TYPE), Some(manifest));
        self.fetch_once(&outgoing, MAX_ERROR_BYTES).await
    }

    /// Refuses every status but success.
    pub(crate) async fn check_success(&self, fetched: &Fetched) -> Result<(), RegistryError> {
        if fetched.status.is_success() { Ok(()) } else { Err(self.refuse(fetched).await) }
    }

    /// The error of a response that is no success.
    pub(crate) async fn refuse(&self, fetched: &Fetched) -> RegistryError {
        let (status, said) = (fetched.status.as_u16(), explain(&fetched.body));
        match status {
            401 | 403 => self.deny_access(status, said).await,
            404 => RegistryError::NotFound(format!("{}/{}", self.transport.host, self.repository)),
            _ if is_transient(fetched.status) => {
                RegistryError::Failed { host: self.transport.host.clone(), problem: format!("status {status}{said}") }
            }
            _ => self.transport.protocol_error(format!("unexpected status {status}{said}")),
        }
    }

    async fn deny_access(&self, status: u16, said: String) -> RegistryError {
        let credentials = match self.find_credentials().await {
            Ok((_, origin)) => origin.clone(),
            Err(error) => return error,
        };
        let (host, repository) = (self.transport.host.clone(), self.repository.clone());
        RegistryError::Denied { host, repository, status, said, credentials }
    }

    async fn find_credentials(&self) -> Result<&(Credentials, CredentialOrigin), RegistryError> {
        let (file, host, patience) =
            (self.docker_config.as_deref(), &*self.transport.host, self.transport.timeouts.helper);
        self.credentials.get_or_try_init(|| find_credentials(file, host, patience)).await
    }

    /// Answers a challenge, and keeps the answer for the requests that follow.
    async fn authorize(&self, headers: &HeaderMap) -> Result<HeaderValue, RegistryError> {
        let Some(challenge) = read_challenge(headers) else {
            return Err(self.deny_access(401, String::new()).await);
        };
        let credentials = &self.find_credentials().await?.0;
        // Not the scope that the registry asks for: a token is for this repository alone.
        let actions = if self.access == Access::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.repository);
        match answer_challenge(&self.transport, &challenge, &scope, credentials).await {
            Ok(fresh) => {
                *self.authorization.lock().await = Some(fresh.clone());
                Ok(fresh)
            }
            Err(AuthError::Refused(status)) => Err(self.deny_access(status.as_u16(), String::new()).await),
            Err(AuthError::Other(error)) => Err(error),
        }
    }
}

/// Whether a response says that another try may succeed.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn read_retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The first error of a response, fit for a message, with a colon before it; may be empty.
fn explain(body: &[u8]) -> String {
    let errors = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |response: ErrorResponse| response.errors);
    let Some(ErrorEntry { code, message }) = errors.into_iter().next() else { return String::new() };
    let said = if message.is_empty() { code } else { message };
    let said: String = escape_text(&said).chars().take(MAX_SAID_CHARACTERS).collect();
    if said.is_empty() { said } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_short_and_harmless() {
        assert_eq!(explain(br#"{"errors":[{"code":"DENIED","message":"no \u001b[2J"}]}"#), ": no \\u{1b}[2J");
        assert_eq!(explain(br#"{"errors":[{"code":"DENIED"}]}"#), ": DENIED");
        assert_eq!(explain(b"<html>"), "");
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(10_000));
        assert!(explain(long.as_bytes()).len() <= MAX_SAID_CHARACTERS + 2);
    }
}
