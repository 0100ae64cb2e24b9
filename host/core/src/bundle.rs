//! Failure bundles: what is needed to replay a fetch that failed, kept with its dead letter. It holds no secrets: they
//! are removed when an exchange is recorded.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::day::Day;
use crate::record::{Failure, FailureKind};

/// The most exchanges of one fetch that are kept: the first ones.
pub const MAX_EXCHANGES: usize = 8;
/// The longest body of a request or an answer that is kept whole, in bytes; of a longer one the beginning is.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A fetch that failed: the item itself is in the dead letter's payload, the component's digest beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The provider's day then.
    pub day: Day,
    /// Which attempt it was.
    pub attempt: u32,
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The value of Retry-After, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The resume state that the call was given; `None` if it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_payload")]
    pub resume: Option<Bytes>,
    /// The exchanges, at most [`MAX_EXCHANGES`].
    pub exchanges: Vec<Exchange>,
}

impl Bundle {
    /// The bundle of a failure.
    #[must_use]
    pub fn of(failure: &Failure, day: Day, attempt: u32, exchanges: Vec<Exchange>) -> Self {
        let milliseconds = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let retry_after_ms = failure.retry_after.map(milliseconds);
        Self { day, attempt, kind: failure.kind.clone(), retry_after_ms, resume: None, exchanges }
    }
}

/// One request of a fetch, and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers that the provider set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body that the provider gave.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
    /// The credentials that went along, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    /// The result.
    pub answer: ExchangeOutcome,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeOutcome {
    /// A response; of a redirect only its location.
    Came {
        /// Its status.
        status: u16,
        /// Its headers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
        /// Its body, decompressed.
        #[serde(default, skip_serializing_if = "Body::is_empty")]
        body: Body,
    },
    /// No response came.
    Failed {
        /// The reason that the host gives.
        why: String,
    },
}

/// A body, whole or the beginning of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The bytes: text if they are text, else base64.
    #[serde(with = "payload")]
    pub bytes: Bytes,
    /// Whether more followed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Body {
    /// The part of a body that is kept.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let kept = body.get(..MAX_BODY_BYTES).unwrap_or(body);
        Self { bytes: Bytes::copy_from_slice(kept), is_cut: kept.len() < body.len() }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_cut
    }
}

/// The same, or null.
mod optional_payload {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer, payload};

    #[derive(Serialize, Deserialize)]
    struct OptionalBytes(#[serde(with = "payload")] Bytes);

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(OptionalBytes).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<OptionalBytes>::deserialize(deserializer)?.map(|OptionalBytes(bytes)| bytes))
    }
}

/// Bytes as text if they are text, else as `{"base64": "..."}`.
pub(crate) mod payload {
    use super::{Bytes, Deserialize, Deserializer, Engine, STANDARD, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Payload {
        Text(String),
        Binary { base64: String },
    }

    pub(crate) fn serialize<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(payload) {
            Ok(text) => Payload::Text(text.to_owned()),
            Err(_) => Payload::Binary { base64: STANDARD.encode(payload) },
        }
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        use serde::de::Error;
        Ok(match Payload::deserialize(deserializer)? {
            Payload::Text(text) => Bytes::from(text),
            Payload::Binary { base64 } => Bytes::from(STANDARD.decode(base64).map_err(D::Error::custom)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_comes_back_as_it_was_kept() {
        let came = ExchangeOutcome::Came {
            status: 404,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::of(b"\xff\x00"),
        };
        let exchange = |answer| Exchange {
            method: "GET".into(),
            url: "https://api.test/a".into(),
            headers: Vec::new(),
            body: Body::default(),
            credentials: vec!["key".into()],
            answer,
        };
        let failure = Failure { retry_after: Some(Duration::from_secs(2)), ..Failure::new(FailureKind::NotFound, "x") };
        let exchanges = vec![exchange(came), exchange(ExchangeOutcome::Failed { why: "timed out".into() })];
        let bundle = Bundle::of(&failure, "2026-11-25".parse().unwrap(), 3, exchanges);
        let text = serde_json::to_string(&bundle).unwrap();
        assert_eq!(serde_json::from_str::<Bundle>(&text).unwrap(), bundle, "{text}");
    }

    #[test]
    fn a_long_body_is_kept_as_its_beginning() {
        let body = vec![b'x'; MAX_BODY_BYTES + 1];
        let kept = Body::of(&body);
        assert_eq!((kept.bytes.len(), kept.is_cut), (MAX_BODY_BYTES, true));
        assert!(!Body::of(&body[..MAX_BODY_BYTES]).is_cut);
    }
}
