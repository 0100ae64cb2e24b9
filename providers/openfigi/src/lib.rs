//! OpenFIGI's mappings: `POST https://api.openfigi.com/v3/mapping`, one job a request.
//!
//! From the API's documentation (<https://www.openfigi.com/api/documentation>: "Rate limits", "POST /v3/mapping" and the
//! status codes; <https://www.openfigi.com/api/openapi-spec> has the shapes). An id is an ISIN (ISO 6166), or what the
//! param `idType` says instead (`TICKER`, `ID_CUSIP`, ...). The filters that the documentation lists are params of the
//! same names; the intervals among them (`strike`, `contractSize`, `coupon`, `expiration`, `maturity`) are JSON, as in
//! `[100, null]`.
//!
//! The answer has one result for each job: `data` with the instruments found, `warning` where none was found, `error`
//! for a job that is refused. A record is the answer as it came. A 429 carries no Retry-After of necessity, but
//! `ratelimit-reset`, in seconds (an IETF draft).

use std::collections::BTreeMap;

use damper_sdk::prelude::*;
use damper_sdk::text;
use serde::Deserialize;

/// Filters whose value is text, and those whose value is an interval.
const TEXTS: [&str; 8] =
    ["exchCode", "micCode", "currency", "marketSecDes", "securityType", "securityType2", "optionType", "stateCode"];
const INTERVALS: [&str; 5] = ["strike", "contractSize", "coupon", "expiration", "maturity"];

/// Fetches what an identifier is mapped to, as the API gives it.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let mut post = http::post("https://api.openfigi.com/v3/mapping").header("Accept", "application/json");
    if config::flag("use_key") {
        post = post.credential("key");
    }
    let answer = post.json(&[job(request)?]).send()?.ok()?;
    let results: Vec<JobResult> = answer.json()?;
    let [result] = results.as_slice() else {
        return Err(Failure::malformed(format!("the API gave {} results for one job", results.len())));
    };
    let found = result.instruments()?;
    let record = Record::json(answer)?.with_attribute("matches", found.len().to_string());
    Ok(match found {
        [only] => record.with_attribute("figi", &only.figi),
        _ => record,
    })
}

