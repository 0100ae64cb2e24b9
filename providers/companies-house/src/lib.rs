//! UK Companies House's company profiles: `GET https://api.company-information.service.gov.uk/company/{company_number}`.
//!
//! From the Companies House developer hub: the company profile in the public data API's reference
//! (<https://developer-specs.company-information.service.gov.uk/companies-house-public-data-api/reference/company-profile>),
//! its guides to authentication and rate limiting (`/guides/authentication`, `/guides/rateLimiting` there), and, for
//! what these leave out, its forum: the body of a 401 (<https://forum.aws.chdev.org/t/3599>) and the headers
//! `X-Ratelimit-Reset` and its kin (<https://forum.aws.chdev.org/t/2880>), which tell when the five minutes are over.
//!
//! An id is a company number: eight digits, or a prefix of one or two letters (SC, NI, OC, R...) and digits to make
//! eight characters of it. `445790` and `sc 1234` are read as `00445790` and `SC001234`, as people write them.

use damper_sdk::prelude::*;
use serde::Deserialize;

/// How long a company number is.
const NUMBER_LENGTH: usize = 8;

/// Fetches the profile of one company, as the API gives it, with its status and its revision as attributes.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let number = company_number(&request.id)?;
    let answer = http::get("https://api.company-information.service.gov.uk/company/{number}")
        .path("number", &number)
        .header("Accept", "application/json")
        .credential("key")
        .send()?
        .ok()?;
    let head: Head = answer.json()?;
    if head.company_number != number {
        return Err(Failure::malformed("the API answered with another company's profile"));
    }
    let mut record = Record::json(answer)?;
    for (name, value) in [("company_status", head.company_status), ("etag", head.etag)] {
        // Not every company has a status, an overseas entity for one; the profile is whole without.
        if let Some(value) = value {
            record = record.with_attribute(name, value);
        }
    }
    Ok(record)
}

/// The fields of a profile that are checked. The rest is passed on unread.
#[derive(Deserialize)]
struct Head {
    company_number: String,
    company_status: Option<String>,
    etag: Option<String>,
}

/// A company number in the register's own form: capitals, and zeros between prefix and digits. An id of eight
/// characters is left as it is, since some numbers end in letters too (`IP00001R`).
fn company_number(id: &str) -> Result<String, Failure> {
    let number: String = id.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    let prefix = number.chars().take_while(char::is_ascii_uppercase).count();
    let (prefix, digits) = number.split_at_checked(prefix).unwrap_or_default();
    let short = prefix.len() <= 2 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let whole = prefix.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    match NUMBER_LENGTH.checked_sub(number.len()) {
        Some(0) if whole => Ok(number),
        Some(missing) if short => Ok(format!("{prefix}{}{digits}", "0".repeat(missing))),
        _ => Err(Failure::rejected(
            "not a company number: it has eight digits, or one or two letters and digits, as in 00445790 or SC123456",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::{Api, Expectation};
    use std::time::Duration;

    const URL: &str = "https://api.company-information.service.gov.uk/company/00445790";
    const PROFILE: &str = include_str!("../cases/fixtures/company-profile.json");
    const NOT_FOUND: &str = include_str!("../cases/fixtures/not-found.json");
    const INVALID_AUTHORIZATION: &str = include_str!("../cases/fixtures/invalid-authorization.json");

    fn fetch_with_answer(answer: impl FnOnce(Expectation<'_>)) -> Result<Record, Failure> {
        let mut api = Api::new();
        answer(api.get(URL).credential("key").header("Accept", "application/json"));
        api.run(|| fetch(&FetchRequest::new("00445790")))
    }

    #[test]
    fn gives_the_profile_as_the_api_has_it_with_status_and_revision() {
        let record =
            fetch_with_answer(|it| it.answer_header("Content-Type", "application/json").answers(200, PROFILE)).unwrap();
        assert_eq!(record.body(), PROFILE.as_bytes());
        assert_eq!(record.content_type(), "application/json");
        assert_eq!(record.attribute("company_status"), Some("active"));
        assert_eq!(record.attribute("etag"), Some("80217136743211b43fe97348238217cf2539d2c9"));
    }

    #[test]
    fn a_profile_without_a_status_is_whole() {
        let record = fetch_with_answer(|it| it.answers(200, r#"{"company_number": "00445790"}"#)).unwrap();
        assert!(record.attributes().is_empty());
    }

    #[test]
    fn an_unknown_number_is_not_found() {
        let failure = fetch_with_answer(|it| it.answers(404, NOT_FOUND)).unwrap_err();
        assert_eq!((failure.kind, failure.status), (FailureKind::NotFound, Some(404)));
    }

    #[test]
    fn a_key_that_is_not_accepted_stops_the_provider() {
        let failure = fetch_with_answer(|it| it.answers(401, INVALID_AUTHORIZATION)).unwrap_err();
        assert_eq!((failure.kind, failure.status), (FailureKind::Unauthorized, Some(401)));
    }

    #[test]
    fn beyond_600_in_five_minutes_it_waits_for_their_end() {
        let failure = fetch_with_answer(|it| {
            it.answer_header("Date", "Wed, 19 Feb 2020 23:36:41 GMT")
                .answer_header("X-Ratelimit-Limit", "600")
                .answer_header("X-Ratelimit-Remain", "0")
                .answer_header("X-Ratelimit-Reset", "1582155701")
                .answer_header("X-Ratelimit-Window", "5m")
                .answers(429, "");
        });
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(300)));
    }

    #[test]
    fn another_company_s_profile_or_none_is_malformed() {
        let other = PROFILE.replace("00445790", "00445791");
        for body in [other.as_str(), "{}", "[]", "", "<html>maintenance</html>"] {
            assert_eq!(
                fetch_with_answer(|it| it.answers(200, body)).unwrap_err().kind,
                FailureKind::Malformed,
                "{body}"
            );
        }
    }

    #[test]
    fn a_number_is_read_as_people_write_it() {
        for (id, number) in [
            ("00445790", "00445790"),
            ("445790", "00445790"),
            ("6", "00000006"),
            ("12674479", "12674479"),
            ("SC123456", "SC123456"),
            ("sc123", "SC000123"),
            ("NI 12345", "NI012345"),
            ("oc301234", "OC301234"),
            ("R123", "R0000123"),
            ("OE012345", "OE012345"),
            ("IP00001R", "IP00001R"),
            ("rs007cus", "RS007CUS"),
        ] {
            assert_eq!(company_number(id).unwrap(), number, "{id}");
        }
    }

    #[test]
    fn what_cannot_be_a_number_is_rejected_without_a_request() {
        for id in [
            "",
            "SC",
            "TESCO",
            "TESCOPLC",
            "123456789",
            "SC1234567",
            "ABC12345",
            "12-34567",
            "../../ab",
            "1234567\n",
            "IP1R",
            "1234567\u{fc}",
            "\u{fc}1234567",
            "%2e%2e12",
            "'1234567",
        ] {
            let failure = Api::new().run(|| fetch(&FetchRequest::new(id))).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Rejected, "{id}");
        }
    }
}
