//! Items given up on, kept whole with their reason, ready to be redriven.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
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
    /// The record was not ready more than `max_polls` times.
    NeverReady,
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
    /// The entry's bytes as they were fed, in base64 if they are not UTF-8.
    #[serde(with = "crate::bundle::payload")]
    pub payload: Bytes,
    /// Why.
    pub reason: Reason,
    /// The last error, for people, without secrets.
    pub message: String,
    /// The last HTTP status, if there was one.
    pub status: Option<u16>,
    /// Attempts spent.
    pub attempts: u32,
    /// The component that fetched last, as `sha256:...`; empty if none did.
    pub component: String,
    /// The data to replay the last failed fetch; `None` if there was no such fetch, or it is of an earlier call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Box<Bundle>>,
}

/// A filter of dead letters.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this provider only.
    pub provider: Option<String>,
    /// Of this reason only.
    pub reason: Option<Reason>,
    /// Those that have been redriven too.
    pub with_redriven: bool,
}

/// The result of a redrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Letters whose payload is in the stream again.
    pub fed: u64,
    /// Letters whose record has been fetched since: nothing is fed.
    pub fetched_meanwhile: u64,
}
