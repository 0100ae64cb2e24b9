//! Faults of an API, and the right failures for each.
//!
//! Beside the kind that the SDKs give, a provider that knows its API may give another, as far as the pipeline does no
//! harm with it: what is final must be sure, what stops a provider must be the credential, and nothing that is no
//! record is one.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::manifest::Manifest;
use damper_core::record::FailureKind;

use crate::case::{Answer, Fault};
use crate::secrets::CaseSecrets;
use FailureKind::{Malformed, NotFound, Rejected, Throttled, TimedOut, Unauthorized, Unavailable};

/// The target of redirects: a host that the operator grants beside those of the manifest, and whose requests carry no
/// credential.
pub(super) const ELSEWHERE: &str = "elsewhere.damper.invalid";
/// The wait of an answer that asks for one, in seconds.
const WAIT_SECONDS: u64 = 90;
/// Headers of an answer that has far too many.
const MANY_HEADERS: usize = 10_000;
const PAGE: &[u8] =
    b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>\n";

/// One fault of an API.
#[derive(Debug, Clone)]
pub(super) struct FaultCase {
    /// Its name.
    pub(super) name: &'static str,
    /// The API's response.
    pub(super) answer: Answer,
    /// The kinds of failure that are right.
    pub(super) right: &'static [FailureKind],
    /// Whether a failure of a name of the provider's own is right too.
    pub(super) or_own: bool,
    /// Whether a record is right where it was not the first exchange: what is missing may be a part that not every
    /// record has.
    pub(super) or_record_later: bool,
    /// The wait that has to be passed on, in seconds.
    pub(super) wait: Option<u64>,
    /// How often the exchange may be asked for: a session that has ended may be begun anew once.
    pub(super) requests: usize,
}

impl FaultCase {
    fn new(name: &'static str, answer: Answer, right: &'static [FailureKind]) -> Self {
        Self { name, answer, right, or_own: false, or_record_later: false, wait: None, requests: 1 }
    }

    fn or_own(self) -> Self {
        Self { or_own: true, ..self }
    }

    fn or_record_later(self) -> Self {
        Self { or_record_later: true, ..self }
    }

    fn with_wait(self) -> Self {
        Self { wait: Some(WAIT_SECONDS), ..self }
    }

    fn with_two_requests(self) -> Self {
        Self { requests: 2, ..self }
    }
}

/// Everything that may happen to an exchange whose good answer is this one.
pub(super) fn all(good: &Answer, day: Day, manifest: &Manifest, secrets: &CaseSecrets) -> Vec<FaultCase> {
    let mut fault_cases = statuses();
    fault_cases.extend(wait_requests(day));
    fault_cases.extend(connections());
    fault_cases.extend(elsewhere());
    fault_cases.extend(sizes(manifest));
    if !good.body.is_empty() {
        fault_cases.extend(bodies(good));
    }
    let echo = secrets.forms().join("\n");
    if !echo.is_empty() {
        let answer = Answer { body: echo.into(), ..status(500) };
        fault_cases.push(FaultCase::new("500 that repeats the credentials", answer, &[Unavailable]));
    }
    fault_cases
}

fn status(status: u16) -> Answer {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    Answer { headers, body: format!("answered with {status} by the suite").into(), ..Answer::of(status) }
}

fn with_headers(mut answer: Answer, headers: &[(&str, &str)]) -> Answer {
    answer.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    answer
}

fn statuses() -> Vec<FaultCase> {
    vec![
        FaultCase::new("500", status(500), &[Unavailable]),
        FaultCase::new("502", status(502), &[Unavailable]),
        // Some APIs throttle with it.
        FaultCase::new("503", status(503), &[Unavailable, Throttled]),
        FaultCase::new("504", status(504), &[Unavailable, TimedOut]),
        FaultCase::new("401", status(401), &[Unauthorized]).with_two_requests(),
        // Some APIs ban clients that ask too often; others answer so for a resource that does not exist or is not
        // public.
        FaultCase::new("403", status(403), &[Unauthorized, Throttled, NotFound, Rejected]).with_two_requests(),
        FaultCase::new("404", status(404), &[NotFound, Rejected]).or_record_later(),
        FaultCase::new("410", status(410), &[NotFound, Rejected]).or_record_later(),
    ]
}

/// Requests to wait, in each shape (RFC 9110, section 10.2.3). The guest's clock stands at noon.
fn wait_requests(day: Day) -> Vec<FaultCase> {
    let (now, then) = (http_date(day, 0), http_date(day, WAIT_SECONDS));
    let dates = [("date", now.as_str()), ("retry-after", then.as_str())];
    let date_alone = [("retry-after", then.as_str())];
    vec![
        FaultCase::new("429", status(429), &[Throttled]),
        FaultCase::new(
            "429, Retry-After in seconds",
            with_headers(status(429), &[("retry-after", "90")]),
            &[Throttled],
        )
        .with_wait(),
        FaultCase::new("429, Retry-After as a date", with_headers(status(429), &dates), &[Throttled]).with_wait(),
        FaultCase::new("429, a date without Date", with_headers(status(429), &date_alone), &[Throttled]).with_wait(),
        FaultCase::new(
            "503, Retry-After in seconds",
            with_headers(status(503), &[("retry-after", "90")]),
            &[Unavailable, Throttled],
        )
        .with_wait(),
    ]
}

