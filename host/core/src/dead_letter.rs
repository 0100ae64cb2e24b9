//! Items given up on, kept whole with their reason, ready to be redriven.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::SequenceNumber;

/// Why an item was given up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The entry could not be read as an item.
    Unreadable,
    /// The API has no such record.
    NotFound,
    /// The API refuses the request.
    Rejected,
    /// All attempts are spent.
    AttemptsSpent,
    /// The item is older than `max_item_age`.
    TooOld,
    /// A claim expired while the API may have been called, and the manifest says `park`.
    Uncertain,
}

/// One item given up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The provider whose item it was.
    pub provider: String,
    /// The entry's name in the stream.
    pub sequence: SequenceNumber,
    /// When the entry came into the stream.
    pub arrived: Timestamp,
    /// When the item was given up on.
    pub died: Timestamp,
    /// The entry's bytes as they were fed, in base64 where they are not UTF-8.
    #[serde(with = "payload")]
    pub payload: Bytes,
    /// Why.
    pub reason: Reason,
    /// What went wrong last, for a person, without secrets.
    pub message: String,
    /// The last HTTP status, where there was one.
    pub status: Option<u16>,
    /// Attempts spent.
    pub attempts: u32,
    /// The component that fetched last, as `sha256:...`; empty where none did.
    pub component: String,
}

/// Bytes as text where they are text, else as `{"base64": "..."}`.
mod payload {
    use serde::{Deserializer, Serializer, de::Error};

    use super::{Bytes, Deserialize, Engine, STANDARD, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Payload {
        Text(String),
        Binary { base64: String },
    }

    pub(super) fn serialize<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(payload) {
            Ok(text) => Payload::Text(text.to_owned()),
            Err(_) => Payload::Binary { base64: STANDARD.encode(payload) },
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Ok(match Payload::deserialize(deserializer)? {
            Payload::Text(text) => Bytes::from(text),
            Payload::Binary { base64 } => Bytes::from(STANDARD.decode(base64).map_err(D::Error::custom)?),
        })
    }
}
