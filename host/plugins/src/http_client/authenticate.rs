//! Applies credentials to requests: from the cache if possible, else read first, and renewed when the API refuses them.
//!
//! A cached credential costs a request almost nothing. Futures that read secrets or fetch tokens are boxed, so that
//! they do not make every request's future larger.

use std::sync::Arc;

#[cfg(feature = "aws-sigv4")]
use damper_core::clock::WallClock;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::client::HttpClient;
use super::tokens::TokenContext;
use crate::bindings::damper::provider::http::HttpError;
use crate::call::{GuestCall, RequestSlot};
use crate::capture::OutgoingRequest;
use crate::credentials::{
    BoundCredential, CachedSecret, ClientCertificate, CredentialRefusal, Form, KeyPermit, SecretVersion, Token,
    TokenFailure,
};
use crate::grants::{Origin, SigningScope};
use crate::redaction::echo;

/// The API does not accept the credential.
pub(super) const UNAUTHORIZED: u16 = 401;
/// The API does not allow the request.
const FORBIDDEN: u16 = 403;

/// The longest name of a credential in an error, in bytes.
const MAX_NAME_SHOWN: usize = 64;

/// The most names of known credentials in an error.
const MAX_NAMES_SHOWN: usize = 16;

/// A credential as it is applied to a request.
pub(super) enum AppliedCredential {
    /// The secret itself, in its form, and its key.
    Secret(Arc<SecretVersion>, UsedKey),
    /// A token that was fetched with it.
    Token(Arc<Token>),
    /// The key that signs the request for this scope.
    Signature(Arc<SecretVersion>, Arc<SigningScope>),
}

/// A key that a request is sent with.
pub(super) struct UsedKey {
    /// Its number among the credential's.
    pub(super) number: usize,
    /// One request of its daily quota, if it has one.
    pub(super) permit: Option<KeyPermit>,
}

/// The reason for which there is no key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SigningKeyError {
    /// The manifest names no such credential, or it is of another kind.
    NoSuchCredential,
    /// The operator bound no secret to it, or it cannot be read.
    NoSecret,
}

impl AppliedCredential {
    /// The header that it sets.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Token(token) => Some((AUTHORIZATION, token.header().clone())),
            Self::Secret(version, _) => match &version.form {
                Form::Header(name, value) => Some((name.clone(), value.clone())),
                _ => None,
            },
            Self::Signature(..) => None,
        }
    }

    /// The parameter of the URL that it sets: its name, and its value as it is in a URL.
    pub(super) fn parameter(&self) -> Option<(&str, &str)> {
        match self {
            Self::Secret(version, _) => match &version.form {
                Form::Parameter(name, value) => Some((name, value.expose())),
                _ => None,
            },
            Self::Token(_) | Self::Signature(..) => None,
        }
    }

    /// The client certificate that it uses.
    pub(super) fn certificate(&self) -> Option<&Arc<ClientCertificate>> {
        match self {
            Self::Secret(version, _) => match &version.form {
                Form::Certificate(certificate) => Some(certificate),
                _ => None,
            },
            Self::Token(_) | Self::Signature(..) => None,
        }
    }

    /// Signs a request that is otherwise complete, if it is a key that signs.
    pub(super) fn sign(&self, request: &mut reqwest::Request) -> Result<(), HttpError> {
        let Self::Signature(version, scope) = self else { return Ok(()) };
        let signed = sign_request(version, scope, request);
        signed
            .ok_or_else(|| HttpError::Invalid("the request cannot be signed: its URL or a header is not valid".into()))
    }

    /// One request of a key's daily quota.
    pub(super) fn permit(&self) -> Option<&KeyPermit> {
        match self {
            Self::Secret(_, key) => key.permit.as_ref(),
            Self::Token(_) | Self::Signature(..) => None,
        }
    }

    /// Whether an API that refuses it says so with this status. AWS says 403 of a session that has ended.
    pub(super) fn is_refused_by(&self, status: u16) -> bool {
        status == UNAUTHORIZED || (status == FORBIDDEN && matches!(self, Self::Signature(..)))
    }

    pub(super) fn is_certificate(&self) -> bool {
        self.certificate().is_some()
    }
}

