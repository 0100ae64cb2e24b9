//! A case: one item, the exchanges that it takes, and the expected outcome. A TOML file each; this module reads and
//! checks them, and runs nothing.

mod check;
mod error;
pub(crate) mod files;
mod read;
pub(crate) mod schema;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::record::FailureKind;
use regex_lite::Regex;
use serde_json::Value;
use url::Url;

pub use error::CaseError;
pub use schema::{Fault, Order};

/// The longest case, and the longest file that a case names, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// One case, read and checked, with the bodies that its files hold.
///
/// ```
/// use std::path::Path;
/// use damper_workbench::Case;
///
/// let text = r#"
///     [request]
///     id = "42"
///     [[exchange]]
///     [exchange.request]
///     url = "https://api.example.org/records/42"
///     [exchange.response]
///     status = 200
///     json = { name = "a record" }
///     [expect.record]
///     json = { name = "a record" }
/// "#;
/// let case = Case::parse(Path::new("cases/found.toml"), text)?;
/// assert_eq!((&*case.name, &*case.item.id), ("found", "42"));
/// assert_eq!(case.last.exchanges[0].request.method, "GET"); // the default
/// assert!(case.is_good(), "the conformance suite can start from it");
/// # Ok::<(), damper_workbench::CaseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Case {
    /// The file's name without its extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The purpose of the case, in a sentence.
    pub description: Option<String>,
    /// Whether the exchanges come in the order in which they are written.
    pub order: Order,
    /// The item to fetch.
    pub item: CaseItem,
    /// Values for the manifest's `[config]` keys.
    pub config: BTreeMap<String, String>,
    /// The values that the provider's cache holds before the first call.
    pub cache: BTreeMap<String, String>,
    /// The calls before the last one; empty where there is one call. Each leaves its resume state and its cache to the
    /// next.
    pub before: Vec<Call>,
    /// The last call, or the only one.
    pub last: Call,
}

/// One call of a case.
#[derive(Debug, Clone)]
pub struct Call {
    /// The requests that the provider has to send, with their responses.
    pub exchanges: Vec<Exchange>,
    /// The expected outcome.
    pub expect: Expect,
}

/// The item of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseItem {
    /// Its id.
    pub id: String,
    /// Its further parameters.
    pub params: BTreeMap<String, String>,
    /// Which attempt it is.
    pub attempt: u32,
    /// The provider's day; the guest's clock stands at its noon, UTC.
    pub day: Day,
    /// The resume state of the first call; `None`: no call was before it.
    pub resume: Option<Bytes>,
}

/// A request that is foreseen, and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request.
    pub request: ForeseenRequest,
    /// The response to it.
    pub answer: Answer,
}

/// The expected request.
#[derive(Debug, Clone)]
pub struct ForeseenRequest {
    /// The method.
    pub method: String,
    /// The URL, normalised.
    pub url: Url,
    /// Headers that must be there with these values, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The credentials that it carries; none: it must carry none.
    pub credentials: Vec<String>,
    /// The body, where it is looked at.
    pub body: Option<ForeseenBody>,
}

/// The expected body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum ForeseenBody {
    /// These bytes.
    Bytes(Bytes),
    /// JSON of this value.
    Json(Value),
    /// Bytes with this SHA-256, in hexadecimal.
    Sha256(String),
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the server takes before it answers.
    pub delay: Duration,
    /// A fault on the wire; the response is then cut or never sent.
    pub fault: Option<Fault>,
}

/// The expected outcome of a case.
#[derive(Debug, Clone)]
pub enum Expect {
    /// A record.
    Record(ExpectedRecord),
    /// A failure.
    Failure(ExpectedFailure),
}

/// The expected record; a field that is none is not checked.
#[derive(Debug, Clone, Default)]
pub struct ExpectedRecord {
    /// The media type.
    pub content_type: Option<String>,
    /// All attributes.
    pub attributes: Option<BTreeMap<String, String>>,
    /// The body.
    pub body: Option<ExpectedBody>,
}

/// A record's body.
#[derive(Debug, Clone)]
pub struct ExpectedBody {
    /// The place of the body in the case, where `--bless` writes the new one.
    pub place: BodyPlace,
    /// The bytes; none if the file is not there yet.
    pub bytes: Option<Bytes>,
}

/// The place of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPlace {
    /// In the case, as text.
    Text,
    /// In the case, as a table of JSON.
    Json,
    /// In this file.
    File(PathBuf),
}

/// The expected failure; a field that is none is not checked.
#[derive(Debug, Clone)]
pub struct ExpectedFailure {
    /// The kind.
    pub kind: FailureKind,
    /// How long the API asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The status that led to it.
    pub status: Option<u16>,
    /// A pattern that the message must match.
    pub message: Option<Regex>,
}

impl Case {
    /// Whether one of its answers has no end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.calls().any(Call::is_endless)
    }

    /// All calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.before.iter().chain([&self.last])
    }

    /// Whether it is a good case: one in which a record comes of exchanges without faults.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_good = |call: &Call| {
            !call.exchanges.is_empty() && call.exchanges.iter().all(|exchange| exchange.answer.fault.is_none())
        };
        let is_not_ready =
            |call: &Call| matches!(&call.expect, Expect::Failure(failure) if failure.kind == FailureKind::NotReady);
        matches!(self.last.expect, Expect::Record(_))
            && self.calls().all(is_good)
            && self.before.iter().all(is_not_ready)
            && self.item.resume.is_none()
    }
}

impl Call {
    /// Whether one of its answers has no end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.answer.fault.is_some_and(Fault::is_endless))
    }
}

/// A failure's kind as a case writes it.
#[must_use]
pub fn kind_name(kind: &FailureKind) -> String {
    match kind {
        FailureKind::TimedOut => "timed-out".to_owned(),
        FailureKind::NotFound => "not-found".to_owned(),
        FailureKind::NotReady => "not-ready".to_owned(),
        FailureKind::OutOfQuota => "out-of-quota".to_owned(),
        other => other.to_string(),
    }
}

/// The kind of this name; a name that is none of the contract's or the host's is the provider's own.
#[must_use]
pub fn kind_of(name: &str) -> FailureKind {
    match name {
        "throttled" => FailureKind::Throttled,
        "unavailable" => FailureKind::Unavailable,
        "timed-out" => FailureKind::TimedOut,
        "unauthorized" => FailureKind::Unauthorized,
        "not-found" => FailureKind::NotFound,
        "rejected" => FailureKind::Rejected,
        "malformed" => FailureKind::Malformed,
        "not-ready" => FailureKind::NotReady,
        "trapped" => FailureKind::Trapped,
        "broken" => FailureKind::Broken,
        "out-of-quota" => FailureKind::OutOfQuota,
        other => FailureKind::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests;
