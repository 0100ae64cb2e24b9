//! The result of a fetch: a record, or a failure of a kind that decides what follows.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A record, as the API gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The body's media type.
    pub content_type: String,
    /// The record itself.
    pub body: Bytes,
    /// Small facts to store beside the body, in the provider's order.
    pub attributes: Vec<(String, String)>,
}

/// Why there is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind, which decides what follows for the item and for the provider.
    pub kind: FailureKind,
    /// The error, for people, without secrets.
    pub message: String,
    /// The value of Retry-After, from now.
    pub retry_after: Option<Duration>,
    /// The HTTP status that led here, if there was one.
    pub status: Option<u16>,
    /// The resume state for the next call of the item; only of [`FailureKind::NotReady`].
    pub resume: Box<[u8]>,
    /// Whether a token endpoint failed, rather than the API: the failure says nothing of the API's load or of the item.
    pub is_of_token_endpoint: bool,
}

impl Failure {
    /// A failure of this kind, with neither a status nor a time to wait.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            status: None,
            resume: Box::default(),
            is_of_token_endpoint: false,
        }
    }

    /// The failure as JSON, as commands and invocations print it: the wait in whole milliseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let milliseconds = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        json!({
            "kind": self.kind, "message": self.message, "status": self.status,
            "retry_after_ms": self.retry_after.map(milliseconds),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)?;
        self.status.map_or(Ok(()), |status| write!(f, " (status {status})"))
    }
}

/// The kinds of failure; what each leads to is decided in `pipeline::verdict`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The API throttles.
    Throttled,
    /// The API does not work.
    Unavailable,
    /// No answer in time, or the call itself ran out of its time.
    TimedOut,
    /// The API does not accept our credential.
    Unauthorized,
    /// The API has no such record.
    NotFound,
    /// The API refuses this request and always will.
    Rejected,
    /// The answer cannot be read.
    Malformed,
    /// The API has taken the order, and the record is not ready yet. No failure of the API or of the item.
    NotReady,
    /// Anything else that the provider names.
    Other(String),
    /// The component trapped, ran away or passed its memory limit.
    Trapped,
    /// The day's quota of requests was spent before the fetch could end.
    OutOfQuota,
    /// The component cannot run at all, or a secret that it needs is not bound.
    Broken,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed out",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not found",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed",
            Self::NotReady => "not ready",
            Self::Other(name) => name,
            Self::Trapped => "trapped",
            Self::OutOfQuota => "out of quota",
            Self::Broken => "broken",
        })
    }
}
