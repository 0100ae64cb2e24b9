//! An exchange as it was, for a person, a case or a replay: what the guest sent and what it was given, without secrets.

use std::sync::Arc;

use http::HeaderMap;

use crate::text::Scrubber;

/// One request's headers and body, and its answer's. No credential is among them: the host applies those later, and what an
/// answer repeats of a secret was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The headers that the guest set, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body that the guest gave.
    pub body: Vec<u8>,
    /// The credential that it named, if it went along.
    pub credential: Option<String>,
    /// The answer; of a redirect its location alone. None where there was no whole one.
    pub answer: Option<RecordedAnswer>,
}

/// An answer's headers and body, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// The headers, names in lower case. Set-Cookie is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn request(
        headers: &HeaderMap,
        body: &[u8],
        credential: Option<&str>,
        scrubber: &Arc<Scrubber>,
    ) -> Self {
        let text = |value: &http::HeaderValue| scrubber.text(&String::from_utf8_lossy(value.as_bytes())).into_owned();
        Self {
            headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: scrubber.bytes(body.to_vec()),
            credential: credential.map(str::to_owned),
            answer: None,
        }
    }
}
