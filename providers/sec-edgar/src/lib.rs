//! The SEC's EDGAR submissions: `GET https://data.sec.gov/submissions/CIK##########.json`.
//!
//! The API is free and takes no key (<https://www.sec.gov/search-filings/edgar-application-programming-interfaces>);
//! fair access (<https://www.sec.gov/os/accessing-edgar-data>) wants at most ten requests a second and a User-Agent that
//! says who is asking, which the operator sets as `user_agent`. An id is a CIK: `320193`, `0000320193` or
//! `CIK0000320193`. A record holds the filer and its latest filings, at least a year or a thousand of them; where there
//! are more, `/filings/files` names the documents that hold the older ones.

use std::time::Duration;

use damper_sdk::prelude::*;
use serde::Deserialize;

/// For how long the SEC shuts out an address that asked too often.
const SHUT_OUT: Duration = Duration::from_secs(600);

/// Fetches the submissions of one filer, as the API gives them.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let cik = parse_cik(&request.id)?;
    let answer = http::get("https://data.sec.gov/submissions/CIK{cik}.json")
        .path("cik", format!("{cik:010}"))
        .header("User-Agent", user_agent()?)
        .header("Accept", "application/json")
        .send()?;
    let answer = check_not_shut_out(answer)?.ok()?;
    let head: Head = answer.json()?;
    if parse_cik(&head.cik).ok() != Some(cik) {
        return Err(Failure::malformed("the API answered with another filer's submissions"));
    }
    let record = Record::json(answer)?;
    Ok(match head.filings.recent.accession_number.first() {
        Some(latest) => record.with_attribute("latest_filing", latest),
        None => record,
    })
}

/// The fields of an answer that are checked. The rest, often a megabyte of it, is passed on unread.
#[derive(Deserialize)]
struct Head {
    cik: String,
    filings: Filings,
}

#[derive(Deserialize)]
struct Filings {
    recent: Recent,
}

/// Filings as columns, the latest first.
#[derive(Deserialize)]
struct Recent {
    #[serde(rename = "accessionNumber")]
    accession_number: Vec<String>,
}

/// A Central Index Key: up to ten digits, with or without `CIK` and zeros before it.
fn parse_cik(id: &str) -> Result<u64, Failure> {
    let digits = match id.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CIK") => id.get(3..).unwrap_or_default(),
        _ => id,
    };
    if !(1..=10).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::rejected("not a CIK: it has up to ten digits, as in 320193 or CIK0000320193"));
    }
    match digits.parse() {
        Ok(cik) if cik > 0 => Ok(cik),
        _ => Err(Failure::rejected("not a CIK: it is zero")),
    }
}

/// The operator's contact, for the header User-Agent. Without it the SEC shuts the caller out, so nothing is sent.
fn user_agent() -> Result<String, Failure> {
    let user_agent = config::required("user_agent")?;
    if !user_agent.contains('@') {
        return Err(Failure::other(
            "config",
            "`user_agent` has no address to write to; the SEC wants one, as in \"Example Corp admin@example.com\"",
        ));
    }
    Ok(user_agent)
}

/// Too many requests get a 403 with a page that says so: a rate limit, not a problem with credentials.
fn check_not_shut_out(answer: http::Response) -> Result<http::Response, Failure> {
    let page = String::from_utf8_lossy(answer.bytes());
    if answer.status() == 403 && page.contains("Request Rate Threshold Exceeded") {
        let wait = answer.retry_after().unwrap_or(SHUT_OUT);
        return Err(Failure::throttled("the SEC answered 403: request rate threshold exceeded")
            .with_status(403)
            .with_retry_after(wait));
    }
    drop(page);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    const URL: &str = "https://data.sec.gov/submissions/CIK0000320193.json";
    const AGENT: &str = "Example Corp admin@example.com";
    const SUBMISSIONS: &str = include_str!("../cases/fixtures/submissions.json");
    const NO_SUCH_KEY: &str = include_str!("../cases/fixtures/no-such-key.xml");
    const RATE_THRESHOLD: &str = include_str!("../cases/fixtures/rate-threshold.html");

    fn fetch_with_body(id: &str, status: u16, body: &str) -> Result<Record, Failure> {
        let mut api = Api::new();
        api.config("user_agent", AGENT);
        api.get(URL)
            .header("User-Agent", AGENT)
            .answer_header("Content-Type", "application/json")
            .answers(status, body);
        api.run(|| fetch(&FetchRequest::new(id)))
    }

    fn fetch_without_request(id: &str, user_agent: &str) -> Failure {
        let mut api = Api::new();
        api.config("user_agent", user_agent);
        api.run(|| fetch(&FetchRequest::new(id))).unwrap_err()
    }

    #[test]
    fn each_way_to_write_a_cik_gives_the_filer() {
        for id in ["320193", "0000320193", "CIK0000320193", "cik320193"] {
            let record = fetch_with_body(id, 200, SUBMISSIONS).unwrap();
            assert_eq!(record.body(), SUBMISSIONS.as_bytes());
            assert_eq!(record.attribute("latest_filing"), Some("0000320193-25-000079"));
        }
    }

    #[test]
    fn what_cannot_be_a_cik_is_rejected_without_a_request() {
        for id in ["", "CIK", "0", "AAPL", "12345678901", "-1", "3 2", "320193/..", "\u{fc}\u{fc}1", "C\u{fc}K1"] {
            assert_eq!(fetch_without_request(id, AGENT).kind, FailureKind::Rejected, "{id}");
        }
    }

    #[test]
    fn without_a_user_agent_nothing_is_sent_and_the_message_says_what_to_set() {
        for user_agent in ["", "Example Corp"] {
            let failure = fetch_without_request("320193", user_agent);
            assert_eq!(failure.kind, FailureKind::Other("config".to_owned()));
            assert!(failure.message.contains("user_agent"), "{failure}");
        }
    }

    #[test]
    fn an_unknown_filer_is_not_found() {
        let failure = fetch_with_body("320193", 404, NO_SUCH_KEY).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotFound);
    }

    #[test]
    fn too_many_requests_are_a_matter_of_pace() {
        let failure = fetch_with_body("320193", 403, RATE_THRESHOLD).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Throttled);
        assert_eq!(failure.retry_after, Some(SHUT_OUT));
        let failure = fetch_with_body("320193", 403, "").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized);
    }

    #[test]
    fn another_filer_s_submissions_or_none_are_malformed() {
        let other = SUBMISSIONS.replace("0000320193", "0000789019");
        for body in [other.as_str(), "{}", "<html>"] {
            assert_eq!(fetch_with_body("320193", 200, body).unwrap_err().kind, FailureKind::Malformed);
        }
    }
}
