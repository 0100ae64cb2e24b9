//! From a fetch of the real API to a case: secrets and listed headers taken out before anything is written.
//!
//! The plugin host has already removed secrets: the provider itself never saw a secret. This module removes sensitive
//! headers of requests and responses, and the values of settings that are named like secrets, in every place.

mod redact;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use damper_core::fetcher::FetchRequest;
use damper_core::manifest::Manifest;
use damper_core::record::{Failure, Fetched};
use damper_plugins::{RequestTrace, TracedFetch};

use crate::case::schema::{
    CaseTable, ExchangeTable, ExpectTable, FailureTable, ItemTable, OneOrMore, RecordTable, RequestTable, ResponseTable,
};
use crate::case::{Fault, Order, kind_name};
use redact::{Redactor, has_word};

/// The longest text that is written into the case itself, in bytes.
const MAX_INLINE_BYTES: usize = 400;
/// Words in the name of a request's header whose value depends on the clock, on chance or on a secret. The test would
/// expect what no second call sends.
const UNREPEATABLE_WORDS: [&str; 5] = ["date", "nonce", "signature", "time", "timestamp"];
/// Headers of a request whose value is made anew for each.
const UNREPEATABLE: [&str; 3] = ["traceparent", "x-correlation-id", "x-request-id"];
/// Headers of an answer that are a matter of the connection, or of which the recorded body says nothing any more.
const SILENT_ANSWER: [&str; 10] = [
    "alt-svc",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "via",
];

/// A file of a recorded case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The parameters of a recording, beside the fetch itself.
#[derive(Debug, Clone)]
pub struct Recording<'a> {
    /// The provider's manifest.
    pub manifest: &'a Manifest,
    /// The settings that were in force.
    pub config: &'a BTreeMap<String, String>,
    /// The item.
    pub request: &'a FetchRequest,
    /// Headers to redact, beside those that always are.
    pub redact: &'a [String],
}

/// A fetch that makes no case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The fetch was not recorded.
    #[error("the fetch was made without recording its exchanges")]
    NotRecorded,
    /// The fetch ended in something that says nothing of the API.
    #[error("it failed as {kind}: {message}")]
    Failed {
        /// The kind.
        kind: String,
        /// The failure's message.
        message: String,
    },
    /// An answer passed the limits, and is not there to be recorded.
    #[error("{url} had no response that can be recorded: {why}")]
    NoAnswer {
        /// The request.
        url: String,
        /// The host's message.
        why: String,
    },
    /// There was more than can be recorded.
    #[error(
        "{left_out} of its requests and responses were too many or too large to be recorded: record an item that needs fewer"
    )]
    TooMuch {
        /// How many are missing.
        left_out: usize,
    },
    /// The case has no form in TOML.
    #[error("the case cannot be written: {0}")]
    Unwritable(String),
}

