//! Secrets, their sources, and the hosts that may receive them.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
pub use damper_core::manifest::ClientAuth;
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

/// A secret. Its debug output hides it, and it must not be written anywhere. Its memory is overwritten when it is
/// dropped; copies that an HTTP client or the scrubber makes of it are not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for a [`SecretSource`] that writes it to its place. It belongs nowhere else.
    #[must_use]
    pub fn text_to_store(&self) -> &str {
        &self.0
    }

    /// The text: for the request that needs it, and for scrubbing it from everything else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// A source of a secret: it is read when the secret is first needed, and again when an API no longer accepts the
/// secret.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The secret as it is now. It may be dropped before it has ended, with the fetch that waits for it.
    ///
    /// # Errors
    /// Why it cannot be read, for an operator: no secret and no part of one.
    async fn read(&self) -> Result<Secret, SecretError>;

    /// Whether [`SecretSource::replace`] can work here: a file can be written, an environment variable cannot.
    fn is_writable(&self) -> bool {
        false
    }

    /// Writes `new`, if the place still holds `old`; durable when it returns. `false`: it holds something else by now,
    /// which stays.
    ///
    /// # Errors
    /// Why it cannot be written, for an operator: no secret and no part of one. It may have been written all the same.
    async fn replace(&self, _old: &Secret, _new: &Secret) -> Result<bool, SecretError> {
        Err(SecretError::new("it cannot be written"))
    }
}

/// Why a secret cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(String);

impl SecretError {
    /// Why, in lower case, without the secret.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A secret that is always the same.
#[async_trait]
impl SecretSource for Secret {
    async fn read(&self) -> Result<Secret, SecretError> {
        Ok(self.clone())
    }
}

/// One key of a JSON object that another source holds.
pub struct JsonKey {
    source: Arc<dyn SecretSource>,
    key: String,
}

impl JsonKey {
    /// The key's text in what `source` holds.
    pub fn new(source: Arc<dyn SecretSource>, key: impl Into<String>) -> Self {
        Self { source, key: key.into() }
    }

    /// The key's text in this object.
    ///
    /// # Errors
    /// If it is no object, lacks the key, or has something else than text there.
    pub fn select(&self, object: &Secret) -> Result<Secret, SecretError> {
        let key = &self.key;
        let object: Map<String, Value> = serde_json::from_str(object.expose())
            .map_err(|_| SecretError::new(format!("it is not a JSON object, so it has no key {key:?}")))?;
        match object.get(key) {
            Some(Value::String(text)) => Ok(Secret::new(text)),
            Some(_) => Err(SecretError::new(format!("the value at its key {key:?} is not text"))),
            None => Err(SecretError::new(format!("it has no key {key:?}"))),
        }
    }

    /// The object with this text at the key.
    fn with_text(&self, object: &Secret, text: &Secret) -> Result<Secret, SecretError> {
        let no_object = |_| SecretError::new("it is not a JSON object any more");
        let mut object: Map<String, Value> = serde_json::from_str(object.expose()).map_err(no_object)?;
        object.insert(self.key.clone(), Value::String(text.expose().to_owned()));
        Ok(Secret::new(Value::Object(object).to_string()))
    }
}

#[async_trait]
impl SecretSource for JsonKey {
    async fn read(&self) -> Result<Secret, SecretError> {
        self.select(&self.source.read().await?)
    }

    fn is_writable(&self) -> bool {
        self.source.is_writable()
    }

    async fn replace(&self, old: &Secret, new: &Secret) -> Result<bool, SecretError> {
        let object = self.source.read().await?;
        if self.select(&object)? != *old {
            return Ok(false);
        }
        self.source.replace(&object, &self.with_text(&object, new)?).await
    }
}

/// A secret's source, and the hosts that may receive the secret.
#[derive(Clone)]
pub struct SecretBinding {
    /// The source from which it is read.
    pub source: Arc<dyn SecretSource>,
    /// The name of that place, in messages: `the file secrets/key`.
    pub place: String,
    /// The secret, where it was read already: it is checked when the provider is loaded. Else it is read when it is
    /// first needed.
    pub known: Option<Secret>,
    /// The hosts that may receive it: host names (https, port 443) or whole origins as in [`super::Origin`]. None
    /// listed: the manifest's hosts, and no private origin.
    pub hosts: Vec<String>,
    /// The endpoint from which tokens are fetched with it; for the kinds `oauth2-client-credentials`,
    /// `oauth2-refresh-token` and `jwt-bearer`, which need it.
    pub tokens: Option<TokenEndpoint>,
    /// Certificates in PEM, which alone are trusted for its hosts; for kind `mtls`.
    pub ca: Option<String>,
    /// Where its signatures are valid; for kind `aws-sigv4`, which needs it.
    pub signing: Option<SigningScope>,
    /// The limit of this key; for the kinds `header`, `query`, `basic` and `bearer`.
    pub limit: Option<KeyLimit>,
    /// Further keys, used in turn with this one; for the kinds `header`, `query`, `basic` and `bearer`.
    pub more_keys: Vec<FurtherKey>,
}

/// The kinds whose secrets are sent as they are, one with each request: only of these there may be several keys, and
/// only these may have limits. A token is requested once for many requests, a certificate is shown once for a
/// connection, and a component decides where a signature goes.
pub(crate) const LIMITED_KINDS: [&str; 4] = ["header", "query", "basic", "bearer"];

/// The limit of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLimit {
    /// The most requests in one of the provider's days, over all processes.
    pub daily_quota: NonZeroU64,
    /// The name under which its requests are counted, at most 64 bytes, and no part of the key. Keys of a provider with
    /// the same name are one key.
    pub counted_as: String,
}