impl HttpClient {
    /// Applies a credential to a request to this URL; of several keys one that was not tried.
    pub(super) async fn apply_credential(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        name: &str,
        url: &Url,
        tried: &[usize],
    ) -> Result<AppliedCredential, HttpError> {
        let origin = Origin::of(url).ok_or_else(|| HttpError::Denied("no origin".to_owned()))?;
        let bound =
            self.credentials.for_request(name, &origin).map_err(|why| self.on_refusal(call, name, &origin, &why))?;
        let Some(tokens) = &bound.tokens else {
            let used = self.take_key(call, name, bound, tried).await?;
            let key = bound.key(used.number);
            let version = match key.cached_version() {
                Some(version) => version,
                None => Box::pin(self.read_secret(call, key)).await?,
            };
            return Ok(match &bound.signing {
                Some(scope) => AppliedCredential::Signature(version, Arc::clone(scope)),
                None => AppliedCredential::Secret(version, used),
            });
        };
        let token = match tokens.fresh_token(Instant::now()) {
            Some(token) => token,
            None => {
                let token = Box::pin(self.get_token(TokenContext { call, slot, bound, tokens })).await;
                token.map_err(|failed| on_token_failure(call, failed))?
            }
        };
        Ok(AppliedCredential::Token(token))
    }

    /// Renews credentials that the API refused, and returns whether there is a new one. Signing keys are renewed, too;
    /// they are used from the next call on.
    pub(super) async fn renew_credentials(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &OutgoingRequest,
        applied: &[AppliedCredential],
    ) -> Result<bool, HttpError> {
        if applied.is_empty() && !call.has_signing_keys() {
            return Ok(false);
        }
        Box::pin(self.renew_each(call, slot, outgoing, applied)).await
    }

    async fn renew_each(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &OutgoingRequest,
        applied: &[AppliedCredential],
    ) -> Result<bool, HttpError> {
        for key in call.signing_keys() {
            if let Ok(bound) = self.credentials.for_signing(&key.credential) {
                bound.secret.renew(&key.version).await;
            }
        }
        let Some(origin) = Origin::of(&outgoing.url) else { return Ok(false) };
        let mut is_renewed = false;
        for (applied, name) in applied.iter().zip(&outgoing.credentials) {
            let Ok(bound) = self.credentials.for_request(name, &origin) else { continue };
            is_renewed |= match (applied, &bound.tokens) {
                (AppliedCredential::Token(token), Some(tokens)) => {
                    let other = self.renew_token(TokenContext { call, slot, bound, tokens }, token).await;
                    other.map_err(|failed| on_token_failure(call, failed))?.is_some()
                }
                (AppliedCredential::Secret(version, key), _) => bound.key(key.number).renew(version).await.is_some(),
                (AppliedCredential::Signature(version, _), _) => bound.secret.renew(version).await.is_some(),
                (AppliedCredential::Token(_), None) => false,
            };
        }
        Ok(is_renewed)
    }

    /// The key of a credential that signs, if it was read.
    pub(crate) fn cached_key(
        &self,
        call: &GuestCall,
        name: &str,
    ) -> Result<Option<Arc<SecretVersion>>, SigningKeyError> {
        let key = self.signing_credential(call, name)?.secret.cached_version();
        if let Some(key) = &key {
            call.record_signing_key(name, key);
        }
        Ok(key)
    }

    /// The key of a credential that signs.
    pub(crate) async fn read_key(&self, call: &GuestCall, name: &str) -> Result<Arc<SecretVersion>, SigningKeyError> {
        let key = self.signing_credential(call, name)?.secret.get_or_read().await.map_err(|why| {
            call.record_broken(why);
            SigningKeyError::NoSecret
        })?;
        call.record_signing_key(name, &key);
        Ok(key)
    }

