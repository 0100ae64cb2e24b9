//! A case: one item, the exchanges that it takes, and the expected outcome. A TOML file each; this module reads and
//! checks them, and runs nothing.

mod check;
mod error;
pub(crate) mod files;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::record::FailureKind;
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

pub use error::CaseError;

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
/// assert_eq!(case.exchanges[0].request.method, "GET"); // the default
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
    /// The requests that the provider has to send, with their responses.
    pub exchanges: Vec<Exchange>,
    /// The expected outcome.
    pub expect: Expect,
}

/// Whether the order of exchanges counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As written.
    #[default]
    InOrder,
    /// Any.
    Any,
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

/// A fault on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No connection. (Over plain http: as `reset`.)
    Refused,
    /// The connection is reset once the request is there.
    Reset,
    /// No answer ever.
    Timeout,
    /// Half of the body, and then the end.
    Truncated,
    /// A Content-Length that is larger than the body.
    WrongLength,
    /// A byte of the body now and then, without an end.
    SlowDrip,
}

impl Fault {
    /// Whether only the caller's patience ends it.
    #[must_use]
    pub fn is_endless(self) -> bool {
        matches!(self, Self::Timeout | Self::SlowDrip)
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::WrongLength => "wrong-length",
            Self::SlowDrip => "slow-drip",
        }
    }
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
    /// Reads and checks a case, and the files that it names.
    ///
    /// # Errors
    /// If the file cannot be read, is no case, or names a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let text = check::read(path, path)?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| CaseError::not_text(path))?;
        Self::parse(path, &text)
    }

    /// Checks the text of the case at `path`; bodies in files are looked for from there.
    ///
    /// # Errors
    /// As [`Case::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaseError> {
        let shape: shape::Case = toml::from_str(text).map_err(|error| CaseError::shape(path, &error))?;
        check::case(path, shape)
    }

    /// All cases of a folder, sorted by name; none if there is no such folder.
    ///
    /// # Errors
    /// If the folder or one of its cases cannot be read. All wrong cases are returned, not only the first.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, Vec<CaseError>> {
        let paths = check::toml_files(folder).map_err(|error| vec![error])?;
        let (mut cases, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match Self::read(&path) {
                Ok(case) => cases.push(case),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(cases) } else { Err(errors) }
    }

    /// Whether one of its answers has no end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.answer.fault.is_some_and(Fault::is_endless))
    }

    /// Whether it is a good case: one in which a record comes of exchanges without faults.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.expect, Expect::Record(_))
            && !self.exchanges.is_empty()
            && self.exchanges.iter().all(|exchange| exchange.answer.fault.is_none())
    }
}

/// A failure's kind as a case writes it.
#[must_use]
pub fn kind_name(kind: &FailureKind) -> String {
    match kind {
        FailureKind::TimedOut => "timed-out".to_owned(),
        FailureKind::NotFound => "not-found".to_owned(),
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
        "trapped" => FailureKind::Trapped,
        "broken" => FailureKind::Broken,
        "out-of-quota" => FailureKind::OutOfQuota,
        other => FailureKind::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests;
