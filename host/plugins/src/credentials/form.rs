//! A secret in the form that its kind needs, and in all spellings that are scrubbed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use damper_core::manifest::CredentialKind;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::assertion::{self, AssertionKey};
use super::certificate::{self, ClientCertificate};
use super::client::Client;
use super::header_value::header_value;
use super::refresh_client::RefreshClient;
use super::secret_spellings::secret_spellings;
use super::signature::AwsKey;
use crate::grants::Secret;
use crate::redaction::query_value;

/// The longest secret, in bytes: a certificate chain with its key fits.
const MAX_BYTES: usize = 64 * 1024;

/// The longest secret that is sent in a URL, in bytes.
const MAX_QUERY_BYTES: usize = 2 * 1024;

/// The form of a secret.
#[derive(Debug)]
pub(crate) enum Form {
    /// A header that carries it.
    Header(HeaderName, HeaderValue),
    /// A parameter of the URL that carries it: its name, and its value as it is in a URL.
    Parameter(String, Secret),
    /// A key to sign with.
    Key(Secret),
    /// A client, which gets tokens with it.
    Client(Client),
    /// A client with a refresh token, which gets tokens with it.
    Refresh(RefreshClient),
    /// A key that signs assertions, which gets tokens with them.
    Assertion(Box<AssertionKey>),
    /// An access key of AWS, which signs requests.
    Aws(Box<AwsKey>),
    /// A certificate to show.
    Certificate(Arc<ClientCertificate>),
}

impl Form {
    /// A secret as its kind needs it, else what is wrong with it, as the end of a sentence. `ca`: the certificates to
    /// trust where it is a client certificate.
    pub(crate) fn of(kind: &CredentialKind, secret: &Secret, ca: Option<&str>) -> Result<Self, &'static str> {
        let text = secret.expose();
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > MAX_BYTES {
            return Err("is longer than 64 KiB");
        }
        match kind {
            CredentialKind::Header { header, prefix } => {
                let name = header.parse().map_err(|_| "has a header name that is not valid")?;
                sensitive_header(name, &format!("{prefix}{text}"))
            }
            CredentialKind::Query { .. } if text.len() > MAX_QUERY_BYTES => {
                Err("is longer than 2 KiB, too long for a URL")
            }
            CredentialKind::Query { .. } if text.chars().any(char::is_control) => {
                Err("holds a control character, which is not allowed in a URL")
            }
            CredentialKind::Query { parameter } => {
                Ok(Self::Parameter(parameter.clone(), Secret::new(query_value(text))))
            }
            CredentialKind::Basic if !text.contains(':') => Err("is not of the form \"user:password\""),
            CredentialKind::Basic => sensitive_header(AUTHORIZATION, &format!("Basic {}", BASE64.encode(text))),
            CredentialKind::Bearer => sensitive_header(AUTHORIZATION, &format!("Bearer {text}")),
            CredentialKind::Hmac => Ok(Self::Key(secret.clone())),
            CredentialKind::Oauth2ClientCredentials(_) => Client::read(text)
                .map(Self::Client)
                .ok_or("is neither \"client_id:client_secret\" nor a JSON object with these two keys"),
            CredentialKind::Oauth2RefreshToken(_) => RefreshClient::read(text).map(Self::Refresh),
            CredentialKind::JwtBearer(_) => AssertionKey::read(text).map(|key| Self::Assertion(Box::new(key))),
            CredentialKind::AwsSigv4 { .. } => AwsKey::read(text).map(|key| Self::Aws(Box::new(key))),
            CredentialKind::Mtls => {
                ClientCertificate::read(text, ca).map(|certificate| Self::Certificate(Arc::new(certificate)))
            }
        }
    }
}

fn sensitive_header(name: HeaderName, value: &str) -> Result<Form, &'static str> {
    header_value(value)
        .map(|value| Form::Header(name, value))
        .ok_or("holds a control character, which is not allowed in a header")
}

/// Every text that must not be written: the secret, the part of it that is secret by itself, and the spellings in which
/// they are sent or repeated.
pub(crate) fn spellings_of(kind: &CredentialKind, secret: &Secret) -> Vec<String> {
    let text = secret.expose();
    let mut spellings = match kind {
        CredentialKind::Mtls => certificate::spellings(text),
        _ => secret_spellings(text),
    };
    match kind {
        CredentialKind::Basic => {
            if let Some((user, password)) = text.split_once(':') {
                // If there is no password, the user name is the secret: a key.
                spellings.extend(secret_spellings(if password.is_empty() { user } else { password }));
            }
        }
        CredentialKind::Oauth2ClientCredentials(_) => {
            if let Some(client) = Client::read(text) {
                spellings.extend(client.spellings());
            }
        }
        CredentialKind::Oauth2RefreshToken(_) => {
            if let Ok(client) = RefreshClient::read(text) {
                spellings.extend(client.spellings());
            }
        }
        CredentialKind::AwsSigv4 { .. } => {
            if let Ok(key) = AwsKey::read(text) {
                spellings.extend(key.spellings());
            }
        }
        CredentialKind::JwtBearer(_) => spellings.extend(assertion::spellings(text)),
        _ => {}
    }
    spellings
}

#[cfg(test)]
mod tests {
    use damper_core::manifest::TokenSettings;

    use super::*;

    fn spellings_in(kind: &CredentialKind, secret: &str) -> Vec<String> {
        spellings_of(kind, &Secret::new(secret))
    }

    #[test]
    fn every_spelling_of_a_secret_is_known() {
        let spellings = spellings_in(&CredentialKind::Basic, "user:pa ss\"ö?>");
        for expected in [
            "user:pa ss\"ö?>",
            "pa ss\"ö?>",
            "dXNlcjpwYSBzcyLDtj8+",
            "dXNlcjpwYSBzcyLDtj8-",
            "user%3Apa+ss%22%C3%B6%3F%3E",
            "user%3Apa%20ss%22%C3%B6%3F%3E",
            "user:pa ss\\\"ö?>",
        ] {
            assert!(spellings.iter().any(|spelling| spelling == expected), "{expected}: {spellings:?}");
        }
        assert!(spellings_in(&CredentialKind::Bearer, "t0").contains(&"t0".to_owned()));
    }

    #[test]
    fn a_clients_secret_is_known_by_itself() {
        for text in ["the id:the/secret", r#"{"client_id": "the id", "client_secret": "the/secret"}"#] {
            let spellings = spellings_in(&CredentialKind::Oauth2ClientCredentials(TokenSettings::default()), text);
            let basic = BASE64.encode("the+id:the%2Fsecret");
            for expected in [text, "the/secret", "the%2Fsecret", &basic] {
                assert!(spellings.iter().any(|spelling| spelling == expected), "{expected}: {spellings:?}");
            }
            assert!(!spellings.iter().any(|spelling| spelling == "the id"), "an id is no secret");
        }
    }
}
