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
/// let document = json::json!({"data": {"id": "42", "pages": 3, "tags": ["a", "b"]}});
/// assert_eq!(document.str_at("/data/id")?, "42");
/// assert_eq!(document.u64_at("/data/pages")?, 3);
/// assert_eq!(document.parse_at::<Vec<String>>("/data/tags")?, ["a", "b"]);
///
/// let failure = document.str_at("/data/name").unwrap_err();
/// assert_eq!(failure.kind, FailureKind::Malformed);
/// assert!(failure.message.contains("/data/name"));
/// # Ok::<(), Failure>(())
/// ```
///
/// A whole number is one that the document writes without a fraction and an exponent: `2.0` and `1e3` are none. A
/// number in quotes is text.
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

    /// The whole number at a pointer, from 0 to `u64::MAX`.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn u64_at(&self, pointer: &str) -> Result<u64, Failure>;

    /// The whole number at a pointer, from `i64::MIN` to `i64::MAX`.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn i64_at(&self, pointer: &str) -> Result<i64, Failure>;

    /// The number at a pointer. A whole number beyond 2^53 is rounded.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn f64_at(&self, pointer: &str) -> Result<f64, Failure>;

    /// The boolean at a pointer.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn bool_at(&self, pointer: &str) -> Result<bool, Failure>;

    /// The elements of the array at a pointer.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none, or something else.
    fn array_at(&self, pointer: &str) -> Result<&[Value], Failure>;

    /// The value at a pointer, as a type of one's own. The first use adds about 30,000 bytes to a component, as a
    /// derived `Deserialize` does; the functions above add next to nothing.
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
        value.as_str().ok_or_else(|| not_expected(kind_of(value), pointer, "text"))
    }

    fn u64_at(&self, pointer: &str) -> Result<u64, Failure> {
        let value = self.at(pointer)?;
        value.as_u64().ok_or_else(|| not_expected(whole_kind_of(value), pointer, "a whole number of 0 or more"))
    }

    fn i64_at(&self, pointer: &str) -> Result<i64, Failure> {
        let value = self.at(pointer)?;
        value.as_i64().ok_or_else(|| not_expected(whole_kind_of(value), pointer, "a whole number"))
    }

    fn f64_at(&self, pointer: &str) -> Result<f64, Failure> {
        let value = self.at(pointer)?;
        value.as_f64().ok_or_else(|| not_expected(kind_of(value), pointer, "a number"))
    }

    fn bool_at(&self, pointer: &str) -> Result<bool, Failure> {
        let value = self.at(pointer)?;
        value.as_bool().ok_or_else(|| not_expected(kind_of(value), pointer, "a boolean"))
    }

    fn array_at(&self, pointer: &str) -> Result<&[Value], Failure> {
        let value = self.at(pointer)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| not_expected(kind_of(value), pointer, "an array"))
    }

    fn parse_at<T: DeserializeOwned>(&self, pointer: &str) -> Result<T, Failure> {
        T::deserialize(self.at(pointer)?).map_err(|error| {
            Failure::malformed(format!("unexpected JSON at `{}`: {}", short(pointer), json_reason(&error)))
        })
    }
}

fn not_expected(found: &str, pointer: &str, expected: &str) -> Failure {
    Failure::malformed(format!("the document has {found} at `{}` where {expected} was expected", short(pointer)))
}

/// What a value is that is not the whole number that was expected. The number itself is left out: the code that writes
/// a number with a fraction takes about 25,000 bytes of a component.
fn whole_kind_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "a negative number",
        Value::Number(_) => "a number with a fraction, an exponent or more than 64 bits",
        _ => kind_of(value),
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
    fn values_are_read_to_the_ends_of_their_ranges() {
        let document =
            json!({"u": u64::MAX, "i": i64::MIN, "zero": 0, "half": 0.5, "yes": true, "none": [], "two": [1, 2]});
        assert_eq!(document.u64_at("/u"), Ok(u64::MAX));
        assert_eq!(document.u64_at("/zero"), Ok(0));
        assert_eq!(document.i64_at("/i"), Ok(i64::MIN));
        assert_eq!(document.i64_at("/zero"), Ok(0));
        assert_eq!(document.f64_at("/half"), Ok(0.5));
        assert_eq!(document.f64_at("/zero"), Ok(0.0));
        assert_eq!(document.bool_at("/yes"), Ok(true));
        assert_eq!(document.array_at("/none"), Ok(&[][..]));
        assert_eq!(document.array_at("/two"), Ok(&[json!(1), json!(2)][..]));
    }

    #[test]
    fn says_what_was_found_where_something_else_was_expected() {
        let document: Value =
            parse(br#"{"text": "3", "null": null, "low": -1, "part": 2.0, "power": 1e3, "big": 18446744073709551615}"#)
                .unwrap();
        let found = |failure: Failure| {
            assert_eq!(failure.kind, FailureKind::Malformed);
            failure.message
        };
        let at = |pointer: &str| found(document.u64_at(pointer).unwrap_err());
        assert_eq!(at("/text"), "the document has text at `/text` where a whole number of 0 or more was expected");
        assert_eq!(
            at("/low"),
            "the document has a negative number at `/low` where a whole number of 0 or more was expected"
        );
        assert!(at("/part").contains("a number with a fraction, an exponent or more than 64 bits at `/part`"));
        assert!(at("/power").contains("a fraction, an exponent or more than 64 bits at `/power`"));
        assert_eq!(at("/none"), "the document has nothing at `/none`");
        let at = |pointer: &str| found(document.i64_at(pointer).unwrap_err());
        assert_eq!(
            at("/big"),
            "the document has a number with a fraction, an exponent or more than 64 bits at `/big` where a whole \
             number was expected"
        );
        assert_eq!(at("/null"), "the document has null at `/null` where a whole number was expected");
        let at = |pointer: &str| found(document.f64_at(pointer).unwrap_err());
        assert_eq!(at("/text"), "the document has text at `/text` where a number was expected");
        let at = |pointer: &str| found(document.bool_at(pointer).unwrap_err());
        assert_eq!(at("/low"), "the document has a number at `/low` where a boolean was expected");
        let at = |pointer: &str| found(document.array_at(pointer).unwrap_err());
        assert_eq!(at("/null"), "the document has null at `/null` where an array was expected");
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
