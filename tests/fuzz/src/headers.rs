//! A guest's method and headers, and what an answer's headers say of waiting.

use std::time::Duration;

use damper_plugins::fuzzing::{read_headers, read_method, token_retry_after};
use damper_sdk::http;
use damper_sdk::testing::Api;

use crate::message::check_message;
use crate::parts::parts;

const URL: &str = "https://api.example.org/";
/// Headers that the host or the connection sets.
const HOSTS_OWN: [&str; 6] = ["authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"];

/// The parts of the data: Retry-After, Date, a reset, a method, and headers, a name and a value each. Nothing that
/// passes splits a request or sets what is the host's; a wait is read or left out, and one in digits is what they say.
pub fn headers(data: &[u8]) {
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default();
    let (retry_after, date, reset, method) = (next(), next(), next(), next());
    let mut pairs = Vec::new();
    while let Some(name) = parts.next() {
        pairs.push((name, parts.next().unwrap_or_default()));
    }
    check_method(&method);
    check_headers(&pairs);
    check_waits(&retry_after, &date, &reset);
}

fn check_method(text: &str) {
    match read_method(text) {
        Ok(method) => {
            assert_eq!(method.as_str(), text);
            assert!(
                text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
                    && text != "CONNECT"
                    && text != "TRACE"
            );
        }
        Err(why) => check_message(&why),
    }
}

fn check_headers(pairs: &[(String, String)]) {
    let headers = match read_headers(pairs) {
        Ok(headers) => headers,
        Err(why) => return check_message(&why),
    };
    assert_eq!(headers.len(), pairs.len());
    for (name, value) in &headers {
        assert!(!HOSTS_OWN.contains(&name.as_str()) && !name.as_str().starts_with("proxy-"), "{name}");
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{value:?}");
    }
}

fn check_waits(retry_after: &str, date: &str, reset: &str) {
    let mut map = ::http::HeaderMap::new();
    for (name, text) in [("retry-after", retry_after), ("date", date)] {
        if let Ok(value) = ::http::HeaderValue::from_bytes(text.as_bytes()) {
            map.insert(name, value);
        }
    }
    let wait = token_retry_after(&map);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(86_400)), "{wait:?}");
    let mut api = Api::new();
    let answer = api.get(URL).answer_header("retry-after", retry_after).answer_header("x-ratelimit-reset", reset);
    answer.answer_header("date", date).answers(429, "");
    let response = api.run(|| http::get(URL).send()).expect("an answer");
    let (wait, until) = (response.retry_after(), response.rate_limit_reset());
    let seconds = |text: &str| text.trim().parse::<u32>().ok().filter(|_| !text.trim().starts_with('+'));
    if let Some(seconds) = seconds(retry_after) {
        assert_eq!(wait, Some(Duration::from_secs(seconds.into())), "{retry_after:?}");
    }
    if let Some(seconds) = seconds(reset).filter(|seconds| *seconds < 1_000_000_000) {
        assert_eq!(until, Some(Duration::from_secs(seconds.into())), "{reset:?}");
    }
    let failure = response.ok().expect_err("a 429 is a failure");
    // Both are measured from the clock where there is no Date.
    let apart = |one: Duration, other: Duration| one.abs_diff(other) < Duration::from_secs(60);
    assert!(match (failure.retry_after, wait.or(until)) {
        (Some(told), Some(read)) => apart(told, read),
        (told, read) => told == read,
    });
}
