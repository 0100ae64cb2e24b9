//! Converts the written form of a case to its checked form: checks values, reads files.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::item::MAX_ID_BYTES;
use damper_core::manifest::units::parse_duration;
use regex_lite::Regex;
use serde_json::Value;
use url::Url;

use super::files;
use super::schema::{
    CallTable, CaseTable, ExchangeTable, ExpectTable, FailureTable, ItemTable, OneOrMore, RecordTable, RequestTable,
    ResponseTable,
};
use super::{
    Answer, BodyPlace, Call, Case, CaseError, CaseItem, Exchange, Expect, ExpectedBody, ExpectedFailure,
    ExpectedRecord, Fault, ForeseenBody, ForeseenRequest, MAX_FILE_BYTES, kind_of,
};

/// The day of a case that names none.
const DEFAULT_DAY: &str = "2026-01-15";
/// The default body, for a fault that cuts a body in a case that gives none.
const CUT_BODY: &[u8] = br#"{"this": "answer", "ends": "before its end"}"#;

pub(super) fn case(path: &Path, table: CaseTable) -> Result<Case, CaseError> {
    let checker = Checker { path };
    let (before, last) = checker.calls(table.calls, table.exchanges, table.expect)?;
    Ok(Case {
        name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        path: path.to_path_buf(),
        description: table.description,
        order: table.order,
        item: checker.item(table.request)?,
        config: table.config,
        cache: table.cache,
        before,
        last,
    })
}

/// A file's bytes, if it is not too long.
pub(super) fn read(case: &Path, path: &Path) -> Result<Bytes, CaseError> {
    let mut bytes = Vec::new();
    let read = files::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let unreadable = |source| CaseError::Unreadable { case: case.to_path_buf(), path: path.to_path_buf(), source };
    read.map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(io::Error::other(format!("it has more than {} MiB", MAX_FILE_BYTES >> 20))));
    }
    Ok(bytes.into())
}

