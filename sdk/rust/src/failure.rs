//! Why there is no record.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::text;

/// The meaning of a failure for the item and for the provider; it decides Damper's next step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The API asks for fewer requests. No attempt is spent; everything to this API waits.
    Throttled,
    /// The API does not work. Retried; an attempt is spent only where other items succeed at the same time.
    Unavailable,
    /// The API did not answer in time. Treated like `Unavailable`.
    TimedOut,
    /// The API does not accept the credential. No attempt is spent; the provider stops until an operator has seen to
    /// it.
    Unauthorized,
    /// The API has no such record. Final.
    NotFound,
    /// The API refuses this request and always will. Final.
    Rejected,
    /// The answer cannot be read. Retried a few times.
    Malformed,
    /// The API has taken the order, and the record is not ready yet. No attempt is spent. The item is asked for again
    /// after the failure's `retry_after`, and gets these bytes, at most 4 KiB, as [`FetchRequest::resume`].
    ///
    /// [`FetchRequest::resume`]: crate::FetchRequest::resume
    NotReady(Vec<u8>),
    /// Anything else, named. Treated like `Malformed`.
    Other(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureKind::Throttled => "throttled",
            FailureKind::Unavailable => "unavailable",
            FailureKind::TimedOut => "timed-out",
            FailureKind::Unauthorized => "unauthorized",
            FailureKind::NotFound => "not-found",
            FailureKind::Rejected => "rejected",
            FailureKind::Malformed => "malformed",
            FailureKind::NotReady(_) => "not-ready",
            FailureKind::Other(name) => name,
        })
    }
}

/// Why there is no record.
///
/// `?` makes one of an [`http::Error`](crate::http::Error) and of a `serde_json::Error`;
/// [`Response::ok`](crate::http::Response::ok) makes one of a status. A provider makes its own where it knows better:
///
/// ```
/// use damper_sdk::{Failure, FailureKind};
/// use std::time::Duration;
///
/// let failure = Failure::throttled("the daily batch is running").with_retry_after(Duration::from_secs(60));
/// assert_eq!(failure.kind, FailureKind::Throttled);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Its meaning for the item and the provider.
    pub kind: FailureKind,
    /// The problem, in a sentence, without secrets and without the whole body.
    pub message: String,
    /// How long the API asked to be left alone, from now.
    pub retry_after: Option<Duration>,
    /// The HTTP status that led here, where there was one.
    pub status: Option<u16>,
    /// Fields that later versions of the contract add.
    pub extras: Vec<(String, String)>,
}

impl Failure {
    /// A failure of a kind. The functions named after the kinds are shorter.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), retry_after: None, status: None, extras: Vec::new() }
    }

    /// The API asks for fewer requests.
    pub fn throttled(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Throttled, message)
    }

    /// The API does not work.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Unavailable, message)
    }

    /// The API did not answer in time.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::TimedOut, message)
    }

    /// The API does not accept the credential.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Unauthorized, message)
    }

    /// The API has no such record.
    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::NotFound, message)
    }

    /// The request cannot succeed, now or later: for instance an id of the wrong shape.
    pub fn rejected(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Rejected, message)
    }

    /// The answer cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Malformed, message)
    }

    /// The API has taken the order, and the record is not ready yet. The next call for this item gets `resume`, such as
    /// the API's order number, at most 4 KiB; add when the API is to be asked again with
    /// [`with_retry_after`](Self::with_retry_after).
    ///
    /// ```
    /// use damper_sdk::{Failure, FailureKind};
    /// use std::time::Duration;
    ///
    /// let failure = Failure::not_ready("order 7 is in progress", "7").with_retry_after(Duration::from_secs(5));
    /// assert_eq!(failure.kind, FailureKind::NotReady(b"7".to_vec()));
    /// ```
    pub fn not_ready(message: impl Into<String>, resume: impl Into<Vec<u8>>) -> Self {
        Failure::new(FailureKind::NotReady(resume.into()), message)
    }

    /// Anything else, by a name of your own.
    pub fn other(name: impl Into<String>, message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Other(name.into()), message)
    }

    /// The same failure, with how long the API asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same failure, with the HTTP status that led to it.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl Error for Failure {}

/// JSON that does not parse, or not into the wanted shape, is `malformed`.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::malformed(format!("not the expected JSON: {}", json_reason(&error)))
    }
}

/// Bytes that are not UTF-8 are `malformed`.
impl From<std::str::Utf8Error> for Failure {
    fn from(error: std::str::Utf8Error) -> Self {
        Failure::malformed(format!("not UTF-8: {error}"))
    }
}

/// Bytes that are not UTF-8 are `malformed`.
impl From<std::string::FromUtf8Error> for Failure {
    fn from(error: std::string::FromUtf8Error) -> Self {
        error.utf8_error().into()
    }
}

/// The message of a JSON error. It may quote the document, so it is cut like a body.
pub(crate) fn json_reason(error: &serde_json::Error) -> String {
    text::excerpt(&error.to_string()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_kind_and_message() {
        assert_eq!(Failure::not_found("no such thing").to_string(), "not-found: no such thing");
        assert_eq!(Failure::other("denied", "no").to_string(), "denied: no");
    }

    #[test]
    fn a_json_error_quotes_little_of_the_document() {
        let document = format!("\"{}\"", "s3cret".repeat(200));
        let error = serde_json::from_str::<u32>(&document).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.chars().count() < 200, "{}", failure.message);
    }

    #[test]
    fn bytes_that_are_no_text_are_malformed() {
        let error = String::from_utf8(vec![0xff]).unwrap_err();
        assert_eq!(Failure::from(error).kind, FailureKind::Malformed);
    }
}
