//! Secrets at work: a component names a credential, and the host applies it to a request or signs with it. Nothing here
//! hands a secret out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use damper_core::manifest::{CredentialKind, Manifest};
use hmac::{Hmac, Mac};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::{Sha256, Sha512};

use crate::grants::{Grants, Origin, OriginError, SecretBinding};

/// A provider's credentials, with the secrets that are bound to them.
#[derive(Debug)]
pub(crate) struct Credentials {
    by_name: BTreeMap<String, Credential>,
}

#[derive(Debug)]
struct Credential {
    kind: CredentialKind,
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    binding: SecretBinding,
    receivers: Vec<Origin>,
}

/// Why a credential cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Its kind is of a later version.
    #[error(
        "the credential {name:?} is of kind {kind}, which this version of damper does not support yet; it supports header, basic, bearer and hmac"
    )]
    Unsupported {
        /// Its name.
        name: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A secret is bound to a credential that the manifest does not name.
    #[error("a secret is bound to {name:?}, which is no credential of the provider: take it out, or correct the name")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The secret does not have the form its kind needs.
    #[error("the secret of the credential {name:?} {problem}")]
    BadSecret {
        /// The credential's name.
        name: String,
        /// What is wrong; never the secret.
        problem: &'static str,
    },
    /// One of the hosts that may receive the secret is none.
    #[error("the hosts of the credential {name:?}: {source}")]
    BadHost {
        /// The credential's name.
        name: String,
        /// What is wrong.
        source: OriginError,
    },
}

/// Why a credential cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The manifest names no such credential, or it is of another kind than is asked for.
    NoSuchCredential,
    /// The operator bound no secret to it.
    NoSecret,
    /// Its secret may not go to this origin.
    NotThere,
}

/// What `sign` computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HmacSha256,
    HmacSha512,
}

impl Credentials {
    pub(crate) fn new(manifest: &Manifest, grants: &Grants) -> Result<Self, CredentialError> {
        if let Some(name) = grants.secrets.keys().find(|name| !manifest.credentials.contains_key(*name)) {
            return Err(CredentialError::Unknown { name: name.clone() });
        }
        let mut by_name = BTreeMap::new();
        for (name, kind) in &manifest.credentials {
            let bound = grants.secrets.get(name).map(|binding| bind(name, binding, manifest)).transpose()?;
            if let Some(kind) = unsupported(kind) {
                return Err(CredentialError::Unsupported { name: name.clone(), kind });
            }
            let credential = Credential { kind: kind.clone(), bound };
            credential.check(name)?;
            by_name.insert(name.clone(), credential);
        }
        Ok(Self { by_name })
    }

    /// Every text that must not be written: the secrets, and the forms in which they are sent.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = String> {
        self.by_name.values().filter_map(|credential| Some((credential, credential.bound.as_ref()?))).flat_map(
            |(credential, bound)| {
                let secret = bound.binding.secret.expose();
                // Where there is no password, the user name is the secret: a key.
                let password = secret
                    .split_once(':')
                    .map(|(user, password)| if password.is_empty() { user } else { password }.to_owned());
                let mut forms = vec![secret.to_owned(), BASE64.encode(secret), percent_encoded(secret)];
                forms.extend(password.filter(|_| credential.kind == CredentialKind::Basic));
                forms
            },
        )
    }

    /// Applies a credential to a request's headers, in the place of any header of the same name.
    pub(crate) fn apply(&self, name: &str, origin: &Origin, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let credential = self.by_name.get(name).ok_or(Refusal::NoSuchCredential)?;
        if credential.kind == CredentialKind::Hmac {
            return Err(Refusal::NoSuchCredential);
        }
        let bound = credential.bound.as_ref().ok_or(Refusal::NoSecret)?;
        if !bound.receivers.contains(origin) {
            return Err(Refusal::NotThere);
        }
        let (header, value) = credential.header(bound.binding.secret.expose()).ok_or(Refusal::NoSuchCredential)?;
        headers.insert(header, value);
        Ok(())
    }

    /// The raw HMAC of a payload.
    pub(crate) fn sign(&self, name: &str, algorithm: Algorithm, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let credential = self.by_name.get(name).filter(|credential| credential.kind == CredentialKind::Hmac);
        let bound = credential.ok_or(Refusal::NoSuchCredential)?.bound.as_ref().ok_or(Refusal::NoSecret)?;
        let key = bound.binding.secret.expose().as_bytes();
        match algorithm {
            Algorithm::HmacSha256 => authenticate::<Hmac<Sha256>>(key, payload),
            Algorithm::HmacSha512 => authenticate::<Hmac<Sha512>>(key, payload),
        }
    }
}