/// The answer to one job. Only these fields are checked; the rest is passed on unread.
#[derive(Deserialize)]
struct JobResult {
    data: Option<Vec<Instrument>>,
    warning: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Instrument {
    figi: String,
}

impl JobResult {
    fn instruments(&self) -> Result<&[Instrument], Failure> {
        if let Some(error) = &self.error {
            return Err(Failure::rejected(format!("OpenFIGI refuses the job: {}", text::short(error))));
        }
        match (&self.data, &self.warning) {
            (Some(found), _) if !found.is_empty() => Ok(found),
            (_, Some(warning)) => Err(Failure::not_found(format!("OpenFIGI: {}", text::short(warning)))),
            _ => Err(Failure::malformed("the API's result has neither data nor a warning")),
        }
    }
}

/// A job of the mapping API: its keys and their values.
type Job = BTreeMap<&'static str, Value>;

/// The job that an item asks for.
fn job(request: &FetchRequest) -> Result<Job, Failure> {
    let id_type = request.param("idType").unwrap_or("ID_ISIN");
    if id_type == "ID_ISIN" {
        check_isin(&request.id)?;
    } else if request.id.trim().is_empty() {
        return Err(Failure::rejected("an empty id maps to nothing"));
    }
    if request.param("exchCode").is_some() && request.param("micCode").is_some() {
        return Err(Failure::rejected("exchCode and micCode exclude each other: give one"));
    }
    let mut job = Job::from([("idType", id_type.into()), ("idValue", request.id.as_str().into())]);
    for name in TEXTS {
        if let Some(value) = request.param(name) {
            job.insert(name, value.into());
        }
    }
    for name in INTERVALS {
        if let Some(value) = request.param(name) {
            job.insert(name, interval(name, value)?);
        }
    }
    if let Some(value) = request.param("includeUnlistedEquities") {
        let value: bool = value.parse().map_err(|_| Failure::rejected("includeUnlistedEquities is true or false"))?;
        job.insert("includeUnlistedEquities", value.into());
    }
    Ok(job)
}

/// An interval: two numbers or dates, of which one may be null.
fn interval(name: &str, value: &str) -> Result<Value, Failure> {
    let fits = |end: &Value| end.is_null() || end.is_number() || end.is_string();
    match json::parse(value.as_bytes()) {
        Ok(Value::Array(ends)) if ends.len() == 2 && ends.iter().all(fits) && !ends.iter().all(Value::is_null) => {
            Ok(Value::Array(ends))
        }
        _ => {
            Err(Failure::rejected(format!("{name} is no interval: write it as JSON, as in [100, 200] or [100, null]")))
        }
    }
}

/// ISO 6166: two letters for the country, nine letters and digits, and a check digit.
fn check_isin(id: &str) -> Result<(), Failure> {
    let bytes = id.as_bytes();
    let shaped = bytes.len() == 12
        && bytes.iter().take(2).all(u8::is_ascii_uppercase)
        && bytes.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && bytes.last().is_some_and(u8::is_ascii_digit);
    if !shaped {
        return Err(Failure::rejected("not an ISIN: it has two letters, nine letters or digits, and a check digit"));
    }
    if !luhn(bytes) {
        return Err(Failure::rejected("not an ISIN: its check digit is wrong"));
    }
    Ok(())
}

/// The Luhn check over the digits that result when A to Z are read as 10 to 35: every second from the right counts
/// double, by the sum of its digits.
fn luhn(characters: &[u8]) -> bool {
    let values = characters.iter().rev().filter_map(|byte| char::from(*byte).to_digit(36));
    let digits = values.flat_map(|value| {
        let tens = if value < 10 { None } else { Some(value / 10) };
        std::iter::once(value % 10).chain(tens)
    });
    let sum: u32 =
        digits.enumerate().map(|(at, digit)| if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::{Api, Expectation};
    use std::time::Duration;

    const URL: &str = "https://api.openfigi.com/v3/mapping";
    const ISIN: &str = "US4592001014";
    const FOUND: &str = include_str!("../cases/fixtures/isin.json");
    const NONE: &str = include_str!("../cases/fixtures/no-identifier-found.json");
    const INVALID: &str = include_str!("../cases/fixtures/invalid-id-value.json");

    fn fetch_with_answer(
        request: &FetchRequest,
        use_key: &str,
        answer: impl FnOnce(Expectation<'_>),
    ) -> Result<Record, Failure> {
        let mut api = Api::new();
        api.config("use_key", use_key);
        let post = api.post(URL).header("Content-Type", "application/json");
        answer(if use_key == "true" { post.credential("key") } else { post });
        api.run(|| fetch(request))
    }

    fn fetch_with_body(status: u16, body: &str) -> Result<Record, Failure> {
        fetch_with_answer(&FetchRequest::new(ISIN), "true", |it| it.answers(status, body))
    }

    fn fetch_refused(request: &FetchRequest) -> Failure {
        let mut api = Api::new();
        api.config("use_key", "true");
        api.run(|| fetch(request)).unwrap_err()
    }

    #[test]
    fn gives_the_mapping_as_the_api_has_it() {
        let record = fetch_with_answer(&FetchRequest::new(ISIN), "true", |it| {
            it.body(r#"[{"idType":"ID_ISIN","idValue":"US4592001014"}]"#).answers(200, FOUND);
        });
        let record = record.unwrap();
        assert_eq!(record.body(), FOUND.as_bytes());
        assert_eq!(record.attribute("matches"), Some("3"));
        assert_eq!(record.attribute("figi"), None);
    }

    #[test]
    fn params_narrow_the_mapping_down() {
        let request = FetchRequest::new("IBM \"7\"/8")
            .with_param("idType", "BASE_TICKER")
            .with_param("exchCode", "US")
            .with_param("strike", "[100, null]")
            .with_param("expiration", r#"["2026-10-01", "2026-12-01"]"#)
            .with_param("includeUnlistedEquities", "true")
            .with_param("note", "a hint that is not the API's");
        let job = json::json!({
            "idType": "BASE_TICKER", "idValue": "IBM \"7\"/8", "exchCode": "US", "strike": [100, null],
            "expiration": ["2026-10-01", "2026-12-01"], "includeUnlistedEquities": true,
        });
        let body = json::json!([job]).to_string();
        let record = fetch_with_answer(&request, "true", |it| {
            it.body(body).answers(200, r#"[{"data": [{"figi": "BBG000BLNNH6"}]}]"#)
        });
        let record = record.unwrap();
        assert_eq!((record.attribute("matches"), record.attribute("figi")), (Some("1"), Some("BBG000BLNNH6")));
    }

    #[test]
    fn without_a_key_no_credential_is_asked_for() {
        assert!(fetch_with_answer(&FetchRequest::new(ISIN), "false", |it| it.answers(200, FOUND)).is_ok());
    }

    #[test]
    fn an_identifier_without_an_instrument_is_not_found() {
        let failure = fetch_with_body(200, NONE).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotFound);
        assert!(failure.message.contains("No identifier found."));
    }

    #[test]
    fn a_job_that_is_refused_is_rejected() {
        assert_eq!(fetch_with_body(200, INVALID).unwrap_err().kind, FailureKind::Rejected);
        for status in [400, 413] {
            assert_eq!(fetch_with_body(status, "").unwrap_err().kind, FailureKind::Rejected, "{status}");
        }
    }

    #[test]
    fn a_key_that_is_not_accepted_stops_the_provider() {
        assert_eq!(fetch_with_body(401, "Invalid API key.").unwrap_err().kind, FailureKind::Unauthorized);
    }

    #[test]
    fn beyond_the_limit_it_waits_as_the_rate_headers_say() {
        let failure = fetch_with_answer(&FetchRequest::new(ISIN), "true", |it| {
            it.answer_header("ratelimit-limit", "25")
                .answer_header("ratelimit-remaining", "0")
                .answer_header("ratelimit-reset", "4")
                .answers(429, "Too many requests, please try again later.");
        });
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(4)));
    }

    #[test]
    fn what_is_no_answer_to_one_job_is_malformed() {
        for body in ["", "{}", "[]", "[{}]", r#"[{"data": []}]"#, r#"[{"data": [{}]}]"#, "[{},{}]", "<html>"] {
            assert_eq!(fetch_with_body(200, body).unwrap_err().kind, FailureKind::Malformed, "{body}");
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_rejected_without_a_request() {
        for id in
            ["", "US459200101", "US4592001015", "us4592001014", "4US592001014", "US459200101X", "US45920010\u{fc}4"]
        {
            assert_eq!(fetch_refused(&FetchRequest::new(id)).kind, FailureKind::Rejected, "{id}");
        }
        for (name, value) in
            [("strike", "100"), ("coupon", "[1]"), ("maturity", "[null, null]"), ("includeUnlistedEquities", "yes")]
        {
            assert_eq!(
                fetch_refused(&FetchRequest::new(ISIN).with_param(name, value)).kind,
                FailureKind::Rejected,
                "{name}"
            );
        }
        let both = FetchRequest::new(ISIN).with_param("exchCode", "US").with_param("micCode", "XNYS");
        assert!(fetch_refused(&both).message.contains("exclude"));
        assert_eq!(fetch_refused(&FetchRequest::new(" ").with_param("idType", "TICKER")).kind, FailureKind::Rejected);
    }

    #[test]
    fn real_isins_have_right_check_digits() {
        for isin in [ISIN, "US0378331005", "GB0002634946", "DE000BASF111", "IE00B4L5Y983", "AU0000XVGZA3"] {
            assert!(check_isin(isin).is_ok(), "{isin}");
        }
    }
}
