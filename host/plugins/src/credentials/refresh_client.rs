//! An OAuth 2.0 client with a refresh token (RFC 6749, section 6): a secret of which the host replaces a part.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Client;
use super::secret_spellings::secret_spellings;
use crate::grants::Secret;

/// The key of the refresh token in the secret.
const REFRESH_TOKEN: &str = "refresh_token";

/// A client and its refresh token.
pub(crate) struct RefreshClient {
    pub(super) id: String,
    /// The client with its secret; none if it is a public client.
    pub(super) client: Option<Client>,
    pub(crate) refresh_token: Secret,
}

/// The secret's text: a JSON object.
#[derive(Deserialize)]
struct RefreshText {
    client_id: String,
    client_secret: Option<String>,
    refresh_token: String,
}

impl RefreshClient {
    /// Reads a secret, else says what is wrong with it, as the end of a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        // The parser's own error could quote the secret.
        let RefreshText { client_id, client_secret, refresh_token } = serde_json::from_str(text).map_err(
            |_| "is not a JSON object with `client_id`, `refresh_token` and, unless the client is public, `client_secret`",
        )?;
        if client_id.is_empty() || refresh_token.is_empty() {
            return Err("has an empty `client_id` or `refresh_token`");
        }
        let secret = client_secret.filter(|secret| !secret.is_empty());
        let client = secret.map(|secret| Client { id: client_id.clone(), secret });
        Ok(Self { id: client_id, client, refresh_token: Secret::new(refresh_token) })
    }

    /// The secret's text with another refresh token in it; none if it is no JSON object.
    pub(crate) fn replace_refresh_token(text: &Secret, refresh_token: &Secret) -> Option<Secret> {
        let mut object: Map<String, Value> = serde_json::from_str(text.expose()).ok()?;
        object.insert(REFRESH_TOKEN.to_owned(), Value::String(refresh_token.expose().to_owned()));
        Some(Secret::new(Value::Object(object).to_string()))
    }

    /// Every text of it that must not be written.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let mut spellings = secret_spellings(self.refresh_token.expose());
        spellings.extend(self.client.iter().flat_map(Client::spellings));
        spellings
    }
}

impl fmt::Debug for RefreshClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshClient").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_public() {
        let client = RefreshClient::read(r#"{"client_id": "app", "refresh_token": "r1", "note": 1}"#).unwrap();
        assert_eq!((client.id.as_str(), client.client.is_none()), ("app", true));
        let client = RefreshClient::read(r#"{"client_id": "app", "client_secret": "s", "refresh_token": "r1"}"#);
        assert_eq!(client.unwrap().client.unwrap().secret, "s");
        for text in
            ["r1", "{}", r#"{"client_id": "", "refresh_token": "r"}"#, r#"{"client_id": "a", "refresh_token": 1}"#]
        {
            assert!(RefreshClient::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_new_refresh_token_takes_the_place_of_the_old_one_and_nothing_else_changes() {
        let text = Secret::new(r#"{"client_id": "app", "refresh_token": "r1", "note": [1, 2]}"#);
        let changed = RefreshClient::replace_refresh_token(&text, &Secret::new("r\"2")).unwrap();
        let object: Value = serde_json::from_str(changed.expose()).unwrap();
        assert_eq!(object, serde_json::json!({ "client_id": "app", "refresh_token": "r\"2", "note": [1, 2] }));
        assert!(!format!("{:?}", RefreshClient::read(changed.expose()).unwrap()).contains("r\"2"));
    }

    #[test]
    fn each_part_of_the_secret_is_scrubbed() {
        let text = r#"{"client_id": "app", "client_secret": "hunter2", "refresh_token": "swordfish"}"#;
        let spellings = RefreshClient::read(text).unwrap().spellings();
        for secret in ["hunter2", "swordfish", "c3dvcmRmaXNo", "YXBwOmh1bnRlcjI="] {
            assert!(spellings.iter().any(|spelling| spelling == secret), "{secret}");
        }
    }
}
