//! An exchange as it was, for a person, a case or a replay: what the guest sent and what it was given, without secrets.

use bytes::Bytes;
use damper_core::bundle::{Answer, Body, Exchange};

use crate::guest_call::RequestTrace;

/// Headers whose values are nobody else's, whatever they hold.
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
/// What stands where a private header's value was.
const REPLACEMENT: &str = "[redacted]";

/// Whether a header's value is written nowhere, whatever it holds. Its name is given in lower case.
#[must_use]
pub fn is_private_header(name: &str) -> bool {
    PRIVATE.contains(&name)
}

/// One request's headers and body, and its answer's. No credential is among them: the host applies those later, and what an
/// answer repeats of a secret was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedExchange {
    /// The headers that the guest set, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body that the guest gave.
    pub body: Vec<u8>,
    /// The credentials that it named, where they went along.
    pub credentials: Vec<String>,
    /// The answer; of a redirect its location alone. None where there was no whole one.
    pub response: Option<RecordedResponse>,
}

/// An answer's headers and body, decompressed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The headers, names in lower case. Set-Cookie is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RequestTrace {
    /// The request and its answer as a dead letter keeps them; none where they were not kept.
    pub(crate) fn into_exchange(self) -> Option<Exchange> {
        let Self { method, url, outcome, request_bytes, response_bytes, recorded, .. } = self;
        let RecordedExchange { headers, body, credentials, response } = *recorded?;
        let answer = match (outcome, response) {
            (Ok(status), response) => {
                let RecordedResponse { headers, body } = response.unwrap_or_default();
                Answer::Came { status, headers: redact_headers(headers), body: cut_body(body, response_bytes) }
            }
            (Err(why), _) => Answer::Failed { why },
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
