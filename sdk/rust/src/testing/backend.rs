//! The host's functions, played from the script that [`Api::run`](super::Api::run) installed on this thread.

#![allow(clippy::panic, reason = "a request that was not foreseen fails the author's test")]

use std::cell::RefCell;
use std::time::Duration;

use super::{Expected, Script};
use crate::backend::Prepared;
use crate::http::{Error, Response};
use crate::log::Level;
use crate::sign::{Algorithm, SignError, Signature};

/// The contract's bounds on what a provider may cache.
const CACHE_KEY_BYTES: usize = 256;
const CACHE_VALUE_BYTES: usize = 64 * 1024;

thread_local! {
    static CURRENT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// Gives the script back when the run ends, also when it ends in a panic.
pub(super) struct Installed<'a> {
    owner: &'a mut Script,
}

pub(super) fn install(script: &mut Script) -> Installed<'_> {
    CURRENT.with_borrow_mut(|current| {
        assert!(current.is_none(), "Api::run inside of another Api::run");
        *current = Some(std::mem::take(script));
    });
    Installed { owner: script }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if let Some(script) = CURRENT.with_borrow_mut(Option::take) {
            *self.owner = script;
        }
    }
}

pub(super) fn check_all_sent(script: &Script) {
    if let Some(next) = script.expected.front() {
        panic!(
            "{} expected request(s) not sent; the next, {} {}, was not sent",
            script.expected.len(),
            next.method,
            next.url
        );
    }
}

fn with<T>(play: impl FnOnce(&mut Script) -> T) -> T {
    CURRENT.with_borrow_mut(|current| match current {
        Some(script) => play(script),
        None => panic!("natively there is no host: call this inside of damper_sdk::testing::Api::run, which plays one"),
    })
}

pub(crate) fn send(request: Prepared) -> Result<Response, Error> {
    if let Some(reason) = refusal(&request) {
        return Err(Error::Invalid(reason));
    }
    let expected = with(|script| {
        script.sent += 1;
        script.expected.pop_front()
    });
    let Some(expected) = expected else {
        panic!("the script expects no further request, but the provider sent {} {}", request.method, request.url);
    };
    let differences = differences(&expected, &request);
    assert!(
        differences.is_empty(),
        "the provider sent another request than the script expects:\n{}",
        differences.join("\n")
    );
    let answer = expected.answer?;
    Ok(Response::new(
        request.method,
        answer.status,
        answer.headers,
        answer.body,
        answer.url.unwrap_or(request.url),
        Duration::from_millis(1),
    ))
}

pub(crate) fn send_all(requests: Vec<Prepared>) -> Vec<Result<Response, Error>> {
    requests.into_iter().map(send).collect()
}

/// Each point in which a request is not the expected one, as a line of its own.
fn differences(expected: &Expected, request: &Prepared) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, wanted: &str, sent: &str| {
        if wanted != sent {
            lines.push(format!("  {what}: expected {wanted:?}, sent {sent:?}"));
        }
    };
    compare("method", &expected.method, &request.method);
    compare("URL", &expected.url, &request.url);
    for (name, value) in &expected.headers {
        let sent: Vec<&str> = request
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        if !sent.contains(&value.as_str()) {
            compare(&format!("header {name}"), value, &sent.join(", "));
        }
    }
    compare("credentials", &names_text(&expected.credentials), &names_text(&request.credentials));
    if let Some(wanted) = &expected.body {
        let sent = request.body.as_deref().unwrap_or_default();
        compare("body", &String::from_utf8_lossy(wanted), &String::from_utf8_lossy(sent));
    }
    lines
}

fn names_text(credentials: &[String]) -> String {
    if credentials.is_empty() { "(none)".to_owned() } else { credentials.join(", ") }
}

/// Why the host would not take a request, so that a test finds out before it does.
fn refusal(request: &Prepared) -> Option<String> {
    const THE_HOSTS: [&str; 9] = [
        "host",
        "authorization",
        "cookie",
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "te",
        "proxy",
    ];
    request.headers.iter().find_map(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        if THE_HOSTS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            Some(format!("only the host sets the header {name}"))
        } else if !is_token(name) {
            Some(format!("{name:?} is not a header name"))
        } else if value.contains(['\r', '\n', '\0']) {
            Some(format!("the value of header {name} holds a line break or NUL"))
        } else {
            None
        }
    })
}

/// RFC 9110's `token`.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(crate) fn log(level: Level, message: &str) {
    with(|script| script.logged.push((level, message.to_owned())));
}

pub(crate) fn config_get(key: &str) -> Option<String> {
    with(|script| script.config.get(key).cloned())
}

pub(crate) fn sign(credential: &str, _algorithm: Algorithm, _payload: &[u8]) -> Result<Signature, SignError> {
    with(|script| match script.signatures.get(credential) {
        Some(bytes) => Ok(Signature::new(bytes.clone())),
        None => Err(SignError::NoSuchCredential(credential.to_owned())),
    })
}

pub(crate) fn cache_get(key: &str) -> Option<Vec<u8>> {
    with(|script| script.cache.get(key).cloned())
}

pub(crate) fn cache_remove(key: &str) {
    with(|script| script.cache.remove(key));
}

pub(crate) fn cache_put(key: &str, value: &[u8], _ttl_ms: u64) {
    with(|script| {
        if key.len() <= CACHE_KEY_BYTES && value.len() <= CACHE_VALUE_BYTES {
            script.cache.insert(key.to_owned(), value.to_vec());
        }
    });
}