/// The .toml files of a folder, sorted; none if there is no such folder.
pub(super) fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let unreadable = |source| CaseError::Unreadable { case: folder.to_path_buf(), path: folder.to_path_buf(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        if files::is_link(&path) {
            let problem = "is a symbolic link, which may point to any file: put the file itself there";
            return Err(CaseError::value(&path, "the case", problem));
        }
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

struct Checker<'a> {
    path: &'a Path,
}

/// The ways in which a body may be given, of which one at most is taken.
struct BodyKeys {
    text: Option<String>,
    json: Option<Value>,
    file: Option<String>,
}

impl Checker<'_> {
    fn wrong(&self, key: impl Into<String>, problem: impl Into<String>) -> CaseError {
        CaseError::value(self.path, key, problem)
    }

    fn item(&self, item: ItemTable) -> Result<CaseItem, CaseError> {
        if item.id.len() > MAX_ID_BYTES {
            return Err(self.wrong("request.id", format!("has more than {MAX_ID_BYTES} bytes")));
        }
        let attempt = item.attempt.unwrap_or(1);
        if attempt == 0 {
            return Err(self.wrong("request.attempt", "is 0; the first attempt is 1"));
        }
        let day = item.day.as_deref().unwrap_or(DEFAULT_DAY).parse::<Day>();
        let day = day.map_err(|error| self.wrong("request.day", format!("cannot be used: {error}")))?;
        let resume = item.resume.map(Bytes::from);
        Ok(CaseItem { id: item.id, params: item.params, attempt, day, resume })
    }

    /// The calls before the last one, and the last one.
    fn calls(
        &self,
        calls: Vec<CallTable>,
        exchanges: Vec<ExchangeTable>,
        expect: Option<ExpectTable>,
    ) -> Result<(Vec<Call>, Call), CaseError> {
        if calls.is_empty() {
            let expect = expect.ok_or_else(|| {
                self.wrong("expect", "is missing: write [expect.record] or [expect.failure], or one [[call]] or more")
            })?;
            return Ok((Vec::new(), self.call("", CallTable { exchanges, expect })?));
        }
        if !exchanges.is_empty() || expect.is_some() {
            let problem = "cannot stand beside [[exchange]] and [expect]: write them as [[call.exchange]] and \
                           [call.expect] of a call";
            return Err(self.wrong("call", problem));
        }
        let checked = calls.into_iter().enumerate();
        let checked = checked.map(|(index, call)| self.call(&format!("call {}: ", index + 1), call));
        let mut checked = checked.collect::<Result<Vec<_>, _>>()?;
        let early = checked.iter().rev().skip(1).rev().position(|call| matches!(call.expect, Expect::Record(_)));
        if let Some(early) = early {
            let problem = "is a record, and a call follows: only the last call of a case gets the record";
            return Err(self.wrong(format!("call {}: expect", early + 1), problem));
        }
        let last = checked.pop().ok_or_else(|| self.wrong("call", "is empty"))?;
        Ok((checked, last))
    }

    fn call(&self, place: &str, call: CallTable) -> Result<Call, CaseError> {
        let exchanges = call.exchanges.into_iter().enumerate();
        let exchanges = exchanges.map(|(index, it)| self.exchange(&format!("{place}exchange {}", index + 1), it));
        let exchanges = exchanges.collect::<Result<_, _>>()?;
        Ok(Call { exchanges, expect: self.expect(&format!("{place}expect"), call.expect)? })
    }

    fn exchange(&self, place: &str, exchange: ExchangeTable) -> Result<Exchange, CaseError> {
        let request = self.request(&format!("{place}: request"), exchange.request)?;
        let answer = self.answer(&format!("{place}: response"), exchange.response)?;
        Ok(Exchange { request, answer })
    }

    fn request(&self, place: &str, request: RequestTable) -> Result<ForeseenRequest, CaseError> {
        let url = Url::parse(&request.url)
            .map_err(|error| self.wrong(format!("{place}.url"), format!("is not an absolute URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(self.wrong(format!("{place}.url"), "is neither http nor https"));
        }
        let method = request.method.unwrap_or_else(|| "GET".to_owned());
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(self.wrong(format!("{place}.method"), "is not a method: write it in capitals, as in \"GET\""));
        }
        let sha256 = request.body_sha256;
        let given = usize::from(sha256.is_some());
        let keys = BodyKeys { text: request.body, json: request.json, file: request.body_file };
        let body = match self.body(place, keys, given)? {
            None => sha256.map(|digest| self.sha256(place, &digest)).transpose()?,
            Some((BodyPlace::Json, bytes)) => {
                let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                Some(ForeseenBody::Json(value.unwrap_or_default()))
            }
            Some((BodyPlace::File(file), None)) => {
                return Err(read(self.path, &file).err().unwrap_or_else(|| self.wrong(place, "has no body")));
            }
            Some((_, bytes)) => Some(ForeseenBody::Bytes(bytes.unwrap_or_default())),
        };
        let headers = request.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let credentials = request.credential.map(OneOrMore::into_vec).unwrap_or_default();
        Ok(ForeseenRequest { method, url, headers, credentials, body })
    }

    fn sha256(&self, place: &str, digest: &str) -> Result<ForeseenBody, CaseError> {
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest).to_ascii_lowercase();
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.wrong(format!("{place}.body_sha256"), "is not a SHA-256: write 64 hexadecimal digits"));
        }
        Ok(ForeseenBody::Sha256(digest))
    }

    fn answer(&self, place: &str, response: ResponseTable) -> Result<Answer, CaseError> {
        let delay = response.delay.as_deref().map(|text| self.duration(&format!("{place}.delay"), text)).transpose()?;
        let delay = delay.unwrap_or_default();
        let keys = BodyKeys { text: response.body, json: response.json, file: response.body_file };
        let has_body = keys.text.is_some() || keys.json.is_some() || keys.file.is_some();
        if let Some(fault) = response.fault {
            if response.status.is_some() || response.headers.is_some() || has_body {
                let problem = "replaces status, headers and body: remove these";
                return Err(self.wrong(format!("{place}.fault"), problem));
            }
            return Ok(Answer { delay, ..Answer::failing(fault) });
        }
        let Some(status) = response.status else {
            return Err(self.wrong(place, "has neither `status` nor `fault`: write one, as in status = 200"));
        };
        if !(200..=599).contains(&status) {
            return Err(self.wrong(format!("{place}.status"), "is not a status: write one from 200 to 599"));
        }
        let is_json = keys.json.is_some();
        let body = match self.body(place, keys, 0)? {
            Some((BodyPlace::File(file), None)) => read(self.path, &file)?,
            Some((_, bytes)) => bytes.unwrap_or_default(),
            None => Bytes::new(),
        };
        let mut headers = self.headers(place, response.headers.unwrap_or_default())?;
        if is_json && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Ok(Answer { status, headers, body, delay, fault: None })
    }

    fn headers(&self, place: &str, given: BTreeMap<String, OneOrMore>) -> Result<Vec<(String, String)>, CaseError> {
        let mut headers = Vec::new();
        for (name, values) in given {
            let values = values.into_vec();
            let is_token =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            let breaks = |value: &String| value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
            if !is_token || values.iter().any(breaks) {
                return Err(self.wrong(
                    format!("{place}.headers.{name}"),
                    "is not a header: a name has no spaces, and a value is one line",
                ));
            }
            headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        Ok(headers)
    }

    /// The body that is given, if one is; of a file that is not there, none of its bytes.
    fn body(&self, place: &str, keys: BodyKeys, given: usize) -> Result<Option<(BodyPlace, Option<Bytes>)>, CaseError> {
        let BodyKeys { text, json, file } = keys;
        let given = given + [text.is_some(), json.is_some(), file.is_some()].into_iter().filter(|is| *is).count();
        if given > 1 {
            return Err(self.wrong(place, "gives its body in more than one way: keep one of the keys"));
        }
        Ok(if let Some(text) = text {
            Some((BodyPlace::Text, Some(text.into())))
        } else if let Some(json) = json {
            Some((BodyPlace::Json, Some(json.to_string().into())))
        } else if let Some(file) = file {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            let path = files::resolve_path(folder, &file)
                .map_err(|problem| self.wrong(format!("{place}.body_file"), problem))?;
            let bytes = match read(self.path, &path) {
                Ok(bytes) => Some(bytes),
                Err(CaseError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            Some((BodyPlace::File(path), bytes))
        } else {
            None
        })
    }

    fn expect(&self, place: &str, expect: ExpectTable) -> Result<Expect, CaseError> {
        match (expect.record, expect.failure) {
            (Some(record), None) => Ok(Expect::Record(self.record(place, record)?)),
            (None, Some(failure)) => Ok(Expect::Failure(self.failure(place, failure)?)),
            _ => Err(self.wrong(place, "needs exactly one of [expect.record] and [expect.failure]")),
        }
    }

    fn record(&self, place: &str, record: RecordTable) -> Result<ExpectedRecord, CaseError> {
        let keys = BodyKeys { text: record.body, json: record.json, file: record.body_file };
        let body = self.body(&format!("{place}.record"), keys, 0)?.map(|(place, bytes)| ExpectedBody { place, bytes });
        Ok(ExpectedRecord { content_type: record.content_type, attributes: record.attributes, body })
    }

    fn failure(&self, place: &str, failure: FailureTable) -> Result<ExpectedFailure, CaseError> {
        let wait = failure.retry_after.as_deref();
        let wait = wait.map(|text| self.duration(&format!("{place}.failure.retry_after"), text)).transpose()?;
        let message = failure.message.as_deref().map(Regex::new).transpose();
        let message = message.map_err(|error| {
            self.wrong(format!("{place}.failure.message"), format!("is not a regular expression: {error}"))
        })?;
        if failure.kind.is_empty() {
            return Err(self.wrong(format!("{place}.failure.kind"), "is empty"));
        }
        Ok(ExpectedFailure { kind: kind_of(&failure.kind), retry_after: wait, status: failure.status, message })
    }

    fn duration(&self, key: &str, text: &str) -> Result<Duration, CaseError> {
        parse_duration(text).map_err(|error| self.wrong(key, format!("is not a duration: {error}")))
    }
}

impl Answer {
    /// An answer with this fault.
    #[must_use]
    pub fn failing(fault: Fault) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from_static(CUT_BODY),
            delay: Duration::ZERO,
            fault: Some(fault),
        }
    }

    /// An answer of this status, without headers and body.
    #[must_use]
    pub fn of(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), delay: Duration::ZERO, fault: None }
    }
}
