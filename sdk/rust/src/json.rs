//! JSON documents: looked up by JSON Pointer (RFC 6901), with failures that say what was missing.

use serde::de::DeserializeOwned;
pub use serde_json::{Value, json};

use crate::Failure;
use crate::failure::json_reason;
// A pointer may hold a part of an id, so it is cut like foreign text.
use crate::text::short;

/// Parses a document.
///
/// # Errors
///
/// `malformed`, saying where the document stops being JSON.
pub fn parse<T: DeserializeOwned>(document: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(document).map_err(Failure::from)
}

/// Looks into a [`Value`] by JSON Pointer; what is not there is `malformed`, with the pointer in the message.
///
/// ```
/// use damper_sdk::prelude::*;
///
/// let document = json::json!({"data": {"id": "42", "tags": ["a", "b"]}});
/// assert_eq!(document.str_at("/data/id")?, "42");
/// assert_eq!(document.parse_at::<Vec<String>>("/data/tags")?, ["a", "b"]);
///
/// let failure = document.str_at("/data/name").unwrap_err();
/// assert_eq!(failure.kind, FailureKind::Malformed);
/// assert!(failure.message.contains("/data/name"));
/// # Ok::<(), Failure>(())
/// ```
pub trait Lookup {
    /// The value at a pointer.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none.
    fn at(&self, pointer: &str) -> Result<&Value, Failure>;

    /// The text at a pointer.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn str_at(&self, pointer: &str) -> Result<&str, Failure>;

    /// The value at a pointer, as a type of one's own.
    ///
    /// # Errors
    ///
    /// `malformed` where there is nothing, or nothing of that shape.
    fn parse_at<T: DeserializeOwned>(&self, pointer: &str) -> Result<T, Failure>;
}

impl Lookup for Value {
    fn at(&self, pointer: &str) -> Result<&Value, Failure> {
        self.pointer(pointer)
            .ok_or_else(|| Failure::malformed(format!("the document has nothing at `{}`", short(pointer))))
    }

    fn str_at(&self, pointer: &str) -> Result<&str, Failure> {
        let value = self.at(pointer)?;
        value.as_str().ok_or_else(|| {
            Failure::malformed(format!(
                "the document has {} at `{}` where text was expected",
                kind_of(value),
                short(pointer)
            ))
        })
    }

    fn parse_at<T: DeserializeOwned>(&self, pointer: &str) -> Result<T, Failure> {
        T::deserialize(self.at(pointer)?).map_err(|error| {
            Failure::malformed(format!("unexpected JSON at `{}`: {}", short(pointer), json_reason(&error)))
        })
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn says_what_was_found_where_text_was_expected() {
        let failure = json!({"a": {"b": 3}}).str_at("/a/b").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert_eq!(failure.message, "the document has a number at `/a/b` where text was expected");
    }

    #[test]
    fn says_where_a_shape_does_not_fit() {
        let failure = json!({"a": ["x"]}).parse_at::<Vec<u8>>("/a").unwrap_err();
        assert!(failure.message.starts_with("unexpected JSON at `/a`:"), "{}", failure.message);
    }

    #[test]
    fn a_document_cut_short_is_malformed() {
        let failure = parse::<Value>(b"{\"a\": ").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.contains("line 1"));
    }
}
