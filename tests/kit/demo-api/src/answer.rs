//! The response to an id that throttling, outage and random faults have let pass. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::chance::{hash, mix};
use crate::settings::Settings;

/// The kind of response that an id requests, by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// `unknown...`: 404.
    Unknown,
    /// `poison...`: always 500.
    Poison,
    /// `forbidden...`: 403.
    Forbidden,
    /// `broken...`: 200 with a body that is no JSON.
    Broken,
    /// `big...`: 200 with a JSON body of [`Settings::big_bytes`].
    Big,
    /// `redirect...`: 302 to [`Settings::redirect_to`].
    Redirect,
    /// Any other id: 200 with its record.
    Plain,
}

impl IdKind {
    /// The kind of an id, already percent-decoded.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let kinds = [
            ("unknown", Self::Unknown),
            ("poison", Self::Poison),
            ("forbidden", Self::Forbidden),
            ("broken", Self::Broken),
            ("big", Self::Big),
            ("redirect", Self::Redirect),
        ];
        let found = kinds.into_iter().find(|(prefix, _)| id.starts_with(prefix));
        found.map_or(Self::Plain, |(_, kind)| kind)
    }
}

/// One answer: status, body and the headers that are not the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body is `before`, then `filling` letters, then `after`: a big body needs no memory.
    pub(crate) before: Bytes,
    pub(crate) filling: u64,
    pub(crate) after: Bytes,
    /// Header Location.
    pub(crate) location: Option<String>,
    /// Header Retry-After.
    pub(crate) retry_after: Option<String>,
    /// A whole record, as opposed to an error or to half a record.
    pub(crate) is_record: bool,
}

impl Answer {
    /// An error with a JSON body that says why.
    pub(crate) fn error(status: u16, why: &str) -> Self {
        let body = serde_json::json!({ "error": why }).to_string();
        Self { status, before: body.into(), ..Self::default() }
    }

    fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, before: body.into(), ..Self::default() }
    }
}

/// The answer to `id`; chance may have cut it in half (`malformed`).
pub(crate) fn answer(settings: &Settings, id: &str, malformed: bool) -> Answer {
    if settings.moved {
        return Answer::error(404, "no record lies here any more");
    }
    match IdKind::of(id) {
        IdKind::Unknown => Answer::error(404, "no such record"),
        IdKind::Poison => Answer::error(500, "this record always fails"),
        IdKind::Forbidden => Answer::error(403, "this record is not for you"),
        IdKind::Broken => Answer::ok("<html>this is no JSON</html>"),
        IdKind::Redirect => {
            Answer { location: Some(settings.redirect_to.clone()), ..Answer::error(302, "the record lies elsewhere") }
        }
        IdKind::Big if !malformed => big(settings.big_bytes, id),
        IdKind::Big | IdKind::Plain => {
            let mut body = record(id);
            if malformed {
                body.truncate(body.len() / 2);
            }
            Answer { is_record: !malformed, ..Answer::ok(body) }
        }
    }
}

/// A record, made from its id and nothing else.
#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    name: String,
    balance: f64,
    revision: u64,
}

const FIRST: [&str; 8] = ["Ada", "Björn", "Chidi", "Dilnoza", "Eun-ji", "Farid", "Grete", "Hana"];
const LAST: [&str; 8] = ["Almeida", "Bąk", "Cohen", "Đặng", "Eriksen", "Fischer", "Georgiou", "Hashimoto"];

fn record(id: &str) -> Vec<u8> {
    let bits = mix(hash(id));
    let pick = |names: &[&'static str; 8], bits: u64| {
        usize::try_from(bits % 8).ok().and_then(|index| names.get(index)).copied().unwrap_or("")
    };
    let cents = u32::try_from((bits >> 8) % 100_000_000).unwrap_or(0);
    let record = Record {
        id,
        name: format!("{} {}", pick(&FIRST, bits), pick(&LAST, bits >> 3)),
        balance: f64::from(cents) / 100.0,
        revision: 1 + (bits >> 40) % 50,
    };
    // A struct of strings and numbers cannot fail to become JSON.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// A JSON object of exactly `bytes` bytes (only letters where that is too few for one).
fn big(bytes: u64, id: &str) -> Answer {
    let id = serde_json::Value::from(id);
    let before = format!(r#"{{"id":{id},"filling":""#);
    let after = r#""}"#;
    let frame = before.len().saturating_add(after.len());
    let (before, filling, after) = match bytes.checked_sub(frame as u64) {
        Some(filling) => (Bytes::from(before), filling, Bytes::from_static(after.as_bytes())),
        None => (Bytes::new(), bytes, Bytes::new()),
    };
    Answer { status: 200, before, filling, after, is_record: true, ..Answer::default() }
}

/// The id in a path behind `/records/`, percent-decoded; the error says what is wrong with it.
pub(crate) fn decode_id(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if raw.is_empty() {
        return Err("the id is missing: GET /records/{id}");
    }
    if raw.contains('/') {
        return Err("a slash in an id must be percent-encoded as %2F");
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| "the id is not UTF-8 once percent-decoded")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn plain(id: &str) -> Answer {
        answer(&Settings::default(), id, false)
    }

    #[test]
    fn ids_are_answered_by_how_they_begin() {
        for (id, status) in [
            ("unknown-7", 404),
            ("poison", 500),
            ("forbidden/1", 403),
            ("broken-1", 200),
            ("redirect-1", 302),
            ("not-unknown", 200),
        ] {
            assert_eq!(plain(id).status, status, "{id}");
        }
        assert!(serde_json::from_slice::<Value>(&plain("broken").before).is_err());
        assert_eq!(plain("redirect").location.as_deref(), Some("/records/landed"));
    }

    #[test]
    fn a_record_depends_on_its_id_alone() {
        assert_eq!(plain("42"), plain("42"));
        assert_ne!(plain("42"), plain("43"));
        let record: Value = serde_json::from_slice(&plain("a\"b\n東京").before).unwrap();
        assert_eq!(record["id"], "a\"b\n東京");
        assert!(record["name"].is_string());
        assert!(record["balance"].is_f64());
        assert!(record["revision"].is_u64());
    }

    #[test]
    fn malformed_is_200_with_half_a_json_and_no_record() {
        let half = answer(&Settings::default(), "42", true);
        assert_eq!((half.status, half.is_record), (200, false));
        assert!(serde_json::from_slice::<Value>(&half.before).is_err());
    }

    #[test]
    fn a_big_body_has_the_size_asked_for() {
        for bytes in [0, 5, 40, 1_000] {
            let big = answer(&Settings { big_bytes: bytes, ..Settings::default() }, "big", false);
            assert_eq!(big.before.len() as u64 + big.filling + big.after.len() as u64, bytes);
        }
    }

    #[test]
    fn moved_hides_every_record() {
        let settings = Settings { moved: true, ..Settings::default() };
        assert!(["42", "big", "poison"].iter().all(|id| answer(&settings, id, false).status == 404));
    }

    #[test]
    fn ids_are_percent_decoded_and_raw_slashes_refused() {
        assert_eq!(decode_id("a%2Fb%20c+d").unwrap(), "a/b c+d");
        assert_eq!(decode_id("%E6%9D%B1").unwrap(), "東");
        assert_eq!(decode_id("100%").unwrap(), "100%");
        assert!(decode_id("a/b").unwrap_err().contains("%2F"));
        assert!(decode_id("%FF").unwrap_err().contains("UTF-8"));
        assert!(decode_id("").is_err());
    }
}