/// A further key of a credential.
#[derive(Clone)]
pub struct FurtherKey {
    /// The source from which it is read.
    pub source: Arc<dyn SecretSource>,
    /// The name of that place, in messages.
    pub place: String,
    /// The key, where it was read already.
    pub known: Option<Secret>,
    /// The limit of this key.
    pub limit: Option<KeyLimit>,
}

impl SecretBinding {
    /// Whether one of its keys has a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some() || self.more_keys.iter().any(|key| key.limit.is_some())
    }
}

impl FurtherKey {
    /// The key alone, for these hosts.
    pub(crate) fn bind(&self, hosts: &[String]) -> SecretBinding {
        let binding = SecretBinding::read_from(Arc::clone(&self.source), &*self.place, hosts.to_vec());
        SecretBinding { known: self.known.clone(), limit: self.limit.clone(), ..binding }
    }
}

impl SecretBinding {
    /// A secret that is known and stays the same, for these hosts.
    pub fn constant(secret: impl Into<String>, hosts: Vec<String>) -> Self {
        let secret = Secret::new(secret);
        Self {
            source: Arc::new(secret.clone()),
            place: "the value that was given at the start".to_owned(),
            known: Some(secret),
            hosts,
            tokens: None,
            ca: None,
            signing: None,
            limit: None,
            more_keys: Vec::new(),
        }
    }

    /// A secret that is read from a source when it is needed, for these hosts.
    pub fn read_from(source: Arc<dyn SecretSource>, place: impl Into<String>, hosts: Vec<String>) -> Self {
        Self {
            source,
            place: place.into(),
            known: None,
            hosts,
            tokens: None,
            ca: None,
            signing: None,
            limit: None,
            more_keys: Vec::new(),
        }
    }
}

impl fmt::Debug for SecretBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, hosts, tokens, .. } = self;
        f.debug_struct("SecretBinding")
            .field("place", place)
            .field("hosts", hosts)
            .field("tokens", tokens)
            .finish_non_exhaustive()
    }
}

/// Where the signatures of an access key of AWS are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningScope {
    /// The region, such as `eu-west-1`.
    pub region: String,
    /// The service, such as `execute-api`.
    pub service: String,
}

/// The endpoint from which tokens are fetched: with a client's id and secret (RFC 6749, section 4.4), with a refresh
/// token (section 6), or with an assertion (RFC 7523).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Its URL: to bind it here is to grant its origin to the host, for tokens alone.
    pub url: Url,
    /// The scopes to ask for; none: what the server gives by itself.
    pub scopes: Vec<String>,
    /// The place of the client's id and secret in the request.
    pub client_auth: ClientAuth,
    /// Whom an assertion is for; none: the endpoint's URL.
    pub audience: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_nothing() {
        let binding = SecretBinding::constant("hunter2", vec!["a.test".to_owned()]);
        let printed = format!("{binding:?} {:?}", binding.known);
        assert!(printed.contains("a.test") && !printed.contains("hunter2"), "{printed}");
    }

    #[tokio::test]
    async fn a_key_of_an_object_is_replaced_and_the_others_stay() {
        struct Place(std::sync::Mutex<Secret>);
        #[async_trait]
        impl SecretSource for Place {
            async fn read(&self) -> Result<Secret, SecretError> {
                Ok(self.0.lock().unwrap().clone())
            }

            fn is_writable(&self) -> bool {
                true
            }

            async fn replace(&self, old: &Secret, new: &Secret) -> Result<bool, SecretError> {
                let mut held = self.0.lock().unwrap();
                let is_as_before = *held == *old;
                if is_as_before {
                    *held = new.clone();
                }
                Ok(is_as_before)
            }
        }
        let place = Arc::new(Place(std::sync::Mutex::new(Secret::new(r#"{"token": "one", "port": 5432}"#))));
        let key = JsonKey::new(place.clone(), "token");
        assert!(key.is_writable() && !Secret::new("x").is_writable());
        assert_eq!(key.replace(&Secret::new("another"), &Secret::new("two")).await, Ok(false));
        assert_eq!(key.replace(&Secret::new("one"), &Secret::new("two")).await, Ok(true));
        let object: Value = serde_json::from_str(place.read().await.unwrap().expose()).unwrap();
        assert_eq!(object, serde_json::json!({ "token": "two", "port": 5432 }));
    }

    #[tokio::test]
    async fn a_key_of_an_object_is_a_secret() {
        let read = |text: &str, key: &str| {
            let key = JsonKey::new(Arc::new(Secret::new(text)), key);
            async move { key.read().await }
        };
        let object = r#"{"password": "hunter2", "port": 5432}"#;
        assert_eq!(read(object, "password").await, Ok(Secret::new("hunter2")));
        for (text, key, why) in [
            (object, "user", "it has no key \"user\""),
            (object, "port", "the value at its key \"port\" is not text"),
            ("hunter2", "password", "it is not a JSON object, so it has no key \"password\""),
            ("[1]", "password", "it is not a JSON object, so it has no key \"password\""),
        ] {
            assert_eq!(read(text, key).await.unwrap_err().to_string(), why);
        }
    }
}
