//! A provider that is right where `mutation` is `none`, and else wrong in the way that it names: typical mistakes of
//! authors. The conformance suite has to find each of them, and has to pass the correct provider.

use std::thread::sleep;
use std::time::Duration;

use damper_sdk::http::{Error, Response};
use damper_sdk::prelude::*;

const API: &str = "https://mutants.damper.invalid/v1";

/// Fetches a thing and its details.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let mutation = config::required("mutation")?;
    let mutation = mutation.as_str();
    if mutation == "logs-the-key" {
        log::info(format!("asking with {}", config::required("api_key")?));
    }
    let answer = match thing(request, mutation) {
        Err(Error::TimedOut) if mutation == "takes-a-timeout-for-not-found" => {
            return Err(Failure::not_found("nobody answered"));
        }
        Err(_) if mutation == "takes-no-connection-for-rejected" => return Err(Failure::rejected("no connection")),
        answer => answer?,
    };
    if mutation == "tells-the-key" && answer.status() != 200 {
        let (status, key) = (answer.status(), config::required("api_key")?);
        return Err(Failure::unavailable(format!("{status} for the key {key}")));
    }
    let thing = match judge(answer, mutation, request)? {
        Verdict::Answer(answer) => answer,
        Verdict::Record(record) => return Ok(record),
    };
    let details = details(&thing, mutation)?;
    Record::from_value(&json::json!({"id": thing.str_at("/id")?, "details": details}))
}

/// The first request.
fn thing(request: &FetchRequest, mutation: &str) -> Result<Response, Error> {
    let query = if mutation == "pastes-ids" {
        http::get(format!("{API}/things/{}?fields=all", request.id))
    } else {
        http::get(API).join("things/{id}").path("id", &request.id).query("fields", "all")
    };
    let query = query.credential("key");
    match mutation {
        "takes-a-timeout-for-not-found" => query.timeout(Duration::from_millis(50)).send(),
        _ => query.send(),
    }
}

enum Verdict {
    Answer(Value),
    Record(Record),
}

/// The meaning of an answer to the first request.
fn judge(answer: Response, mutation: &str, request: &FetchRequest) -> Result<Verdict, Failure> {
    let status = answer.status();
    let record = |text: &str| Ok(Verdict::Record(Record::new("application/json", text)));
    let again = || thing(request, mutation);
    match (mutation, status) {
        ("ignores-retry-after", 429) => return Err(Failure::throttled("slow down").with_status(429)),
        ("reads-retry-after-in-seconds-alone", 429) => {
            let seconds = answer.header("retry-after").and_then(|value| value.parse().ok());
            let failure = Failure::throttled("slow down").with_status(429);
            return Err(match seconds {
                Some(seconds) => failure.with_retry_after(Duration::from_secs(seconds)),
                None => failure,
            });
        }
        ("takes-429-for-unavailable", 429) => return Err(Failure::unavailable("slow down")),
        ("sleeps-on-429", 429) => {
            sleep(Duration::from_secs(60));
            return Err(answer.ok().err().unwrap_or_else(|| Failure::throttled("slow down")));
        }
        ("swallows-a-500", 500) => return record("{}"),
        ("takes-500-for-not-found", 500..=599) => return Err(Failure::not_found("the API is down")),
        ("loops-on-503", 503) => loop {
            let answer = again()?;
            if answer.status() != 503 {
                return Ok(Verdict::Answer(answer.ok()?.json()?));
            }
        },
        ("retries-a-500", 500) => return Ok(Verdict::Answer(again()?.ok()?.json()?)),
        ("takes-401-for-rejected", 401) => return Err(Failure::rejected("who are you?")),
        ("takes-404-for-unavailable", 404) => return Err(Failure::unavailable("not there")),
        ("follows-a-location-with-the-key", 300..=399) => {
            let location = answer.header("location").unwrap_or_default().to_owned();
            return Ok(Verdict::Answer(http::get(location).credential("key").send()?.ok()?.json()?));
        }
        ("takes-nothing-for-a-record", 200) if answer.bytes().is_empty() => return record("{}"),
        ("mends-utf-8", 200) => {
            let text = String::from_utf8_lossy(answer.bytes()).into_owned();
            return Ok(Verdict::Answer(json::parse(text.as_bytes())?));
        }
        #[allow(clippy::panic, reason = "it is what this mutation is about")]
        ("panics-on-bad-json", 200) => {
            let read = answer.json().unwrap_or_else(|failure| panic!("no JSON: {failure}"));
            return Ok(Verdict::Answer(read));
        }
        _ => {}
    }
    Ok(Verdict::Answer(answer.ok()?.json()?))
}

/// The second request.
fn details(thing: &Value, mutation: &str) -> Result<Value, Failure> {
    let number: u64 = thing.parse_at("/details")?;
    let answer = http::get(API).join("details/{number}").path("number", number).credential("key").send();
    let details = answer.map_err(Failure::from).and_then(|answer| {
        let answer = answer.ok()?;
        if mutation == "takes-any-body" {
            let text = || Value::from(String::from_utf8_lossy(answer.bytes()));
            return Ok(json::parse(answer.bytes()).unwrap_or_else(|_| text()));
        }
        answer.json()
    });
    match details {
        Err(_) if mutation == "leaves-out-details-that-fail" => Ok(Value::Null),
        details => details,
    }
}
