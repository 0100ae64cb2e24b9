//! An OAuth 2.0 client: its id and its secret (RFC 6749, section 2.3.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::secret_spellings::secret_spellings;

/// A client's id and its secret.
#[derive(Deserialize)]
pub(crate) struct Client {
    #[serde(rename = "client_id")]
    pub(crate) id: String,
    #[serde(rename = "client_secret")]
    pub(crate) secret: String,
}

impl Client {
    /// `client_id:client_secret`, or a JSON object with these two keys; none where a text is neither.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let read = match serde_json::from_str(text) {
            Ok(client) => Some(client),
            Err(_) if text.trim_start().starts_with('{') => None,
            Err(_) => text.split_once(':').map(|(id, secret)| Self { id: id.to_owned(), secret: secret.to_owned() }),
        };
        read.filter(|client| !client.id.is_empty() && !client.secret.is_empty())
    }

    /// The value behind `Basic ` in `Authorization`: both parts are form-encoded first.
    pub(crate) fn basic(&self) -> String {
        BASE64.encode(format!("{}:{}", form_encode(&self.id), form_encode(&self.secret)))
    }

    /// Every text of it that must not be written.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let mut spellings = secret_spellings(&self.secret);
        spellings.push(self.basic());
        spellings.push(BASE64.encode(format!("{}:{}", self.id, self.secret)));
        spellings
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

fn form_encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_read_from_either_form() {
        let read = |text| Client::read(text).map(|client| (client.id, client.secret));
        let both = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(read("id:sec:ret"), both("id", "sec:ret"));
        assert_eq!(read(r#"{"client_id": "urn:x", "client_secret": "s", "more": 1}"#), both("urn:x", "s"));
        for text in ["id", ":secret", "id:", r#"{"client_id": "a:b"}"#, r#"{"client_id": "", "client_secret": "s"}"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_client_prints_without_its_secret() {
        assert_eq!(format!("{:?}", Client::read("id:hunter2").unwrap()), r#"Client { id: "id", .. }"#);
    }
}
