//! Credentials: a component names one, and the host applies its secret to a request or signs with it. No function
//! returns a secret.
//!
//! A secret is read when it is first needed ([`cached_secret`]), takes the form that its kind needs ([`form`]), and
//! from then on is known to the scrubber in every spelling. `http_client` sends the requests.

mod assertion;
mod cached_secret;
mod certificate;
mod client;
mod error;
mod form;
mod header_value;
mod key_pool;
mod key_quota;
mod key_share;
mod refresh_client;
mod refresh_state;
mod sealing;
mod secret_spellings;
mod signature;
mod single_flight;
mod token_sharing;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use damper_core::manifest::{CredentialKind, Manifest};
use futures::future::join_all;
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};
use tokio::time::Instant;

use crate::grants::{Grants, KeyLimit, LIMITED_KINDS, Origin, SecretBinding, SigningScope};
use crate::redaction::Scrubber;

use cached_secret::SecretNames;
pub(crate) use cached_secret::{CachedSecret, SecretVersion};
pub(crate) use certificate::{ClientCertificate, check_ca};
pub use error::CredentialError;
pub(crate) use form::Form;
pub(crate) use key_pool::{KeyPool, KeyVerdict, REFUSED_REST};
pub use key_quota::KeyCounting;
pub(crate) use key_quota::{KeyPermit, KeyQuota, QuotaRefusal};
pub(crate) use refresh_client::RefreshClient;
pub(crate) use refresh_state::{RefreshState, Refreshed};
pub(crate) use single_flight::Role;
pub use token_sharing::TokenSharing;
pub(crate) use token_sharing::{SharedToken, StoredToken, Turn};
pub(crate) use tokens::{Token, TokenFailure, TokenNeed, Tokens, retry_after};

/// A provider's credentials, with the secrets that are bound to them.
#[derive(Debug)]
pub(crate) struct Credentials {
    by_name: BTreeMap<String, Credential>,
}

#[derive(Debug)]
struct Credential {
    kind: CredentialKind,
    bound: Option<Box<BoundCredential>>,
}

/// A credential with a secret.
#[derive(Debug)]
pub(crate) struct BoundCredential {
    pub(crate) secret: CachedSecret,
    /// The further keys that are used in turn with it.
    more_keys: Vec<CachedSecret>,
    pub(crate) pool: KeyPool,
    /// By key, its daily quota.
    quotas: Vec<Option<Arc<KeyQuota>>>,
    /// The tokens that are sent in its place.
    pub(crate) tokens: Option<Tokens>,
    /// The state of its refresh token, if it has one.
    pub(crate) refresh: RefreshState,
    /// The scope of its signatures, if it signs requests.
    pub(crate) signing: Option<Arc<SigningScope>>,
    receivers: Vec<Origin>,
}

/// Why a credential cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CredentialRefusal {
    /// The manifest names no such credential, or it is of another kind than is asked for.
    NoSuchCredential,
    /// The operator bound no secret to it.
    NoSecret,
    /// Its secret may not go to this origin.
    OriginNotAllowed,
}

/// The algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HmacSha256,
    HmacSha512,
}

impl Credentials {
    /// `sharing`: the store of tokens, if they are shared with other processes. `counting`: where the requests of keys
    /// with a daily quota are counted.
    pub(crate) fn new(
        manifest: &Manifest,
        grants: &Grants,
        scrubber: &Arc<Scrubber>,
        sharing: Option<&TokenSharing>,
        counting: &KeyCounting,
    ) -> Result<Self, CredentialError> {
        if let Some(name) = grants.secrets.keys().find(|name| !manifest.credentials.contains_key(*name)) {
            return Err(CredentialError::Unknown { name: name.clone() });
        }
        let mut by_name = BTreeMap::new();
        for (name, kind) in &manifest.credentials {
            let binding = grants.secrets.get(name);
            let bound = binding
                .map(|binding| BoundCredential::new(name, kind, binding, manifest, grants.proxy.as_deref(), scrubber))
                .transpose()?;
            if kind.is_rotated() && sharing.is_none() {
                check_home(name, binding)?;
            }
            let bound = match sharing {
                Some(sharing) => bound.map(|bound| bound.sharing(sharing, &manifest.name)),
                None => bound,
            };
            let bound = bound.map(|bound| bound.counting(counting, manifest, grants.secrets.get(name)));
            by_name.insert(name.clone(), Credential { kind: kind.clone(), bound: bound.map(Box::new) });
        }
        Ok(Self { by_name })
    }

