//! The FCA's Financial Services Register: `GET https://register.fca.org.uk/services/V0.1/Firm/{FRN}`.
//!
//! The API's reference stands in the developer portal (<https://register.fca.org.uk/Developer/s/>: "Firm Details API"),
//! behind a login; a copy of it is in <https://github.com/CyborgFinance/FCARegisterLaravel> (`fca-api-docs`). Its real
//! answers were recorded by <https://github.com/craigpotter/fca-php-sdk> (`tests/Fixtures`) and
//! <https://github.com/release-art/fca-api> (its table of status codes), both from the API itself.
//!
//! An id is a firm reference number (FRN): six or seven digits. The API answers HTTP 200 whatever it has to say: a firm
//! is there, is unknown, or the credentials are not accepted, and its `Status` tells which. Reference and recordings
//! disagree on two of these codes (`-11` and `-21`: unknown firm, or bad request), so the message beside them decides.
//!
//! A record is one firm's details. `Name`, `Address`, `Permission` and the like are in it as links to further
//! resources, which are left as they are: each would be a request of its own.

use damper_sdk::prelude::*;
use damper_sdk::text;
use serde::Deserialize;

/// Fetches the details of one firm, as the API gives them, with the firm's status and its date as attributes.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    check_frn(&request.id)?;
    let answer = http::get("https://register.fca.org.uk/services/V0.1/Firm/{frn}")
        .path("frn", &request.id)
        .header("Accept", "application/json")
        .credential("email")
        .credential("key")
        .send()?
        .ok()?;
    let head: Head = answer.json()?;
    let firm = head.firm().map_err(|failure| failure.with_status(answer.status()))?;
    if firm.frn != request.id {
        return Err(Failure::malformed("the API answered with another firm's details"));
    }
    let mut record = Record::json(answer)?;
    for (name, value) in [("status", &firm.status), ("status_effective_date", &firm.status_effective_date)] {
        // The register writes "" where it has nothing to say.
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            record = record.with_attribute(name, value);
        }
    }
    Ok(record)
}

/// The fields of an answer that are checked. The rest is passed on unread.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "Message", default)]
    message: Option<String>,
    #[serde(rename = "Data", default)]
    data: Option<Vec<Firm>>,
}

#[derive(Deserialize)]
struct Firm {
    #[serde(rename = "FRN")]
    frn: String,
    #[serde(rename = "Status")]
    status: Option<String>,
    #[serde(rename = "Status Effective Date")]
    status_effective_date: Option<String>,
}

impl Head {
    /// The firm, or what the status says instead.
    fn firm(&self) -> Result<&Firm, Failure> {
        let message = self.message.as_deref().unwrap_or_default();
        let said = format!("the register answered {}: {}", text::short(&self.status), text::short(message));
        match self.status.as_str() {
            "FSR-API-02-01-00" => {
                let first = self.data.as_deref().unwrap_or_default().first();
                first.ok_or_else(|| Failure::malformed("the register found the firm, but its answer has none"))
            }
            // Those of the login: not accepted, and not known.
            "FSR-API-01-01-11" | "FSR-API-01-01-21" => Err(Failure::unauthorized(said)),
            code @ ("FSR-API-02-01-11" | "FSR-API-02-01-21") => {
                let message = message.to_ascii_lowercase();
                let refused = message.contains("bad request") || message.contains("invalid");
                // Without a message, as the API uses the codes today.
                let unknown = message.contains("not found") || (!refused && code.ends_with("-11"));
                Err(if unknown { Failure::not_found(said) } else { Failure::rejected(said) })
            }
            _ => Err(Failure::malformed(said)),
        }
    }
}