/// The files of the case `folder/name.toml` that a fetch makes. Nothing is written here.
///
/// ```no_run
/// # async fn example(plugin: damper_plugins::Plugin, manifest: damper_core::manifest::Manifest,
/// #     request: damper_core::fetcher::FetchRequest) -> Result<(), Box<dyn std::error::Error>> {
/// use damper_core::fetcher::Permits;
/// use damper_workbench::record::{Recording, case_files};
///
/// let fetch = plugin.fetch_recorded(request.clone(), Permits::new(3)).await;
/// let redact = ["set-cookie".to_owned()];
/// let recording = Recording { manifest: &manifest, config: &manifest.config, request: &request, redact: &redact };
/// for file in case_files(&recording, &fetch, "cases".as_ref(), "found")? {
///     std::fs::write(file.path, file.bytes)?; // cases/found.toml and the files of its bodies
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the fetch makes no case.
pub fn case_files(
    recording: &Recording<'_>,
    fetch: &TracedFetch,
    folder: &Path,
    name: &str,
) -> Result<Vec<CaseFile>, RecordError> {
    if fetch.left_out > 0 {
        return Err(RecordError::TooMuch { left_out: fetch.left_out });
    }
    let redactor = Redactor::new(recording.redact, recording.config, &fetch.requests);
    let mut writer = Writer { folder, name, redactor: &redactor, files: Vec::new() };
    // A request that the policy refused did not reach the API.
    let sent = fetch.requests.iter().filter(|trace| !is_refused(trace));
    let exchanges = sent.enumerate().map(|(index, trace)| writer.exchange(index, trace)).collect::<Result<_, _>>()?;
    let expect = match &fetch.report.outcome {
        Ok(record) => ExpectTable { record: Some(writer.record(record)), failure: None },
        Err(failure) => ExpectTable { record: None, failure: Some(writer.failure(failure)?) },
    };
    let request = recording.request;
    let config = recording.config.iter().filter(|(key, value)| recording.manifest.config.get(*key) != Some(*value));
    let case = CaseTable {
        description: Some("recorded from the API".to_owned()),
        order: Order::default(),
        request: ItemTable {
            id: redactor.text(&request.id),
            params: request.params.iter().map(|(name, value)| (name.clone(), redactor.text(value))).collect(),
            attempt: None,
            day: Some(request.day.to_string()),
            resume: None,
        },
        config: config.map(|(key, value)| (key.clone(), redactor.text(value))).collect(),
        cache: BTreeMap::new(),
        exchanges,
        expect: Some(expect),
        calls: Vec::new(),
    };
    let text = toml::to_string(&case).map_err(|error| RecordError::Unwritable(error.to_string()))?;
    let mut files = writer.files;
    files.push(CaseFile { path: folder.join(format!("{name}.toml")), bytes: redactor.bytes(text.as_bytes()) });
    Ok(files)
}

fn is_refused(trace: &RequestTrace) -> bool {
    trace.outcome.as_ref().is_err_and(|why| why.starts_with("denied") || why.starts_with("invalid"))
}

/// A body as the case gives it: as text, or in a file of this name.
#[derive(Default)]
struct WrittenBody {
    text: Option<String>,
    file: Option<String>,
}

struct Writer<'a> {
    folder: &'a Path,
    name: &'a str,
    redactor: &'a Redactor,
    files: Vec<CaseFile>,
}

