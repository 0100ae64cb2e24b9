//! The hostile provider's requests.

use serde_json::{Value, json};

use crate::bindings::damper::provider::host;
use crate::bindings::damper::provider::http::{self, HttpError, Request, Response};
use crate::bindings::damper::provider::types::{Failure, FailureKind, FetchRequest, Fetched};
use crate::{failure, number, param, record};

/// A request as the params ask for it: `method`, `credential` (or several, with commas), `body`, `timeout-ms`, and each `header-NAME`.
fn request(from: &FetchRequest, url: &str) -> Request {
    let given = |name| Some(param(from, name).to_owned()).filter(|value| !value.is_empty());
    let header = |(name, value): &(String, String)| Some((name.strip_prefix("header-")?.to_owned(), value.clone()));
    Request {
        method: given("method").unwrap_or_else(|| "GET".to_owned()),
        url: url.to_owned(),
        headers: from.params.iter().filter_map(header).collect(),
        body: given("body").map(String::into_bytes),
        credentials: given("credential").iter().flat_map(|names| names.split(',')).map(str::to_owned).collect(),
        timeout_ms: param(from, "timeout-ms").parse().ok(),
        extras: Vec::new(),
    }
}

fn describe(response: &Response) -> Value {
    json!({
        "status": response.status,
        "headers": response.headers,
        "url": response.url,
        "length": response.body.len(),
        "body": String::from_utf8_lossy(&response.body),
    })
}

fn explain(error: HttpError) -> (FailureKind, String) {
    match error {
        HttpError::Denied(why) => (FailureKind::Rejected, format!("denied: {why}")),
        HttpError::Invalid(why) => (FailureKind::Rejected, format!("invalid: {why}")),
        HttpError::Unreachable(why) => (FailureKind::Unavailable, format!("unreachable: {why}")),
        HttpError::Broken(why) => (FailureKind::Unavailable, format!("broken: {why}")),
        HttpError::TimedOut => (FailureKind::TimedOut, "timed out".to_owned()),
        HttpError::TooLarge(limit) => (FailureKind::Malformed, format!("too large: {limit}")),
        HttpError::Redirects(why) => (FailureKind::Malformed, format!("redirects: {why}")),
        HttpError::Other(why) => (FailureKind::Other("http".to_owned()), why),
    }
}

/// Asks once, and gives back what came, whatever its status.
pub(crate) fn get(from: &FetchRequest, url: &str) -> Result<Fetched, Failure> {
    match http::send(&request(from, url)) {
        Ok(response) => Ok(json_record(&describe(&response))),
        Err(error) => {
            let (kind, message) = explain(error);
            Err(failure(kind, &message))
        }
    }
}

/// Asks `count` times side by side; without bodies in what it tells, where a `summary` is wanted.
pub(crate) fn get_all(from: &FetchRequest) -> Result<Fetched, Failure> {
    let one = request(from, param(from, "url"));
    let answers = http::send_all(&vec![one; number(from, "count", 2)]);
    let told: Vec<Value> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(response) if param(from, "summary").is_empty() => describe(&response),
            Ok(response) => json!({ "status": response.status }),
            Err(error) => json!(explain(error).1),
        })
        .collect();
    Ok(json_record(&json!(told)))
}

/// Tries each header that a provider may not set, and gives back what the host said to each.
pub(crate) fn forbidden_headers(from: &FetchRequest) -> Result<Fetched, Failure> {
    let tries = [
        ("Host", "evil"),
        ("authorization", "Basic eDp5"),
        ("Cookie", "a=b"),
        ("Proxy-Authorization", "x"),
        ("Connection", "close"),
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("X-Split", "a\r\nEvil: yes"),
        ("X-Nul", "a\0b"),
        ("Bad Name", "x"),
        ("", "x"),
    ];
    let told: Vec<Value> = tries
        .into_iter()
        .map(|(name, value)| {
            let mut asked = request(from, param(from, "url"));
            asked.headers = vec![(name.to_owned(), value.to_owned())];
            http::send(&asked).map_or_else(|error| json!(explain(error).1), |response| describe(&response))
        })
        .collect();
    Ok(json_record(&json!(told)))
}

/// Signs a payload with a credential, in hexadecimal.
pub(crate) fn sign(from: &FetchRequest) -> Result<Fetched, Failure> {
    let payload = param(from, "payload").as_bytes();
    match host::sign(param(from, "credential"), host::Algorithm::HmacSha256, payload) {
        Ok(signature) => Ok(record("text/plain", hexadecimal(&signature).into_bytes())),
        Err(error) => Err(failure(FailureKind::Rejected, &format!("{error:?}"))),
    }
}

/// Signs a payload of `bytes` zeros.
pub(crate) fn sign_large(from: &FetchRequest) -> Result<Fetched, Failure> {
    match host::sign(param(from, "credential"), host::Algorithm::HmacSha256, &vec![0; number(from, "bytes", 2 << 20)]) {
        Ok(signature) => Ok(record("text/plain", hexadecimal(&signature).into_bytes())),
        Err(error) => Err(failure(FailureKind::Rejected, &format!("{error:?}"))),
    }
}

/// Asks for what the host refuses, with a guess at a secret in it, and gives back what the host says to each: a secret that the host took
/// out there would be confirmed without any request. In what it tells, GUESS stands for the guess.
pub(crate) fn guess(from: &FetchRequest) -> Fetched {
    let guess = param(from, "guess");
    let plain = || request(from, "https://forbidden.damper.invalid/");
    let asked = [
        Request { url: format!("https://{guess}.damper.invalid/"), ..plain() },
        Request { url: format!("https://user:{guess}@forbidden.damper.invalid/"), ..plain() },
        Request { url: format!("{guess}://"), ..plain() },
        Request { method: guess.to_owned(), ..plain() },
        Request { headers: vec![(format!("{guess} {guess}"), String::new())], ..plain() },
        Request { headers: vec![("x".to_owned(), format!("{guess}\n"))], ..plain() },
        Request { url: param(from, "url").to_owned(), credentials: vec![guess.to_owned()], ..plain() },
    ];
    let mut told: Vec<Value> = asked
        .iter()
        .map(|asked| http::send(asked).map_or_else(|error| json!(explain(error).1), |response| describe(&response)))
        .collect();
    let signed = host::sign(guess, host::Algorithm::HmacSha256, b"");
    told.push(json!(format!("{signed:?}")));
    record("application/json", json!(told).to_string().replace(guess, "GUESS").into_bytes())
}

/// Asks `count` times for what is refused.
pub(crate) fn send_refused(count: usize) -> Fetched {
    let asked = Request {
        method: "GET".to_owned(),
        url: "https://forbidden.damper.invalid/".to_owned(),
        headers: Vec::new(),
        body: None,
        credentials: Vec::new(),
        timeout_ms: None,
        extras: Vec::new(),
    };
    let refused = (0..count).filter(|_| http::send(&asked).is_err()).count();
    json_record(&json!(refused))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json_record(value: &Value) -> Fetched {
    record("application/json", value.to_string().into_bytes())
}
