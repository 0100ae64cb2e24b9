//! GLEIF's LEI records: `GET https://api.gleif.org/api/v1/lei-records/{lei}`, a JSON:API document.
//!
//! The API is free and takes no key; its documentation stands at <https://www.gleif.org/en/lei-data/gleif-api>. An id
//! is an LEI (ISO 17442): 18 letters and digits, and two check digits (ISO 7064, MOD 97-10). One that
//! cannot be an LEI is rejected without a request.

use damper_sdk::prelude::*;

const MEDIA_TYPE: &str = "application/vnd.api+json";

/// Fetches the record of one LEI, as the API gives it, with its registration's state and dates as attributes.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    check_lei(&request.id)?;
    let answer = http::get(config::required("base_url")?)
        .join("lei-records/{lei}")
        .path("lei", &request.id)
        .header("Accept", MEDIA_TYPE)
        .send()?
        .ok()?;
    let document: Value = answer.json()?;
    if document.str_at("/data/id")? != request.id {
        return Err(Failure::malformed("the API answered with another LEI's record"));
    }
    let mut record = Record::json(answer)?;
    for (name, pointer) in [
        ("registration_status", "/data/attributes/registration/status"),
        ("last_update", "/data/attributes/registration/lastUpdateDate"),
        ("golden_copy", "/meta/goldenCopy/publishDate"),
    ] {
        // Not every record has each of them; the record is whole without.
        if let Ok(value) = document.str_at(pointer) {
            record = record.with_attribute(name, value);
        }
    }
    Ok(record)
}

/// ISO 17442: 20 characters, of which the last two are check digits.
fn check_lei(id: &str) -> Result<(), Failure> {
    let bytes = id.as_bytes();
    let (head, check_digits) = bytes.split_at_checked(18).unwrap_or_default();
    let shaped = check_digits.len() == 2
        && check_digits.iter().all(u8::is_ascii_digit)
        && head.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if !shaped {
        return Err(Failure::rejected("not an LEI: it has 18 digits and capital letters and two check digits"));
    }
    if mod_97(bytes) != 1 {
        return Err(Failure::rejected("not an LEI: its check digits are wrong"));
    }
    Ok(())
}

/// ISO 7064 MOD 97-10: the number that results when A to Z are read as 10 to 35, modulo 97.
fn mod_97(characters: &[u8]) -> u32 {
    characters.iter().fold(0, |sum, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        let shift = if value < 10 { 10 } else { 100 };
        (sum * shift + value) % 97
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;
    use std::time::Duration;

    const LEI: &str = "506700GE1G29325QX363";
    const URL: &str = "https://api.gleif.org/api/v1/lei-records/506700GE1G29325QX363";
    const RECORD: &str = include_str!("../cases/fixtures/lei-record.json");
    const NOT_FOUND: &str = include_str!("../cases/fixtures/not-found.json");

    fn fetch_with_body(status: u16, body: &str) -> Result<Record, Failure> {
        let mut api = Api::new();
        api.config("base_url", "https://api.gleif.org/api/v1");
        api.get(URL)
            .header("Accept", MEDIA_TYPE)
            .answer_header("Content-Type", MEDIA_TYPE)
            .answer_header("Retry-After", "30")
            .answers(status, body);
        api.run(|| fetch(&FetchRequest::new(LEI)))
    }

    #[test]
    fn gives_the_record_as_the_api_has_it_with_its_dates() {
        let record = fetch_with_body(200, RECORD).unwrap();
        assert_eq!(record.body(), RECORD.as_bytes());
        assert_eq!(record.content_type(), MEDIA_TYPE);
        assert_eq!(record.attribute("registration_status"), Some("ISSUED"));
        assert_eq!(record.attribute("last_update"), Some("2025-06-24T12:00:19Z"));
        assert_eq!(record.attribute("golden_copy"), Some("2025-11-03T08:00:00Z"));
    }

    #[test]
    fn an_unknown_lei_is_not_found() {
        let failure = fetch_with_body(404, NOT_FOUND).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotFound);
        assert_eq!(failure.status, Some(404));
    }

    #[test]
    fn beyond_sixty_a_minute_it_is_throttled() {
        let failure = fetch_with_body(429, "").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(30)));
    }

    #[test]
    fn another_lei_s_record_or_none_is_malformed() {
        let other = RECORD.replace(LEI, "5493001KJTIIGC8Y1R12");
        for body in [other.as_str(), r#"{"data": []}"#, "<html>maintenance</html>"] {
            assert_eq!(fetch_with_body(200, body).unwrap_err().kind, FailureKind::Malformed);
        }
    }

    #[test]
    fn what_cannot_be_an_lei_is_rejected_without_a_request() {
        for id in [
            "",
            "506700GE1G29325QX36",
            "506700GE1G29325QX3633",
            "506700GE1G29325QX364",
            "506700ge1g29325qx363",
            "506700GE1G29325QX3A3",
            "../../../../etc/host",
            "506700GE1G29325Q\u{fc}63",
            "506700GE1G29325QX\u{fc}\u{fc}",
        ] {
            let failure = Api::new().run(|| fetch(&FetchRequest::new(id))).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Rejected, "{id}");
        }
    }

    #[test]
    fn real_leis_have_right_check_digits() {
        for lei in [LEI, "5493001KJTIIGC8Y1R12", "254900OPPU84GM83MG36"] {
            assert!(check_lei(lei).is_ok(), "{lei}");
        }
    }
}