impl Writer<'_> {
    fn exchange(&mut self, index: usize, trace: &RequestTrace) -> Result<ExchangeTable, RecordError> {
        let recorded = trace.recorded.as_deref().ok_or(RecordError::NotRecorded)?;
        // They are the provider's own: the host adds its headers and the credentials later.
        let is_kept = |name: &str| {
            !self.redactor.hides(name) && !has_word(name, &UNREPEATABLE_WORDS) && !UNREPEATABLE.contains(&name)
        };
        let headers = recorded.headers.iter().filter(|(name, _)| is_kept(name));
        let headers = headers.map(|(name, value)| (name.clone(), self.redactor.text(value))).collect();
        let body = Some(&recorded.body).filter(|body| !body.is_empty());
        let body = body.map(|body| self.body(body, &format!("{}.request", index + 1), None)).unwrap_or_default();
        let request = RequestTable {
            method: Some(trace.method.clone()),
            url: self.redactor.text(&trace.url),
            headers,
            credential: OneOrMore::of(&recorded.credentials),
            body: body.text,
            json: None,
            body_file: body.file,
            body_sha256: None,
        };
        let response = match (&trace.outcome, &recorded.response) {
            (Ok(status), Some(answer)) => {
                let media_type = answer.headers.iter().find(|(name, _)| name == "content-type");
                let media_type = media_type.map(|(_, value)| value.as_str());
                let wait = answer.headers.iter().any(|(name, _)| name == "retry-after");
                let told = |name: &str| !SILENT_ANSWER.contains(&name) || (name == "date" && wait);
                let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (name, value) in answer.headers.iter().filter(|(name, _)| told(name)) {
                    headers.entry(name.clone()).or_default().push(self.redactor.header(name, value));
                }
                let body = Some(&answer.body).filter(|body| !body.is_empty());
                let body = body.map(|body| self.body(body, &(index + 1).to_string(), media_type)).unwrap_or_default();
                let headers = headers.into_iter().map(|(name, values)| (name, OneOrMore::More(values)));
                let headers = Some(headers.collect()).filter(|headers: &BTreeMap<_, _>| !headers.is_empty());
                let (body, body_file) = (body.text, body.file);
                ResponseTable { status: Some(*status), headers, body, body_file, ..ResponseTable::default() }
            }
            (outcome, _) => {
                let why = outcome.as_ref().err().map_or("", String::as_str);
                let fault = fault(why).ok_or_else(|| RecordError::NoAnswer {
                    url: self.redactor.text(&trace.url),
                    why: self.redactor.text(why),
                })?;
                ResponseTable { fault: Some(fault), ..ResponseTable::default() }
            }
        };
        Ok(ExchangeTable { request, response })
    }

    fn record(&mut self, record: &Fetched) -> RecordTable {
        let attributes = record.attributes.iter();
        let attributes = attributes.map(|(name, value)| (name.clone(), self.redactor.text(value))).collect();
        let body = self.body(&record.body, "expected", Some(&record.content_type));
        RecordTable {
            content_type: Some(self.redactor.text(&record.content_type)),
            attributes: Some(attributes).filter(|attributes: &BTreeMap<_, _>| !attributes.is_empty()),
            body: body.text,
            json: None,
            body_file: body.file,
        }
    }

    fn failure(&self, failure: &Failure) -> Result<FailureTable, RecordError> {
        use damper_core::record::FailureKind::{Broken, OutOfQuota, Trapped};
        let kind = self.redactor.text(&kind_name(&failure.kind));
        if matches!(failure.kind, Trapped | Broken | OutOfQuota) {
            return Err(RecordError::Failed { kind, message: self.redactor.text(&failure.message) });
        }
        let wait = failure.retry_after.map(|wait| format!("{}ms", wait.as_millis()));
        Ok(FailureTable { kind, retry_after: wait, status: failure.status, message: None })
    }

    /// A body in the case where it is short text, else in a file of its own; the same bytes in the same file.
    fn body(&mut self, body: &[u8], part: &str, media_type: Option<&str>) -> WrittenBody {
        let bytes = self.redactor.bytes(body);
        match std::str::from_utf8(&bytes) {
            Ok(text) if bytes.len() <= MAX_INLINE_BYTES => WrittenBody { text: Some(text.to_owned()), file: None },
            text => {
                let known = self.files.iter().find(|file| file.bytes == bytes).map(|file| file.path.clone());
                let extension = extension(media_type.unwrap_or_default(), text.is_ok());
                let path = known.unwrap_or_else(|| self.folder.join(format!("{}.{part}.{extension}", self.name)));
                let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
                if !self.files.iter().any(|file| file.path == path) {
                    self.files.push(CaseFile { path, bytes });
                }
                WrittenBody { text: None, file }
            }
        }
    }
}

fn extension(media_type: &str, is_text: bool) -> &'static str {
    match media_type {
        json if json.contains("json") => "json",
        xml if xml.contains("xml") => "xml",
        html if html.contains("html") => "html",
        _ if is_text => "txt",
        _ => "bin",
    }
}

/// The fault that stands for what the host says of a request without an answer.
pub(crate) fn fault(why: &str) -> Option<Fault> {
    let begins = |with: &str| why.starts_with(with);
    if begins("unreachable") {
        Some(Fault::Refused)
    } else if begins("timed out") || begins("no answer in time") {
        Some(Fault::Timeout)
    } else if begins("broken") {
        Some(Fault::Reset)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
