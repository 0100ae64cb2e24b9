//! What a request wears of a credential: taken at hand where it is, else read first, and renewed when the API refuses it.
//!
//! What is at hand costs a request next to nothing. What has to be waited for is in boxes of its own, so that no request is
//! larger for it.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::HttpClient;
use super::exchange::Outgoing;
use super::tokens::Asking;
use crate::bindings::damper::provider::http::HttpError;
use crate::call::{Call, InFlight};
use crate::credentials::{Bound, ClientCertificate, Form, Refusal, Token, TokenFailure, Version};
use crate::grants::Origin;
use crate::text::echo;

/// The longest name of a credential in an error, in bytes.
const MAX_NAME_SHOWN: usize = 64;

/// What a request wears.
pub(super) enum Worn {
    /// The secret itself, in its form.
    Secret(Arc<Version>),
    /// A token that was got with it.
    Token(Arc<Token>),
}

/// Why there is no key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The manifest names no such credential, or it is of another kind.
    NoSuchCredential,
    /// The operator bound no secret to it, or it cannot be read.
    NoSecret,
}

impl Worn {
    /// The header to set.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Token(token) => Some((AUTHORIZATION, token.header().clone())),
            Self::Secret(version) => match &version.form {
                Form::Header(name, value) => Some((name.clone(), value.clone())),
                _ => None,
            },
        }
    }

    /// The certificate to show.
    pub(super) fn certificate(&self) -> Option<&ClientCertificate> {
        match self {
            Self::Secret(version) => match &version.form {
                Form::Certificate(certificate) => Some(certificate),
                _ => None,
            },
            Self::Token(_) => None,
        }
    }

    pub(super) fn is_certificate(&self) -> bool {
        self.certificate().is_some()
    }
}

impl HttpClient {
    /// What a request to this URL wears of a credential.
    pub(super) async fn worn(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        name: &str,
        url: &Url,
    ) -> Result<Worn, HttpError> {
        let origin = Origin::of(url).ok_or_else(|| HttpError::Denied("no origin".to_owned()))?;
        let bound = self.credentials.to_send(name, &origin).map_err(|why| self.refused(call, name, &origin, &why))?;
        let Some(tokens) = &bound.tokens else {
            let version = match bound.secret.ready() {
                Some(version) => version,
                None => Box::pin(self.read(call, bound)).await?,
            };
            return Ok(Worn::Secret(version));
        };
        let token = match tokens.ready(Instant::now()) {
            Some(token) => token,
            None => {
                let token = Box::pin(self.token(Asking { call, lane, bound, tokens })).await;
                token.map_err(|failed| no_token(call, failed))?
            }
        };
        Ok(Worn::Token(token))
    }

    /// Whether the API's refusal has led to something else to wear; and what was signed with keys that are no longer accepted is
    /// signed with others from the next call on.
    pub(super) async fn renewed(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Outgoing,
        worn: Vec<Worn>,
    ) -> Result<bool, HttpError> {
        if worn.is_empty() && !call.has_signed() {
            return Ok(false);
        }
        Box::pin(self.renew(call, lane, outgoing, worn)).await
    }

    async fn renew(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Outgoing,
        worn: Vec<Worn>,
    ) -> Result<bool, HttpError> {
        for signed in call.signed() {
            if let Ok(bound) = self.credentials.to_sign(&signed.credential) {
                bound.secret.other_than(&signed.version).await;
            }
        }
        let Some(origin) = Origin::of(&outgoing.url) else { return Ok(false) };
        let mut is_renewed = false;
        for (worn, name) in worn.iter().zip(&outgoing.credentials) {
            let Ok(bound) = self.credentials.to_send(name, &origin) else { continue };
            is_renewed |= match (worn, &bound.tokens) {
                (Worn::Token(token), Some(tokens)) => {
                    let other = self.other_token(Asking { call, lane, bound, tokens }, token).await;
                    other.map_err(|failed| no_token(call, failed))?.is_some()
                }
                (Worn::Secret(version), _) => bound.secret.other_than(version).await.is_some(),
                (Worn::Token(_), None) => false,
            };
        }
        Ok(is_renewed)
    }

    /// The key of a credential that signs, if it was read.
    pub(crate) fn key_at_hand(&self, call: &Call, name: &str) -> Result<Option<Arc<Version>>, NoKey> {
        let key = self.to_sign(call, name)?.secret.ready();
        if let Some(key) = &key {
            call.set_signed(name, key);
        }
        Ok(key)
    }

    /// The key of a credential that signs.
    pub(crate) async fn key(&self, call: &Call, name: &str) -> Result<Arc<Version>, NoKey> {
        let key = self.to_sign(call, name)?.secret.get().await.map_err(|why| {
            call.set_broken(why);
            NoKey::NoSecret
        })?;
        call.set_signed(name, &key);
        Ok(key)
    }

    fn to_sign(&self, call: &Call, name: &str) -> Result<&Bound, NoKey> {
        self.credentials.to_sign(name).map_err(|refusal| {
            if refusal == Refusal::NoSecret {
                call.set_broken(self.no_secret(name));
                NoKey::NoSecret
            } else {
                NoKey::NoSuchCredential
            }
        })
    }

    async fn read(&self, call: &Call, bound: &Bound) -> Result<Arc<Version>, HttpError> {
        bound.secret.get().await.map_err(|why| {
            call.set_broken(why.clone());
            HttpError::Denied(why)
        })
    }

    fn refused(&self, call: &Call, name: &str, origin: &Origin, refusal: &Refusal) -> HttpError {
        match refusal {
            Refusal::NoSuchCredential => {
                // The guest's own text, which goes back to it: see `echo`.
                let name = echo(name, MAX_NAME_SHOWN);
                HttpError::Invalid(format!("the manifest names no credential {name:?} that can be sent"))
            }
            Refusal::NoSecret => {
                let why = self.no_secret(name);
                call.set_broken(why.clone());
                HttpError::Denied(why)
            }
            // The operator granted this very origin, and forgot it with the credential: no item is at fault.
            Refusal::NotThere if self.policy.is_private(origin) => {
                let why = self.not_there(name, origin);
                call.set_broken(why.clone());
                HttpError::Denied(why)
            }
            Refusal::NotThere => HttpError::Denied(format!("the credential {name:?} may not be sent to {origin}")),
        }
    }

    /// What to do about a private origin that a credential does not name.
    fn not_there(&self, credential: &str, origin: &Origin) -> String {
        let provider = &self.provider;
        format!(
            "the credential {credential:?} may not be sent to {origin}: if it may, name it in `hosts` of [providers.{provider}.credentials.{credential}] in damper.toml"
        )
    }

    /// What to do about a credential without a secret.
    fn no_secret(&self, credential: &str) -> String {
        let provider = &self.provider;
        format!(
            "no secret is bound to credential {credential:?}: bind it in damper.toml under [providers.{provider}.credentials.{credential}]"
        )
    }
}

/// A fetch that gets no token fails as its token did, whatever the guest makes of it.
fn no_token(call: &Call, failed: TokenFailure) -> HttpError {
    let why = failed.failure.message.clone();
    call.set_failed(failed.failure);
    HttpError::Other(why)
}
