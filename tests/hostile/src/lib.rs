//! A provider that misbehaves in every way a test needs. The item's id says how, up to a colon where there is one (`trap:7`); its
//! params say the rest.
//!
//! It is written against the contract itself, without the SDK, so that it can do what the SDK would not let it do.

mod requests;

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "generated from the contract"
)]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit/provider.wit", world: "provider", generate_all });

    use super::Hostile;

    export!(Hostile);
}

use std::hint::black_box;
use std::io::Write;

use bindings::damper::provider::host;
use bindings::damper::provider::types::{Failure, FailureKind, FetchRequest, Fetched};

struct Hostile;

impl bindings::Guest for Hostile {
    fn fetch_record(request: FetchRequest) -> Result<Fetched, Failure> {
        match request.id.split(':').next().unwrap_or_default() {
            "ok" => Ok(record("application/json", br#"{"ok":true}"#.to_vec())),
            "loop" => run_for_ever(),
            "memory" => eat_memory(),
            "stack" => Ok(record("text/plain", recurse(1).to_string().into_bytes())),
            "trap" => fail_badly(&request),
            "exit" => std::process::exit(3),
            "sleep" => sleep_for_ever(),
            "huge" => Ok(record("text/plain", vec![b'x'; number(&request, "bytes", 1 << 20)])),
            "attributes" => Ok(attributes(number(&request, "count", 10_000))),
            "print" => Ok(print(number(&request, "lines", 10_000))),
            "log" => Ok(log(number(&request, "lines", 10_000))),
            "say" => Err(say(&request)),
            "clocks" => Ok(clocks()),
            "config" => Ok(text(&host::config_get(param(&request, "key")).unwrap_or_else(|| "none".to_owned()))),
            "cache" => Ok(cache(&request)),
            "sign" => requests::sign(&request),
            "sign-large" => requests::sign_large(&request),
            "guess" => Ok(requests::guess(&request)),
            "refused" => Ok(requests::send_refused(number(&request, "count", 10_000))),
            "forbidden-host" => requests::get(&request, "https://forbidden.damper.invalid/"),
            "get" | "redirect" | "wait" => requests::get(&request, param(&request, "url")),
            "get-all" => requests::get_all(&request),
            "headers" => requests::forbidden_headers(&request),
            other => Err(failure(FailureKind::NotFound, &format!("no behaviour {other:?}"))),
        }
    }
}

fn param<'a>(request: &'a FetchRequest, name: &str) -> &'a str {
    request.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn number(request: &FetchRequest, name: &str, default: usize) -> usize {
    param(request, name).parse().unwrap_or(default)
}

fn record(content_type: &str, body: Vec<u8>) -> Fetched {
    Fetched { content_type: content_type.to_owned(), body, attributes: Vec::new(), extras: Vec::new() }
}

fn text(body: &str) -> Fetched {
    record("text/plain", body.as_bytes().to_vec())
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), retry_after_ms: None, status: None, extras: Vec::new() }
}

fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn eat_memory() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

/// Recurses without end, with frames too small to run out of the guest's own memory first.
#[allow(unconditional_recursion, reason = "this is how a stack ends")]
fn recurse(depth: u64) -> u64 {
    recurse(black_box(depth) + 1).wrapping_add(depth)
}

#[allow(clippy::panic, reason = "a trap is what is asked for")]
fn fail_badly(request: &FetchRequest) -> ! {
    panic!("as asked for: {}", param(request, "message"))
}

/// Waits for a clock that WASI gives, which is no request and no loop.
fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_hours(1));
    }
}

fn attributes(count: usize) -> Fetched {
    let attributes = (0..count).map(|index| (format!("name-{index}"), "value".to_owned())).collect();
    Fetched { attributes, ..text("") }
}

/// Floods standard output and standard error with what would move a terminal's cursor and forge a log's lines.
fn print(lines: usize) -> Fetched {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    for line in 0..lines {
        let written = writeln!(out, "\u{1b}[2J\u{1b}]0;owned\u{7} line {line} {{\"level\":\"ERROR\"}} \u{9b}31m");
        if written.and_then(|()| writeln!(err, "warning {line} \u{202e}")).is_err() {
            break;
        }
    }
    text("printed")
}

fn log(lines: usize) -> Fetched {
    for line in 0..lines {
        host::log(host::Level::Warn, &format!("line {line} {}\n\u{1b}[2J", "x".repeat(100_000)));
    }
    text("logged")
}

/// A failure of the kind and message that the params ask for.
fn say(request: &FetchRequest) -> Failure {
    let kind = match param(request, "kind") {
        "throttled" => FailureKind::Throttled,
        "unavailable" => FailureKind::Unavailable,
        "unauthorized" => FailureKind::Unauthorized,
        "not-found" => FailureKind::NotFound,
        "rejected" => FailureKind::Rejected,
        "malformed" => FailureKind::Malformed,
        other => FailureKind::Other(other.to_owned()),
    };
    let retry_after_ms = param(request, "retry-after-ms").parse().ok();
    let repeat = number(request, "repeat", 1);
    Failure { retry_after_ms, status: Some(418), ..failure(kind, &param(request, "message").repeat(repeat)) }
}

fn clocks() -> Fetched {
    let mut map = std::collections::HashMap::new();
    map.insert("time", format!("{:?}", std::time::Instant::now()));
    map.insert("args", std::env::args().count().to_string());
    map.insert("variables", std::env::vars().count().to_string());
    map.insert("file", format!("{:?}", std::fs::read("/etc/passwd").is_ok()));
    map.insert("input", std::io::stdin().lines().count().to_string());
    record("application/json", serde_json::to_vec(&map).unwrap_or_default())
}

/// Puts what `put` says, if it says something, and reads what is kept.
fn cache(request: &FetchRequest) -> Fetched {
    let key = param(request, "key").repeat(number(request, "repeat", 1));
    if !param(request, "put").is_empty() {
        let value = param(request, "put").repeat(number(request, "times", 1));
        host::cache_put(&key, value.as_bytes(), number(request, "ttl-ms", 60_000) as u64);
    }
    record("text/plain", host::cache_get(&key).unwrap_or_else(|| b"none".to_vec()))
}