    /// A credential that goes along with a request to this origin.
    pub(crate) fn for_request(&self, name: &str, origin: &Origin) -> Result<&BoundCredential, CredentialRefusal> {
        let credential = self.by_name.get(name).filter(|credential| credential.kind != CredentialKind::Hmac);
        let bound = credential
            .ok_or(CredentialRefusal::NoSuchCredential)?
            .bound
            .as_deref()
            .ok_or(CredentialRefusal::NoSecret)?;
        if bound.receivers.contains(origin) { Ok(bound) } else { Err(CredentialRefusal::OriginNotAllowed) }
    }

    /// The names of the credentials that can go along with a request, in order of the alphabet.
    pub(crate) fn request_names(&self) -> impl Iterator<Item = &str> {
        let sent = self.by_name.iter().filter(|(_, credential)| credential.kind != CredentialKind::Hmac);
        sent.map(|(name, _)| name.as_str())
    }

    /// Returns the requests that are reserved of keys' quotas and not sent.
    pub(crate) async fn return_unsent(&self) {
        let bound = self.by_name.values().filter_map(|credential| credential.bound.as_ref());
        let quotas = bound.flat_map(|bound| bound.quotas.iter().flatten());
        join_all(quotas.map(|quota| quota.return_unsent())).await;
    }

    /// A credential that signs.
    pub(crate) fn for_signing(&self, name: &str) -> Result<&BoundCredential, CredentialRefusal> {
        let credential = self.by_name.get(name).filter(|credential| credential.kind == CredentialKind::Hmac);
        credential.ok_or(CredentialRefusal::NoSuchCredential)?.bound.as_deref().ok_or(CredentialRefusal::NoSecret)
    }
}

impl BoundCredential {
    fn new(
        name: &str,
        kind: &CredentialKind,
        binding: &SecretBinding,
        manifest: &Manifest,
        proxy: Option<&str>,
        scrubber: &Arc<Scrubber>,
    ) -> Result<Self, CredentialError> {
        let hosts = if binding.hosts.is_empty() { &manifest.egress.hosts } else { &binding.hosts };
        let origin = |host: &String| if host.contains("://") { host.parse() } else { Origin::https(host) };
        let receivers = hosts.iter().map(origin).collect::<Result<Vec<_>, _>>();
        let receivers = receivers.map_err(|source| CredentialError::BadHost { name: name.to_owned(), source })?;
        let wrong = |problem: String| CredentialError::BadUse { name: name.to_owned(), problem };
        let tokens = match (kind.token_settings(), &binding.tokens) {
            (Some(_), None) => {
                return Err(wrong(format!("needs a token endpoint, because its kind is {}", kind.name())));
            }
            (Some(_), Some(endpoint)) => Some(Tokens::new(name, endpoint.clone(), Arc::clone(scrubber))),
            (None, _) => None,
        };
        if binding.is_limited() && !LIMITED_KINDS.contains(&kind.name()) {
            let (kinds, kind) = (LIMITED_KINDS.join(" or "), kind.name());
            return Err(wrong(format!(
                "has a key with a daily quota, which is for kind {kinds}, but its kind is {kind}"
            )));
        }
        let signing = binding.signing.clone().map(Arc::new);
        if matches!(kind, CredentialKind::AwsSigv4 { .. }) && signing.is_none() {
            return Err(wrong("needs a region and a service, because its kind is aws-sigv4".to_owned()));
        }
        if *kind == CredentialKind::Mtls {
            check_certificate_use(binding, &receivers, proxy).map_err(wrong)?;
        }
        let further = binding.more_keys.iter().map(|key| key.bind(&binding.hosts));
        let keys = std::iter::once(binding.clone()).chain(further).enumerate().map(|(number, binding)| {
            let names = SecretNames { credential: name.to_owned(), number };
            CachedSecret::new(names, kind, binding, Arc::clone(scrubber))
        });
        let mut more_keys = keys.collect::<Result<Vec<_>, _>>()?;
        let secret = more_keys.remove(0);
        let pool = KeyPool::new(1 + more_keys.len());
        let refresh = RefreshState::default();
        Ok(Self { secret, more_keys, pool, quotas: Vec::new(), tokens, refresh, signing, receivers })
    }