/// A firm reference number: six digits, seven for the latest.
fn check_frn(id: &str) -> Result<(), Failure> {
    if (6..=7).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(Failure::rejected("not a firm reference number: it has six or seven digits, as in 122702"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::{Api, Expectation};
    use std::time::Duration;

    const FRN: &str = "439536";
    const URL: &str = "https://register.fca.org.uk/services/V0.1/Firm/439536";
    const FIRM: &str = include_str!("../cases/fixtures/firm.json");
    const NOT_FOUND: &str = include_str!("../cases/fixtures/firm-not-found.json");
    const MISSING_HEADERS: &str = include_str!("../cases/fixtures/missing-headers.txt");

    fn fetch_with_answer(answer: impl FnOnce(Expectation<'_>)) -> Result<Record, Failure> {
        let mut api = Api::new();
        answer(api.get(URL).credential("email").credential("key").header("Accept", "application/json"));
        api.run(|| fetch(&FetchRequest::new(FRN)))
    }

    fn fetch_with_body(status: u16, body: &str) -> Result<Record, Failure> {
        fetch_with_answer(|it| it.answer_header("Content-Type", "application/json;charset=UTF-8").answers(status, body))
    }

    /// The kind that a status of the API's own stands for.
    fn kind(status: &str, message: Value) -> FailureKind {
        let body = json::json!({"Status": status, "ResultInfo": null, "Message": message, "Data": null}).to_string();
        let failure = fetch_with_body(200, &body).unwrap_err();
        assert!(failure.message.contains(status), "{failure}");
        failure.kind
    }

    #[test]
    fn gives_the_firm_as_the_api_has_it_with_its_status() {
        let record = fetch_with_body(200, FIRM).unwrap();
        assert_eq!(record.body(), FIRM.as_bytes());
        assert_eq!(record.content_type(), "application/json;charset=UTF-8");
        assert_eq!(record.attribute("status"), Some("Appointed representative"));
        assert_eq!(record.attribute("status_effective_date"), Some("19/09/2005"));
    }

    #[test]
    fn a_firm_that_the_register_does_not_know_is_not_found() {
        let failure = fetch_with_body(200, NOT_FOUND).unwrap_err();
        assert_eq!((failure.kind, failure.status), (FailureKind::NotFound, Some(200)));
    }

    #[test]
    fn where_codes_are_ambiguous_the_message_decides() {
        assert_eq!(kind("FSR-API-02-01-21", "ERROR : Account Not Found".into()), FailureKind::NotFound);
        assert_eq!(kind("FSR-API-02-01-11", "Bad Request : Invalid Input".into()), FailureKind::Rejected);
        assert_eq!(kind("FSR-API-02-01-11", Value::Null), FailureKind::NotFound);
        assert_eq!(kind("FSR-API-02-01-21", Value::Null), FailureKind::Rejected);
    }

    #[test]
    fn credentials_that_are_not_accepted_stop_the_provider() {
        let message = "Unauthorised: Please include a valid API key and Email address";
        assert_eq!(kind("FSR-API-01-01-11", message.into()), FailureKind::Unauthorized);
        assert_eq!(kind("FSR-API-01-01-21", Value::Null), FailureKind::Unauthorized);
        assert_eq!(fetch_with_body(403, MISSING_HEADERS).unwrap_err().kind, FailureKind::Unauthorized);
    }

    #[test]
    fn beyond_50_in_ten_seconds_it_is_throttled() {
        let failure = fetch_with_answer(|it| it.answer_header("Retry-After", "10").answers(429, "")).unwrap_err();
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::Throttled, Some(Duration::from_secs(10))));
    }

    #[test]
    fn a_status_of_which_nothing_is_known_is_malformed() {
        assert_eq!(kind("FSR-API-02-04-00", "Ok. Firm Names Found".into()), FailureKind::Malformed);
        assert_eq!(kind("", "".into()), FailureKind::Malformed);
    }

    #[test]
    fn another_firm_or_none_is_malformed() {
        let other = FIRM.replace("\"FRN\": \"439536\"", "\"FRN\": \"439537\"");
        assert_ne!(other, FIRM);
        let none = r#"{"Status": "FSR-API-02-01-00", "Message": "Ok. Firm Found", "Data": null}"#;
        for body in [other.as_str(), none, "{}", "", MISSING_HEADERS, "<html>"] {
            assert_eq!(fetch_with_body(200, body).unwrap_err().kind, FailureKind::Malformed, "{body}");
        }
    }

    #[test]
    fn a_message_holds_little_of_what_the_api_says() {
        let body = json::json!({"Status": "s".repeat(1000), "Message": "\u{1b}m".repeat(1000)}).to_string();
        let failure = fetch_with_body(200, &body).unwrap_err();
        assert!(failure.message.chars().count() < 400 && !failure.message.contains('\u{1b}'), "{failure}");
    }

    #[test]
    fn what_cannot_be_an_frn_is_rejected_without_a_request() {
        for id in ["", "12345", "12345678", "12270a", "../../x", "122702/", "12270\n", "\u{fc}\u{fc}\u{fc}", " 122702"]
        {
            let failure = Api::new().run(|| fetch(&FetchRequest::new(id))).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Rejected, "{id}");
        }
    }
}
