//! The syntax of a case, and the messages about its errors.

use std::path::Path;

use super::*;

const GOOD: &str = r#"
[request]
id = "1"
[[exchange]]
[exchange.request]
url = "https://API.example.org:443/a/../b?q=1"
headers = { Accept = "application/json" }
[exchange.response]
status = 200
headers = { content-type = "application/json", x-many = ["a", "b"] }
body = "{}"
[expect.record]
json = { a = [1, 2.5, true] }
"#;

fn parse(text: &str) -> Result<Case, CaseError> {
    Case::parse(Path::new("cases/found.toml"), text)
}

fn problem(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    parse(&GOOD.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_case_has_the_defaults_that_are_documented() {
    let case = parse(GOOD).unwrap();
    assert_eq!((case.name.as_str(), case.order), ("found", Order::InOrder));
    assert_eq!((case.item.attempt, case.item.day.to_string()), (1, "2026-01-15".to_owned()));
    let Exchange { request, answer } = &case.last.exchanges[0];
    assert_eq!((request.method.as_str(), request.url.as_str()), ("GET", "https://api.example.org/b?q=1"));
    assert_eq!(request.headers["accept"], "application/json");
    assert!(request.credentials.is_empty() && request.body.is_none());
    assert_eq!(answer.headers.len(), 3);
    assert_eq!((answer.delay, answer.fault), (Duration::ZERO, None));
    assert!(case.is_good() && !case.is_endless());
    let Expect::Record(record) = case.last.expect else { panic!("a record") };
    let body = record.body.unwrap();
    assert_eq!(body.bytes.unwrap(), r#"{"a":[1,2.5,true]}"#.as_bytes());
    assert!(record.content_type.is_none() && record.attributes.is_none());
}

#[test]
fn a_request_may_want_one_credential_or_several() {
    for (written, meant) in [("\"key\"", vec!["key"]), ("[\"email\", \"key\"]", vec!["email", "key"])] {
        let case = parse(&GOOD.replace("[exchange.response]", &format!("credential = {written}\n[exchange.response]")));
        assert_eq!(case.unwrap().last.exchanges[0].request.credentials, meant);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    for key in ["status = 200", "id = \"1\"", "[expect.record]"] {
        let problem = problem(key, &format!("{key}\nretries = 3"));
        assert!(problem.contains("retries") && problem.contains("line"), "{problem}");
    }
}

#[test]
fn what_cannot_be_meant_is_told_with_its_key() {
    let cases = [
        ("https://API", "ftp://API", "exchange 1: request.url is neither http nor https"),
        ("https://API", "/API", "exchange 1: request.url is not an absolute URL"),
        ("status = 200", "status = 200\nfault = \"reset\"", "exchange 1: response.fault replaces status"),
        ("status = 200", "delay = \"5ms\"", "neither `status` nor `fault`"),
        ("status = 200", "status = 99", "response.status is not a status"),
        ("body = \"{}\"", "body = \"{}\"\njson = {}", "more than one way"),
        ("body = \"{}\"", "body_file = \"no-such-file\"", "no-such-file"),
        (
            "body = \"{}\"",
            "body_file = \"/etc/passwd\"",
            "response.body_file names \"/etc/passwd\", which is not below",
        ),
        ("json = { a = [1, 2.5, true] }", "body_file = \"../../x\"", "expect.record.body_file names \"../../x\""),
        ("id = \"1\"", "id = \"1\"\nattempt = 0", "request.attempt is 0"),
        ("id = \"1\"", "id = \"1\"\nday = \"tomorrow\"", "request.day cannot be used"),
        ("[expect.record]", "[expect.failure]\nkind = \"throttled\"\n[expect.record]", "exactly one of"),
        ("x-many = [\"a\", \"b\"]", "x-many = [\"a\\r\\nb: c\"]", "is not a header"),
    ];
    for (from, to, expected) in cases {
        let problem = problem(from, to);
        assert!(problem.contains(expected), "{expected:?} in {problem:?}");
    }
    let failure = "[expect.failure]\nkind = \"throttled\"\nmessage = \"(\"";
    let problem = problem("[expect.record]\njson = { a = [1, 2.5, true] }", failure);
    assert!(problem.contains("not a regular expression"), "{problem}");
}

#[test]
fn each_kind_of_failure_reads_as_it_is_written() {
    let kinds = [
        "throttled",
        "unavailable",
        "timed-out",
        "unauthorized",
        "not-found",
        "rejected",
        "malformed",
        "trapped",
        "broken",
        "out-of-quota",
        "my own",
    ];
    for name in kinds {
        assert_eq!(kind_name(&kind_of(name)), name);
    }
    assert_eq!(kind_of("my own"), FailureKind::Other("my own".to_owned()));
}

#[test]
fn each_fault_reads_as_it_is_written() {
    let faults = [
        ("refused", Fault::Refused),
        ("reset", Fault::Reset),
        ("timeout", Fault::Timeout),
        ("truncated", Fault::Truncated),
        ("wrong-length", Fault::WrongLength),
        ("slow-drip", Fault::SlowDrip),
    ];
    for (name, fault) in faults {
        let text = GOOD
            .replace("status = 200", &format!("fault = {name:?}"))
            .replace("headers = { content-type = \"application/json\", x-many = [\"a\", \"b\"] }\nbody = \"{}\"", "");
        let case = parse(&text).unwrap();
        assert_eq!(case.last.exchanges[0].answer.fault, Some(fault));
        assert_eq!(case.is_endless(), fault.is_endless());
        assert!(!case.is_good());
    }
}
