//! No secret is in any file that is written, wherever an exchange holds it.

use std::time::Duration;

use bytes::Bytes;
use damper_core::fetcher::FetchReport;
use damper_plugins::{RecordedExchange, RecordedResponse, Usage, spellings};

use super::*;
use crate::case::Case;

const COOKIE: &str = "session-cookie-8f1d/x+y";
const ACCOUNT: &str = "account 4711 \"Smith\"";
const TOKEN: &str = "tok-9a7c/+=secret";

fn manifest() -> Manifest {
    let text = "name = \"x\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.test\"]\n[config]\napi_token = \"none\"\nlang = \"en\"\n";
    Manifest::parse(text).unwrap()
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An exchange with each planted text, in each of its spellings, in each place there is.
fn planted_exchange() -> (TracedFetch, Vec<String>) {
    let forms: Vec<String> = [COOKIE, ACCOUNT, TOKEN].iter().flat_map(|text| spellings(text, false)).collect();
    let everywhere = forms.join("\n");
    let url: String = forms.iter().map(|form| form.replace([' ', '"'], "%20")).collect::<Vec<_>>().join("&");
    let one_line = forms.join(" ");
    let large = everywhere.repeat(8);
    let recorded = RecordedExchange {
        headers: pairs(&[("x-account", ACCOUNT), ("accept", &one_line), ("cookie", COOKIE)]),
        body: large.clone().into_bytes(),
        credentials: vec!["key".to_owned()],
        response: Some(RecordedResponse {
            headers: pairs(&[
                ("set-cookie", COOKIE),
                ("x-api-key", TOKEN),
                ("location", &one_line),
                ("etag", &one_line),
            ]),
            body: large.clone().into_bytes(),
        }),
    };
    let trace = |outcome| RequestTrace {
        method: "POST".to_owned(),
        url: format!("https://api.test/{TOKEN}?{url}"),
        outcome,
        duration: Duration::ZERO,
        request_bytes: 0,
        response_bytes: 0,
        recorded: Some(Box::new(recorded.clone())),
    };
    let record = Fetched {
        content_type: "application/json".to_owned(),
        body: Bytes::from(large + "."),
        attributes: vec![("etag".to_owned(), one_line)],
    };
    let requests = vec![trace(Ok(302)), trace(Ok(200)), trace(Err(format!("broken: {everywhere}")))];
    let report = FetchReport::new(Ok(record), 3);
    (TracedFetch { report, requests, left_out: 0, lines: Vec::new(), usage: Usage::default() }, forms)
}

fn files(fetch: &TracedFetch, id: &str) -> Result<Vec<CaseFile>, RecordError> {
    let manifest = manifest();
    let config = BTreeMap::from([("api_token".to_owned(), TOKEN.to_owned()), ("lang".to_owned(), "en".to_owned())]);
    let request = FetchRequest {
        id: id.to_owned(),
        params: BTreeMap::from([("session".to_owned(), COOKIE.to_owned())]),
        attempt: 1,
        day: "2026-01-15".parse().unwrap(),
        timeout: Duration::from_secs(1),
        resume: None,
    };
    let redact = ["X-Account".to_owned()];
    let recording = Recording { manifest: &manifest, config: &config, request: &request, redact: &redact };
    case_files(&recording, fetch, Path::new("cases"), "found")
}

#[test]
fn no_secret_is_in_any_file() {
    let (fetch, forms) = planted_exchange();
    let files = files(&fetch, &format!("id-{TOKEN}")).unwrap();
    assert!(files.len() >= 3, "the case and bodies of their own");
    for file in &files {
        let text = String::from_utf8_lossy(&file.bytes);
        for form in &forms {
            assert!(!text.contains(form.as_str()), "{form} is in {}", file.path.display());
        }
    }
}

#[test]
fn no_secret_is_in_the_error_either() {
    let (mut fetch, forms) = planted_exchange();
    fetch.requests[0].outcome = Err(format!("too large: {}", forms.join(" ")));
    let error = files(&fetch, "1").unwrap_err().to_string();
    assert!(error.contains("no response that can be recorded"), "{error}");
    assert!(forms.iter().all(|form| !error.contains(form.as_str())), "{error}");
}

#[test]
fn what_is_recorded_is_a_case() {
    let (fetch, _) = planted_exchange();
    let folder = tempfile::tempdir().unwrap();
    let files = files(&fetch, "1").unwrap();
    for file in &files {
        std::fs::write(folder.path().join(file.path.file_name().unwrap()), &file.bytes).unwrap();
    }
    let case = Case::read(&folder.path().join("found.toml")).unwrap();
    assert_eq!((case.item.id.as_str(), case.last.exchanges.len()), ("1", 3));
    assert_eq!(
        case.config.keys().collect::<Vec<_>>(),
        ["api_token"],
        "settings that are the manifest's own are left out"
    );
    assert_eq!(case.last.exchanges[0].answer.status, 302);
    assert_eq!(case.last.exchanges[2].answer.fault, Some(Fault::Reset));
    let headers = &case.last.exchanges[1].answer.headers;
    assert!(headers.contains(&("set-cookie".to_owned(), "[redacted]".to_owned())), "{headers:?}");
    assert_eq!(case.last.exchanges[1].request.credentials, ["key"]);
}

#[test]
fn headers_that_the_provider_sets_are_kept_but_for_secrets_and_what_no_second_call_sends() {
    let (mut fetch, _) = planted_exchange();
    let recorded = fetch.requests[1].recorded.as_mut().unwrap();
    recorded.headers = pairs(&[
        ("idempotency-key", "asset-7-2026-01-15"),
        ("x-api-version", "2026-01"),
        ("x-signature", "5e884898da28047151d0e56f8dc6"),
        ("x-request-time", "1768435200"),
        ("x-request-id", "0b54f4bd-2d92-4f2b-8f0e-2f1f8f1f4f0e"),
        ("x-auth-ticket", "ticket-1234567"),
        ("x-account", ACCOUNT),
        ("x-session", "session-1234567"),
        ("x-lease-key", "lease-1234567"),
    ]);
    recorded.body = b"{\"ticket\": \"ticket-1234567\", \"session\": \"session-1234567\"}".to_vec();
    let files = files(&fetch, "1").unwrap();
    let text = String::from_utf8(files.last().unwrap().bytes.clone()).unwrap();
    let case: CaseTable = toml::from_str(&text).unwrap();
    let request = &case.exchanges[1].request;
    let kept: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("idempotency-key", "asset-7-2026-01-15"), ("x-api-version", "2026-01")]);
    assert_eq!(request.body.as_deref(), Some("{\"ticket\": \"[redacted]\", \"session\": \"[redacted]\"}"));
}