/// The HTTP date that is this number of seconds after noon of a day.
fn http_date(day: Day, seconds: u64) -> String {
    let noon = day.0.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).map(|noon| noon.timestamp().as_second());
    let since_epoch = u64::try_from(noon.unwrap_or_default()).unwrap_or_default() + seconds;
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch))
}

fn connections() -> Vec<FaultCase> {
    let fault = |name, fault, right| FaultCase::new(name, Answer::failing(fault), right);
    vec![
        fault("refused", Fault::Refused, &[Unavailable]),
        fault("reset", Fault::Reset, &[Unavailable]),
        // The two are alike to the pipeline.
        fault("timeout", Fault::Timeout, &[TimedOut, Unavailable]),
        fault("slow drip", Fault::SlowDrip, &[TimedOut, Unavailable]),
        fault("truncated body", Fault::Truncated, &[Unavailable]),
        fault("wrong content length", Fault::WrongLength, &[Unavailable]),
    ]
}

fn elsewhere() -> Vec<FaultCase> {
    let location = format!("https://{ELSEWHERE}/login");
    let granted: [(&str, &str); 1] = [("location", &location)];
    let refused = [("location", "https://not-granted.damper.invalid/login")];
    vec![
        FaultCase::new(
            "redirect to a host not granted",
            with_headers(status(302), &refused),
            &[Unavailable, Malformed, Unauthorized],
        )
        .or_own(),
        FaultCase::new(
            "choice of another host (300)",
            with_headers(status(300), &granted),
            &[Unavailable, Malformed, Unauthorized],
        )
        .or_own(),
    ]
}

fn sizes(manifest: &Manifest) -> Vec<FaultCase> {
    let length = usize::try_from(manifest.limits.response_bytes).unwrap_or(usize::MAX - 1) + 1;
    let large = Answer { body: vec![b' '; length].into(), ..status(200) };
    let mut many = status(200);
    many.headers.extend((0..MANY_HEADERS).map(|number| (format!("x-header-{number}"), "x".to_owned())));
    vec![
        FaultCase::new("oversized body", large, &[Malformed]).or_own(),
        FaultCase::new("10,000 headers", many, &[Malformed, Unavailable]).or_own(),
    ]
}

/// Bodies that are no record, with status 200.
fn bodies(good: &Answer) -> Vec<FaultCase> {
    let content_type = good.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value.as_str());
    let mut fault_cases = vec![
        // Some APIs answer so if there is no record.
        FaultCase::new(
            "empty body",
            Answer { body: Bytes::new(), ..good.clone() },
            &[Malformed, Unavailable, NotFound],
        )
        .or_own(),
    ];
    if !content_type.starts_with("text/html") {
        let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
        let page = Answer { headers, body: Bytes::from_static(PAGE), ..Answer::of(200) };
        fault_cases.push(FaultCase::new("HTML page with status 200", page, &[Malformed, Unavailable]).or_own());
        // The same page under the name of what was asked for.
        let page = Answer { body: Bytes::from_static(PAGE), ..good.clone() };
        fault_cases.push(FaultCase::new("HTML page that says it is none", page, &[Malformed, Unavailable]).or_own());
    }
    let is_json = serde_json::from_slice::<serde_json::Value>(&good.body).is_ok();
    let is_xml = !is_json && content_type.contains("xml") && good.body.trim_ascii_start().starts_with(b"<");
    if is_json || is_xml {
        let half = good.body.slice(..good.body.len() / 2);
        let name = if is_json { "invalid JSON" } else { "invalid XML" };
        fault_cases.push(FaultCase::new(name, Answer { body: half, ..good.clone() }, &[Malformed]).or_own());
        let body = no_utf8(&good.body, if is_json { b'"' } else { b'>' });
        fault_cases.push(FaultCase::new("invalid UTF-8", Answer { body, ..good.clone() }, &[Malformed]).or_own());
    }
    fault_cases
}

/// A body with two bytes that no UTF-8 holds: inside the first text that is a value in JSON, or behind XML's first
/// mark.
fn no_utf8(body: &[u8], mark: u8) -> Bytes {
    // In JSON a text that is a value stands behind a colon; a provider that never reads a name would not see what is in
    // it.
    let is_value = |at: &usize| body.get(..*at).is_some_and(|before| before.trim_ascii_end().ends_with(b":"));
    let quotes = || body.iter().enumerate().filter(|(_, byte)| **byte == mark).map(|(at, _)| at);
    let value = if mark == b'"' { quotes().find(is_value).map(|at| at + 1) } else { None };
    let at = value.or_else(|| quotes().next().map(|at| at + 1)).unwrap_or(body.len() / 2);
    let (before, after) = body.split_at_checked(at).unwrap_or((body, b""));
    [before, &[0xff, 0xfe], after].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_stands_inside_a_value() {
        assert_eq!(no_utf8(br#"{"a": 1, "b": "x"}"#, b'"').as_ref(), b"{\"a\": 1, \"b\": \"\xff\xfex\"}");
        assert_eq!(no_utf8(br#"{"a":"x"}"#, b'"').as_ref(), b"{\"a\":\"\xff\xfex\"}");
        assert_eq!(no_utf8(b"<a>x</a>", b'>').as_ref(), b"<a>\xff\xfex</a>");
    }
}
