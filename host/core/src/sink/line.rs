//! One line of the sink: a record, with where it came from and when.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::day::Day;
use crate::item::Params;
use crate::record::Fetched;

/// The metadata of a record's line.
///
/// ```
/// # use damper_core::{record::Fetched, sink::{Line, LineComponent}};
/// let (day, fetched_at) = ("2026-11-22".parse()?, "2026-11-22T10:00:01Z".parse()?);
/// let component = LineComponent { name: "enquiry", version: "1.2.0", digest: "sha256:00" };
/// let (provider, id) = ("demo", "42");
/// let line = Line { provider, id, params: Default::default(), day, fetched_at, attempt: 1, component };
///
/// let (content_type, body) = ("application/json".to_owned(), r#"{"name": "a record"}"#.into());
/// let mut chunk = Vec::new();
/// line.write(&Fetched { content_type, body, attributes: vec![] }, &mut chunk);
/// assert_eq!(String::from_utf8(chunk)?, concat!(
///     r#"{"provider":"demo","id":"42","day":"2026-11-22","fetched_at":"2026-11-22T10:00:01Z","attempt":1,"#,
///     r#""component":"sha256:00","component_name":"enquiry","component_version":"1.2.0","#,
///     r#""content_type":"application/json","body":{"name": "a record"}}"#, "\n",
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The record's id.
    pub id: &'a str,
    /// The parameters that are part of the identity.
    pub params: BTreeMap<&'a str, &'a str>,
    /// The day it was claimed for.
    pub day: Day,
    /// When the fetch ended.
    pub fetched_at: Timestamp,
    /// Which attempt succeeded.
    pub attempt: u32,
    /// The component that fetched it.
    pub component: LineComponent<'a>,
}

/// The component that fetched a record.
#[derive(Debug, Clone, Copy)]
pub struct LineComponent<'a> {
    /// The component's name.
    pub name: &'a str,
    /// The component's version.
    pub version: &'a str,
    /// The component's digest, as `sha256:...`.
    pub digest: &'a str,
}

/// The fields of a line that recovery reads.
#[derive(Debug, Deserialize)]
pub struct LineKey {
    /// The record's id.
    pub id: String,
    /// The parameters that are part of the identity.
    #[serde(default)]
    pub params: Params,
}

#[derive(Serialize)]
struct WholeLine<'a> {
    provider: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: &'a BTreeMap<&'a str, &'a str>,
    day: Day,
    fetched_at: Timestamp,
    attempt: u32,
    component: &'a str,
    component_name: &'a str,
    component_version: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a str>,
    body: LineBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

/// A body as it stands in a line.
#[derive(Serialize)]
#[serde(untagged)]
enum LineBody<'a> {
    Json(Cow<'a, RawValue>),
    Text(&'a str),
    Base64(String),
}

impl Line<'_> {
    /// Append the line of this record, with its end of line, to `chunk`.
    pub fn write(&self, record: &Fetched, chunk: &mut Vec<u8>) {
        let body = LineBody::of(record);
        let line = WholeLine {
            provider: self.provider,
            id: self.id,
            params: &self.params,
            day: self.day,
            fetched_at: self.fetched_at,
            attempt: self.attempt,
            component: self.component.digest,
            component_name: self.component.name,
            component_version: self.component.version,
            content_type: &record.content_type,
            attributes: record.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            encoding: matches!(body, LineBody::Base64(_)).then_some("base64"),
            body,
        };
        // Strings, numbers and validated JSON always serialise into memory.
        if serde_json::to_writer(&mut *chunk, &line).is_ok() {
            chunk.push(b'\n');
        }
    }
}

impl<'a> LineBody<'a> {
    /// JSON as JSON, text as text, anything else in base64.
    fn of(record: &'a Fetched) -> Self {
        let Ok(text) = std::str::from_utf8(&record.body) else {
            return Self::Base64(STANDARD.encode(&record.body));
        };
        let media_type = record.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = media_type == "application/json" || media_type.ends_with("+json") || media_type == "text/json";
        if is_json && let Some(json) = one_line_json(text) {
            return Self::Json(json);
        }
        if is_json || is_text(&media_type) { Self::Text(text) } else { Self::Base64(STANDARD.encode(text)) }
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+xml")
        || matches!(media_type, "application/xml" | "application/javascript" | "application/x-www-form-urlencoded")
}

/// The text as JSON that holds no line break: as it is where it has none (numbers keep their digits, keys their order),
/// without the white space between its tokens where it has.
fn one_line_json(text: &str) -> Option<Cow<'_, RawValue>> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    if !value.get().contains(['\n', '\r']) {
        return Some(Cow::Borrowed(value));
    }
    let (mut compact, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for character in value.get().chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
    RawValue::from_string(compact).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn write_line(content_type: &str, body: &[u8]) -> String {
        let line = Line {
            provider: "demo",
            id: "a\"b\n",
            params: BTreeMap::from([("lang", "en")]),
            day: "2026-11-22".parse().unwrap(),
            fetched_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            attempt: 2,
            component: LineComponent { name: "enquiry", version: "1.2.0", digest: "sha256:00" },
        };
        let record = Fetched {
            content_type: content_type.into(),
            body: body.to_vec().into(),
            attributes: vec![("revision".into(), "7".into())],
        };
        let mut chunk = Vec::new();
        line.write(&record, &mut chunk);
        String::from_utf8(chunk).unwrap()
    }

    #[test]
    fn a_line_holds_everything_once() {
        insta::assert_snapshot!(write_line("application/json", b"{\"n\": 1.10}"), @r#"{"provider":"demo","id":"a\"b\n","params":{"lang":"en"},"day":"2026-11-22","fetched_at":"2026-11-22T10:00:00Z","attempt":2,"component":"sha256:00","component_name":"enquiry","component_version":"1.2.0","content_type":"application/json","attributes":{"revision":"7"},"body":{"n": 1.10}}"#);
    }

    #[test]
    fn json_stays_json_and_text_text_and_the_rest_is_base64() {
        let body = |content_type: &str, body: &[u8]| {
            let line: Value = serde_json::from_str(&write_line(content_type, body)).unwrap();
            (line["body"].clone(), line["encoding"].clone())
        };
        assert_eq!(
            body("application/vnd.api+json; charset=utf-8", b"[1,\n2]"),
            (serde_json::json!([1, 2]), Value::Null)
        );
        assert_eq!(body("application/json", b"{oops"), (Value::from("{oops"), Value::Null));
        assert_eq!(body("text/csv", b"a\nb"), (Value::from("a\nb"), Value::Null));
        assert_eq!(body("text/plain", b"\xff"), (Value::from("/w=="), Value::from("base64")));
        assert_eq!(body("application/pdf", b"x"), (Value::from("eA=="), Value::from("base64")));
    }

    proptest! {
        #[test]
        fn any_record_is_exactly_one_readable_line(content_type in ".{0,20}", body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let line = write_line(&content_type, &body);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let key: LineKey = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(key.id, "a\"b\n");
        }

        #[test]
        fn pretty_json_keeps_its_meaning_on_one_line(text in "[ \\n\"\\\\a]{0,30}") {
            let value = serde_json::json!({"k": [text, 1.5, null], "z": {"a": text.len()}});
            let line = write_line("application/json", serde_json::to_string_pretty(&value).unwrap().as_bytes());
            prop_assert_eq!(line.matches('\n').count(), 1);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["body"], &value);
        }
    }
}