impl Credential {
    /// The header that carries the secret; none for kinds that send none.
    fn header(&self, secret: &str) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match &self.kind {
            CredentialKind::Header { header, prefix } => (header.parse().ok()?, format!("{prefix}{secret}")),
            CredentialKind::Basic => (AUTHORIZATION, format!("Basic {}", BASE64.encode(secret))),
            CredentialKind::Bearer => (AUTHORIZATION, format!("Bearer {secret}")),
            _ => return None,
        };
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }

    fn check(&self, name: &str) -> Result<(), CredentialError> {
        let Some(bound) = &self.bound else { return Ok(()) };
        let secret = bound.binding.secret.expose();
        let problem = if secret.is_empty() {
            "is empty"
        } else if self.kind == CredentialKind::Basic && !secret.contains(':') {
            "is not of the form \"user:password\""
        } else if self.kind != CredentialKind::Hmac && self.header(secret).is_none() {
            "holds a control character, which no header can carry"
        } else {
            return Ok(());
        };
        Err(CredentialError::BadSecret { name: name.to_owned(), problem })
    }
}

fn unsupported(kind: &CredentialKind) -> Option<&'static str> {
    match kind {
        CredentialKind::Oauth2ClientCredentials => Some("oauth2-client-credentials"),
        CredentialKind::Mtls => Some("mtls"),
        _ => None,
    }
}

fn bind(name: &str, binding: &SecretBinding, manifest: &Manifest) -> Result<Bound, CredentialError> {
    let hosts = if binding.hosts.is_empty() { &manifest.egress.hosts } else { &binding.hosts };
    let origin = |host: &String| if host.contains("://") { host.parse() } else { Origin::https(host) };
    let receivers = hosts.iter().map(origin).collect::<Result<_, _>>();
    let receivers = receivers.map_err(|source| CredentialError::BadHost { name: name.to_owned(), source })?;
    Ok(Bound { binding: binding.clone(), receivers })
}

fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn authenticate<M: Mac + hmac::digest::KeyInit>(key: &[u8], payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    // An HMAC takes keys of every length.
    let mut mac = <M as Mac>::new_from_slice(key).map_err(|_| Refusal::NoSecret)?;
    mac.update(payload);
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component_file::hexadecimal;
    use crate::grants::Secret;

    const MANIFEST: &str = r#"
        name = "x"
        version = "0.1.0"
        [egress]
        hosts = ["api.test"]
        [credentials]
        key = { kind = "header", header = "X-Key", prefix = "K " }
        login = { kind = "basic" }
        token = { kind = "bearer" }
        signing = { kind = "hmac" }
    "#;

    fn grants(secrets: &[(&str, &str, &[&str])]) -> Grants {
        let binding = |(name, secret, hosts): &(&str, &str, &[&str])| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            ((*name).to_owned(), SecretBinding { secret: Secret::new(*secret), hosts })
        };
        Grants { secrets: secrets.iter().map(binding).collect(), ..Grants::default() }
    }

    fn credentials(secrets: &[(&str, &str, &[&str])]) -> Result<Credentials, CredentialError> {
        Credentials::new(&Manifest::parse(MANIFEST).unwrap(), &grants(secrets))
    }

    #[test]
    fn each_kind_is_applied_in_its_way() {
        let credentials = credentials(&[("key", "s3", &[]), ("login", "u:p", &[]), ("token", "t0", &[])]).unwrap();
        let origin = Origin::https("api.test").unwrap();
        let cases = [
            ("key", "x-key", "K s3"),
            ("login", "authorization", "Basic dTpw"),
            ("token", "authorization", "Bearer t0"),
        ];
        for (name, header, value) in cases {
            let mut headers = HeaderMap::new();
            credentials.apply(name, &origin, &mut headers).unwrap();
            assert_eq!(headers.get(header).unwrap(), value, "{name}");
            assert!(!format!("{headers:?}").contains(value), "a sensitive value prints as nothing");
        }
    }

    #[test]
    fn a_secret_goes_only_where_it_may() {
        let credentials =
            credentials(&[("key", "s3", &["b.test", "http://127.0.0.1:8085"]), ("token", "t", &[])]).unwrap();
        let apply = |name: &str, origin: &str| credentials.apply(name, &origin.parse().unwrap(), &mut HeaderMap::new());
        assert_eq!(apply("key", "https://b.test"), Ok(()));
        assert_eq!(apply("key", "http://127.0.0.1:8085"), Ok(()));
        assert_eq!(apply("key", "https://api.test"), Err(Refusal::NotThere));
        assert_eq!(apply("key", "http://b.test"), Err(Refusal::NotThere));
        assert_eq!(apply("token", "https://api.test"), Ok(()));
        assert_eq!(apply("token", "https://b.test"), Err(Refusal::NotThere));
        assert_eq!(apply("login", "https://api.test"), Err(Refusal::NoSecret));
        assert_eq!(apply("other", "https://api.test"), Err(Refusal::NoSuchCredential));
        assert_eq!(apply("signing", "https://api.test"), Err(Refusal::NoSuchCredential));
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 4231, test case 2.
        let credentials = credentials(&[("signing", "Jefe", &[]), ("key", "k", &[])]).unwrap();
        let payload = b"what do ya want for nothing?";
        let signature = credentials.sign("signing", Algorithm::HmacSha256, payload).unwrap();
        assert_eq!(hexadecimal(&signature), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(credentials.sign("signing", Algorithm::HmacSha512, payload).unwrap().len(), 64);
        assert_eq!(credentials.sign("key", Algorithm::HmacSha256, payload), Err(Refusal::NoSuchCredential));
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        let problem = |secrets: &[(&str, &str, &[&str])]| credentials(secrets).unwrap_err().to_string();
        assert!(problem(&[("nope", "x", &[])]).contains("no credential of the provider"));
        assert!(problem(&[("login", "no-colon", &[])]).contains("user:password"));
        assert!(problem(&[("key", "a\nb", &[])]).contains("control character"));
        assert!(problem(&[("token", "", &[])]).contains("is empty"));
        assert!(problem(&[("token", "t", &["https://a.test/path"])]).contains("no origin"));
        let manifest = MANIFEST.replace("\"hmac\"", "\"mtls\"");
        let error = Credentials::new(&Manifest::parse(&manifest).unwrap(), &Grants::default()).unwrap_err();
        assert!(error.to_string().contains("does not support yet"));
    }

    #[test]
    fn every_form_of_a_secret_is_known() {
        let credentials = credentials(&[("login", "user:pa ss", &[])]).unwrap();
        let forms: Vec<String> = credentials.secrets().collect();
        assert_eq!(forms, ["user:pa ss", "dXNlcjpwYSBzcw==", "user%3Apa+ss", "pa ss"]);
    }

    #[test]
    fn a_key_in_the_place_of_a_user_name_is_a_login_and_a_secret() {
        let credentials = credentials(&[("login", "key:", &[])]).unwrap();
        let mut headers = HeaderMap::new();
        credentials.apply("login", &Origin::https("api.test").unwrap(), &mut headers).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Basic a2V5Og==");
        assert!(credentials.secrets().any(|form| form == "key"));
    }
}
