//! A request and its response for a person, a case or a replay, without secrets: how the request ended, and its headers
//! and bodies where they are kept.

use std::time::Duration;

use bytes::Bytes;
use damper_core::bundle::{Body, Exchange, ExchangeOutcome};

/// Headers whose values are never written.
const PRIVATE: [&str; 13] = [
    "api-key",
    "authentication-info",
    "authorization",
    "cookie",
    "proxy-authenticate",
    "proxy-authorization",
    "set-cookie",
    "www-authenticate",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-session-id",
];
/// The replacement of a private header's value.
const REPLACEMENT: &str = "[redacted]";

/// Whether a header's value is never written. Its name is given in lower case.
#[must_use]
pub fn is_private_header(name: &str) -> bool {
    PRIVATE.contains(&name)
}

/// One request of a call, as `damper fetch` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTrace {
    /// The method.
    pub method: String,
    /// The URL, without secrets.
    pub url: String,
    /// The status of the response, or why there was none.
    pub outcome: Result<u16, String>,
    /// From sending to the last byte.
    pub duration: Duration,
    /// The size of the request's body, in bytes.
    pub request_bytes: usize,
    /// The size of the response's body, decompressed, in bytes.
    pub response_bytes: usize,
    /// Headers and bodies, where they are kept: see [`fetch_recorded`](crate::Plugin::fetch_recorded).
    pub recorded: Option<Box<RecordedExchange>>,
}

/// The headers and bodies of one request and its response. They contain no credential: the host applies credentials
/// later, and secrets that a response repeats were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedExchange {
    /// The headers that the guest set, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body that the guest gave.
    pub body: Vec<u8>,
    /// The credentials that it named, if they were sent.
    pub credentials: Vec<String>,
    /// The response; of a redirect its location alone. None if there was no whole response.
    pub response: Option<RecordedResponse>,
}

/// A response's headers and body, decompressed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The headers, names in lower case. Set-Cookie is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RequestTrace {
    /// The request and its response as a dead letter keeps them; none if they were not recorded.
    pub(crate) fn into_exchange(self) -> Option<Exchange> {
        let Self { method, url, outcome, request_bytes, response_bytes, recorded, .. } = self;
        let RecordedExchange { headers, body, credentials, response } = *recorded?;
        let answer = match (outcome, response) {
            (Ok(status), response) => {
                let RecordedResponse { headers, body } = response.unwrap_or_default();
                ExchangeOutcome::Came { status, headers: redact_headers(headers), body: cut_body(body, response_bytes) }
            }
            (Err(why), _) => ExchangeOutcome::Failed { why },
        };
        Some(Exchange {
            method,
            url,
            headers: redact_headers(headers),
            body: cut_body(body, request_bytes),
            credentials,
            answer,
        })
    }
}

fn redact_headers(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let shown = |(name, value): (String, String)| {
        let value = if is_private_header(&name) { REPLACEMENT.to_owned() } else { value };
        (name, value)
    };
    headers.into_iter().map(shown).collect()
}

fn cut_body(body: Vec<u8>, whole_bytes: usize) -> Body {
    Body { is_cut: body.len() < whole_bytes, bytes: Bytes::from(body) }
}