#[test]
fn a_header_that_the_author_lists_is_left_out_whatever_its_name() {
    let (mut fetch, _) = planted_exchange();
    fetch.requests[1].recorded.as_mut().unwrap().headers = pairs(&[("idempotency-key", "asset-7-2026-01-15")]);
    let manifest = manifest();
    let (config, redact) = (BTreeMap::new(), ["Idempotency-Key".to_owned()]);
    let request = FetchRequest {
        id: "1".to_owned(),
        params: BTreeMap::new(),
        attempt: 1,
        day: "2026-01-15".parse().unwrap(),
        timeout: Duration::from_secs(1),
        resume: None,
    };
    let recording = Recording { manifest: &manifest, config: &config, request: &request, redact: &redact };
    let files = case_files(&recording, &fetch, Path::new("cases"), "found").unwrap();
    assert!(files.iter().all(|file| !String::from_utf8_lossy(&file.bytes).contains("asset-7")));
}

#[test]
fn a_fetch_that_was_only_traced_makes_no_case() {
    let (mut fetch, _) = planted_exchange();
    fetch.requests[0].recorded = None;
    assert_eq!(files(&fetch, "1"), Err(RecordError::NotRecorded));
}

#[test]
fn a_recorded_case_has_its_keys_in_reading_order() {
    let (fetch, _) = planted_exchange();
    let files = files(&fetch, "1").unwrap();
    let text = String::from_utf8(files.last().unwrap().bytes.clone()).unwrap();
    let order = [
        "description = ",
        "[request]",
        "id = ",
        "day = ",
        "[request.params]",
        "[config]",
        "[[exchange]]",
        "[exchange.request]",
        "method = ",
        "url = ",
        "credential = ",
        "body_file = ",
        "[exchange.request.headers]",
        "[exchange.response]",
        "status = ",
        "body_file = ",
        "[exchange.response.headers]",
        "fault = ",
        "[expect.record]",
        "content_type = ",
        "body_file = ",
        "[expect.record.attributes]",
    ];
    let mut rest = text.as_str();
    for key in order {
        assert!(rest.contains(key), "{key} does not follow the others: {text}");
        rest = rest.split_once(key).unwrap().1;
    }
}
