//! A record, as the API gave it.

use serde::Serialize;
use serde::de::IgnoredAny;

use crate::Failure;
use crate::failure::json_reason;
use crate::http::Response;

const JSON: &str = "application/json";

/// A record, as the API gave it: a body with its media type, and small facts beside it.
///
/// Damper stores JSON as JSON, other text as text and anything else in base64, by the content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    content_type: String,
    body: Vec<u8>,
    attributes: Vec<(String, String)>,
}

impl Record {
    /// A record of any media type.
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Record { content_type: content_type.into(), body: body.into(), attributes: Vec::new() }
    }

    /// A JSON answer as it came, byte for byte, once it is sure that it is JSON.
    ///
    /// # Errors
    ///
    /// `malformed` where it is not: an error page sent with a 200, a body cut short.
    ///
    /// ```no_run
    /// # use damper_sdk::prelude::*;
    /// # fn f() -> Result<Record, Failure> {
    /// Record::json(http::get("https://api.example.org/thing").send()?.ok()?)
    /// # }
    /// ```
    pub fn json(answer: Response) -> Result<Self, Failure> {
        // As text first: a parser that keeps nothing does not look whether strings are UTF-8.
        answer.check_utf8()?;
        answer.json::<IgnoredAny>()?;
        let content_type = match answer.header("content-type") {
            Some(given) if is_json(given) => given.to_owned(),
            _ => JSON.to_owned(),
        };
        Ok(Record::new(content_type, answer.into_bytes()))
    }

    /// A value of one's own, as JSON: for a record put together from several answers, or a part of one.
    ///
    /// # Errors
    ///
    /// `malformed` where the value has no form in JSON (a map whose keys are not text).
    ///
    /// ```
    /// # use damper_sdk::prelude::*;
    /// let record = Record::from_value(&json::json!({"name": "a thing"}))?;
    /// assert_eq!(record.body(), br#"{"name":"a thing"}"#);
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Failure::malformed(format!("the record has no form in JSON: {}", json_reason(&error))))?;
        Ok(Record::new(JSON, body))
    }

    /// An answer as it came, with its own content type and unread.
    pub fn raw(answer: Response) -> Self {
        let content_type = answer.header("content-type").unwrap_or("application/octet-stream").to_owned();
        Record::new(content_type, answer.into_bytes())
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Record::new("text/plain; charset=utf-8", text.into())
    }

    /// The same record with a small fact to store beside the body: a revision, a date. A name that is set
    /// again takes the new value.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.attributes.retain(|(known, _)| *known != name);
        self.attributes.push((name, value.into()));
        self
    }

    /// The body's media type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The record itself.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A small fact beside the body.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All small facts, in the order set.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    pub(crate) fn into_parts(self) -> (String, Vec<u8>, Vec<(String, String)>) {
        (self.content_type, self.body, self.attributes)
    }
}

/// Whether a content type is JSON: `application/json`, `text/json`, or a suffix `+json` (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    essence == JSON || essence == "text/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn answer(content_type: &str, body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Response::for_tests(200, headers, body)
    }

    #[test]
    fn a_json_answer_is_kept_byte_for_byte() {
        let record = Record::json(answer("application/vnd.api+json", "{ \"a\" : 1.0 }")).unwrap();
        assert_eq!(record.body(), b"{ \"a\" : 1.0 }");
        assert_eq!(record.content_type(), "application/vnd.api+json");
    }

    #[test]
    fn json_under_another_name_is_called_json() {
        let record = Record::json(answer("text/html", "[]")).unwrap();
        assert_eq!(record.content_type(), "application/json");
    }

    #[test]
    fn a_page_in_place_of_json_is_malformed() {
        let failure = Record::json(answer("application/json", "<html>sorry</html>")).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert_eq!(failure.status, Some(200));
    }

    #[test]
    fn json_with_bytes_that_are_no_text_is_malformed() {
        let mut body = br#"{"name": "x"}"#.to_vec();
        body.splice(10..10, [0xff, 0xfe]);
        let answer = Response::new("GET".into(), 200, Vec::new(), body, "https://h/".into(), std::time::Duration::ZERO);
        assert_eq!(Record::json(answer).unwrap_err().kind, FailureKind::Malformed);
    }

    #[test]
    fn an_attribute_set_again_takes_the_new_value() {
        let record = Record::text("x").with_attribute("rev", "1").with_attribute("rev", "2");
        assert_eq!(record.attribute("rev"), Some("2"));
        assert_eq!(record.attributes().len(), 1);
    }
}