    /// The daily quota of the key of this number.
    pub(crate) fn quota(&self, number: usize) -> Option<&Arc<KeyQuota>> {
        self.quotas.get(number).and_then(Option::as_ref)
    }

    /// The time until the key of this number has a quota again, as far as it is known.
    pub(crate) fn quota_wait(&self, number: usize, now: Instant) -> Duration {
        self.quota(number).map_or(Duration::ZERO, |quota| quota.wait(now))
    }

    /// The key of this number, from 0.
    pub(crate) fn key(&self, number: usize) -> &CachedSecret {
        let further = number.checked_sub(1).and_then(|number| self.more_keys.get(number));
        further.unwrap_or(&self.secret)
    }

    /// The number of its keys.
    pub(crate) fn key_count(&self) -> usize {
        1 + self.more_keys.len()
    }

    fn counting(self, counting: &KeyCounting, manifest: &Manifest, binding: Option<&SecretBinding>) -> Self {
        let Some(binding) = binding else { return self };
        let limits = std::iter::once(&binding.limit).chain(binding.more_keys.iter().map(|key| &key.limit));
        let quota = |limit: &KeyLimit| Arc::new(KeyQuota::new(counting, &manifest.name, limit, &manifest.window));
        Self { quotas: limits.map(|limit| limit.as_ref().map(quota)).collect(), ..self }
    }

    fn sharing(self, sharing: &TokenSharing, provider: &str) -> Self {
        Self { tokens: self.tokens.map(|tokens| tokens.sharing(sharing, provider)), ..self }
    }
}

/// A refresh token that the endpoint replaces must have a place for the new one.
fn check_home(name: &str, binding: Option<&SecretBinding>) -> Result<(), CredentialError> {
    let Some(SecretBinding { place, .. }) = binding.filter(|binding| !binding.source.is_writable()) else {
        return Ok(());
    };
    let problem = format!(
        "has its refresh token in {place}, which cannot be written, and there is no database: a new refresh token of the \
         endpoint would be lost; put the secret into a file with mode 0600"
    );
    Err(CredentialError::BadUse { name: name.to_owned(), problem })
}

/// A client certificate needs TLS, and only its own host may see it.
fn check_certificate_use(binding: &SecretBinding, receivers: &[Origin], proxy: Option<&str>) -> Result<(), String> {
    if let Some(plain) = receivers.iter().find(|origin| !origin.is_https()) {
        return Err(format!("is a client certificate, and {plain} is not https"));
    }
    if proxy.is_some_and(|proxy| proxy.starts_with("https:")) {
        return Err(
            "is a client certificate, which an https proxy would receive: give the proxy's URL as http".to_owned()
        );
    }
    let ca = binding.ca.as_deref().map_or(Ok(()), check_ca);
    ca.map_err(|problem| format!("has a `ca` that {problem}"))
}

/// The raw HMAC of a payload; none if the secret is not a key.
pub(crate) fn sign(version: &SecretVersion, algorithm: Algorithm, payload: &[u8]) -> Option<Vec<u8>> {
    let Form::Key(key) = &version.form else { return None };
    let key = key.expose().as_bytes();
    match algorithm {
        Algorithm::HmacSha256 => compute_hmac::<Hmac<Sha256>>(key, payload),
        Algorithm::HmacSha512 => compute_hmac::<Hmac<Sha512>>(key, payload),
    }
}

fn compute_hmac<M: Mac + hmac::digest::KeyInit>(key: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    // An HMAC takes keys of every length.
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    mac.update(payload);
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests;
