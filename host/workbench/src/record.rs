//! From a fetch of the real API to a case: secrets and listed headers taken out before anything is written.
//!
//! The plugin host has already removed secrets: the provider itself never saw a secret. This module removes sensitive
//! headers of requests and responses, and the values of settings that are named like secrets, in every place.

mod redact;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use damper_core::fetcher::FetchRequest;
use damper_core::manifest::Manifest;
use damper_core::record::{Failure, Fetched};
use damper_plugins::{RequestTrace, TracedFetch};

use crate::case::{Fault, kind_name};
use redact::Redactor;
use written::{Body, Written};

/// The longest text that is written into the case itself, in bytes.
const MAX_INLINE_BYTES: usize = 400;
/// Headers of a request that say what is asked for; others are a matter of the connection.
const TELLING_REQUEST: [&str; 6] = ["accept", "accept-language", "content-type", "if-match", "prefer", "soapaction"];
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
    let redactor = Redactor::new(recording, &fetch.requests);
    let mut writer = Writer { folder, name, redactor: &redactor, files: Vec::new() };
    // A request that the policy refused did not reach the API.
    let sent = fetch.requests.iter().filter(|trace| !is_refused(trace));
    let exchanges = sent.enumerate().map(|(index, trace)| writer.exchange(index, trace)).collect::<Result<_, _>>()?;
    let expect = match &fetch.report.outcome {
        Ok(record) => written::Expect { record: Some(writer.record(record)), failure: None },
        Err(failure) => written::Expect { record: None, failure: Some(writer.failure(failure)?) },
    };
    let request = recording.request;
    let config = recording.config.iter().filter(|(key, value)| recording.manifest.config.get(*key) != Some(*value));
    let case = Written {
        description: "recorded from the API".to_owned(),
        request: written::Item {
            id: redactor.text(&request.id),
            params: request.params.iter().map(|(name, value)| (name.clone(), redactor.text(value))).collect(),
            day: request.day.to_string(),
        },
        config: config.map(|(key, value)| (key.clone(), redactor.text(value))).collect(),
        exchanges,
        expect,
    };
    let text = toml::to_string(&case).map_err(|error| RecordError::Unwritable(error.to_string()))?;
    let mut files = writer.files;
    files.push(CaseFile { path: folder.join(format!("{name}.toml")), bytes: redactor.bytes(text.as_bytes()) });
    Ok(files)
}

fn is_refused(trace: &RequestTrace) -> bool {
    trace.outcome.as_ref().is_err_and(|why| why.starts_with("denied") || why.starts_with("invalid"))
}

struct Writer<'a> {
    folder: &'a Path,
    name: &'a str,
    redactor: &'a Redactor,
    files: Vec<CaseFile>,
}

impl Writer<'_> {
    fn exchange(&mut self, index: usize, trace: &RequestTrace) -> Result<written::Exchange, RecordError> {
        let recorded = trace.recorded.as_deref().ok_or(RecordError::NotRecorded)?;
        let telling = |name: &str| TELLING_REQUEST.contains(&name) && !self.redactor.hides(name);
        let headers = recorded.headers.iter().filter(|(name, _)| telling(name));
        let headers = headers.map(|(name, value)| (name.clone(), self.redactor.text(value))).collect();
        let body = Some(&recorded.body).filter(|body| !body.is_empty());
        let request = written::Request {
            method: trace.method.clone(),
            url: self.redactor.text(&trace.url),
            headers,
            credential: written::Names::of(&recorded.credentials),
            body: body.map(|body| self.body(body, &format!("{}.request", index + 1), None)).unwrap_or_default(),
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
                written::Response { status: Some(*status), headers, body, fault: None }
            }
            (outcome, _) => {
                let why = outcome.as_ref().err().map_or("", String::as_str);
                let fault = fault(why).ok_or_else(|| RecordError::NoAnswer {
                    url: self.redactor.text(&trace.url),
                    why: self.redactor.text(why),
                })?;
                written::Response { fault: Some(fault.name()), ..written::Response::default() }
            }
        };
        Ok(written::Exchange { request, response })
    }

    fn record(&mut self, record: &Fetched) -> written::Record {
        let attributes = record.attributes.iter();
        written::Record {
            content_type: self.redactor.text(&record.content_type),
            attributes: attributes.map(|(name, value)| (name.clone(), self.redactor.text(value))).collect(),
            body: self.body(&record.body, "expected", Some(&record.content_type)),
        }
    }

    fn failure(&self, failure: &Failure) -> Result<written::Failure, RecordError> {
        use damper_core::record::FailureKind::{Broken, OutOfQuota, Trapped};
        let kind = self.redactor.text(&kind_name(&failure.kind));
        if matches!(failure.kind, Trapped | Broken | OutOfQuota) {
            return Err(RecordError::Failed { kind, message: self.redactor.text(&failure.message) });
        }
        let wait = failure.retry_after.map(|wait| format!("{}ms", wait.as_millis()));
        Ok(written::Failure { kind, retry_after: wait, status: failure.status })
    }

    /// A body in the case where it is short text, else in a file of its own; the same bytes in the same file.
    fn body(&mut self, body: &[u8], part: &str, media_type: Option<&str>) -> Body {
        let bytes = self.redactor.bytes(body);
        match std::str::from_utf8(&bytes) {
            Ok(text) if bytes.len() <= MAX_INLINE_BYTES => Body { body: Some(text.to_owned()), body_file: None },
            text => {
                let known = self.files.iter().find(|file| file.bytes == bytes).map(|file| file.path.clone());
                let extension = extension(media_type.unwrap_or_default(), text.is_ok());
                let path = known.unwrap_or_else(|| self.folder.join(format!("{}.{part}.{extension}", self.name)));
                let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
                if !self.files.iter().any(|file| file.path == path) {
                    self.files.push(CaseFile { path, bytes });
                }
                Body { body: None, body_file: file }
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
