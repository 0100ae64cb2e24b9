//! Text from outside: decoded from bytes, and made fit for a message, which is short, on one line, without control
//! characters.
//!
//! ```
//! use damper_sdk::{Failure, text};
//!
//! let said_by_the_api = "no such thing\nERROR all is lost";
//! let failure = Failure::not_found(format!("the API answered: {}", text::short(said_by_the_api)));
//! assert_eq!(failure.message, "the API answered: no such thing ERROR all is lost");
//! ```

pub(crate) mod encoding;

use std::borrow::Cow;

use crate::Failure;

/// The most characters of foreign text that a message carries.
const EXCERPT_CHARS: usize = 160;

/// The beginning of a text, at most 160 characters of it, on one line and without what could disguise it; empty if
/// nothing readable is left. For what an API says and what an item holds, before it becomes part of a message or a line
/// of the log.
pub fn short(text: &str) -> String {
    excerpt(text).unwrap_or_default()
}

/// The text of a body: by its byte order mark, else by the `charset` of its content type, else as UTF-8.
///
/// UTF-8, UTF-16, ISO-8859-1, -2, -9 and -15, and windows-1250, -1251, -1252 and -1254 are read; with the feature
/// `encodings` also the others of the [WHATWG's standard](https://encoding.spec.whatwg.org), which makes a component
/// larger by the tables for them.
///
/// # Errors
///
/// `malformed` where the bytes are not in that encoding, or it is not read.
///
/// ```
/// # use damper_sdk::{Failure, text};
/// assert_eq!(text::decode(b"Z\xfcrich", Some("text/csv; charset=ISO-8859-1"))?, "Z\u{fc}rich");
/// # Ok::<(), Failure>(())
/// ```
pub fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Result<Cow<'a, str>, Failure> {
    encoding::decode_as(content_type.and_then(encoding::charset_of).unwrap_or("utf-8"), bytes)
}

/// The beginning of `text` on one line; `None` where nothing readable is left.
pub(crate) fn excerpt(text: &str) -> Option<String> {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let space = usize::from(!line.is_empty());
        for (at, c) in word.chars().filter(|c| !redirects_text(*c)).enumerate() {
            if length >= EXCERPT_CHARS {
                line.push('…');
                return Some(line);
            }
            if at == 0 && space == 1 {
                line.push(' ');
                length += 1;
            }
            line.push(c);
            length += 1;
        }
    }
    (!line.is_empty()).then_some(line)
}

/// The beginning of a body, if it is text that a person would read: no markup, nothing binary.
pub(crate) fn body_excerpt(body: &[u8]) -> Option<String> {
    // Only the beginning is looked at, so the cut may fall inside a character.
    let head = body.get(..1024).unwrap_or(body);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    if text.trim_start().starts_with('<') {
        return None;
    }
    excerpt(text)
}

/// Characters that turn the direction of what follows them, or hide: they could disguise a line of a log.
fn redirects_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("  a\n\tb\u{1b}[31mc  ").as_deref(), Some("a b [31mc"));
        assert_eq!(excerpt(" \n ").as_deref(), None);
        let long = excerpt(&"x".repeat(1000)).unwrap();
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_body_that_no_person_reads_gives_no_excerpt() {
        assert_eq!(body_excerpt(b"<!doctype html><p>no"), None);
        assert_eq!(body_excerpt(&[0xff, 0xfe, 0]), None);
        assert_eq!(body_excerpt(b""), None);
        assert_eq!(body_excerpt(br#"{"error": "no"}"#).as_deref(), Some(r#"{"error": "no"}"#));
    }

    #[test]
    fn a_character_cut_in_half_is_left_out() {
        let body = format!("{}é", " ".repeat(1023));
        assert_eq!(body_excerpt(format!("a{body}").as_bytes()).as_deref(), Some("a"));
        assert_eq!(body_excerpt(body.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn excerpts_never_hold_control_characters(body: Vec<u8>) {
            if let Some(line) = body_excerpt(&body) {
                prop_assert!(!line.chars().any(char::is_control));
                prop_assert!(line.chars().count() <= EXCERPT_CHARS + 1);
            }
        }
    }
}