    fn signing_credential(&self, call: &GuestCall, name: &str) -> Result<&BoundCredential, SigningKeyError> {
        self.credentials.for_signing(name).map_err(|refusal| {
            if refusal == CredentialRefusal::NoSecret {
                call.record_broken(self.missing_secret_message(name));
                SigningKeyError::NoSecret
            } else {
                SigningKeyError::NoSuchCredential
            }
        })
    }

    async fn read_secret(&self, call: &GuestCall, key: &CachedSecret) -> Result<Arc<SecretVersion>, HttpError> {
        key.get_or_read().await.map_err(|why| {
            call.record_broken(why.clone());
            HttpError::Denied(why)
        })
    }

    fn on_refusal(&self, call: &GuestCall, name: &str, origin: &Origin, refusal: &CredentialRefusal) -> HttpError {
        match refusal {
            CredentialRefusal::NoSuchCredential => {
                // The guest's own text, which is returned to it: see `echo`.
                let name = echo(name, MAX_NAME_SHOWN);
                let known: Vec<&str> = self.credentials.request_names().take(MAX_NAMES_SHOWN).collect();
                HttpError::Invalid(unknown_credential_message(&name, &known))
            }
            CredentialRefusal::NoSecret => {
                let why = self.missing_secret_message(name);
                call.record_broken(why.clone());
                HttpError::Denied(why)
            }
            // The operator granted this origin, but not for the credential: no item is at fault.
            CredentialRefusal::OriginNotAllowed if self.policy.is_private(origin) => {
                let why = self.wrong_origin_message(name, origin);
                call.record_broken(why.clone());
                HttpError::Denied(why)
            }
            CredentialRefusal::OriginNotAllowed => {
                HttpError::Denied(format!("the credential {name:?} may not be sent to {origin}"))
            }
        }
    }

    /// The message for a private origin that is missing in a credential's hosts.
    fn wrong_origin_message(&self, credential: &str, origin: &Origin) -> String {
        let provider = &self.provider;
        format!(
            "the credential {credential:?} may not be sent to {origin}: to allow it, add the host to `hosts` of [providers.{provider}.credentials.{credential}] in damper.toml"
        )
    }

    /// The message for a credential without a secret.
    fn missing_secret_message(&self, credential: &str) -> String {
        let provider = &self.provider;
        format!(
            "no secret is bound to credential {credential:?}: bind it in damper.toml under [providers.{provider}.credentials.{credential}]"
        )
    }
}

#[cfg(feature = "aws-sigv4")]
fn sign_request(version: &SecretVersion, scope: &SigningScope, request: &mut reqwest::Request) -> Option<()> {
    let Form::Aws(key) = &version.form else { return None };
    key.sign(scope, request, WallClock::System.now().into())
}

/// Without the feature, a secret of this kind is refused when it is read.
#[cfg(not(feature = "aws-sigv4"))]
fn sign_request(_: &SecretVersion, _: &SigningScope, _: &mut reqwest::Request) -> Option<()> {
    None
}

/// The message for a name that provider.toml does not have, with those that it has.
fn unknown_credential_message(name: &str, known: &[&str]) -> String {
    let known = match known {
        [] => "it has none that can: add [credentials.NAME] to provider.toml".to_owned(),
        known => format!("those that can are {}", known.join(", ")),
    };
    format!("the manifest has no credential {name:?} that can be sent; {known}")
}

/// A fetch without a token fails with the failure of its token, even if the guest returns another one.
fn on_token_failure(call: &GuestCall, failed: TokenFailure) -> HttpError {
    let why = failed.failure.message.clone();
    call.record_failure(failed.failure);
    HttpError::Other(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_credential_is_told_with_the_known_ones() {
        let message = unknown_credential_message("kee", &["key", "login"]);
        assert_eq!(message, "the manifest has no credential \"kee\" that can be sent; those that can are key, login");
        assert!(unknown_credential_message("key", &[]).contains("add [credentials.NAME] to provider.toml"));
    }
}
