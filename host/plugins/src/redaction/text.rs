//! Makes texts of guests and APIs harmless to a terminal and a log, and not too long. They may still contain secrets:
//! see [`Scrubber`](super::scrubber::Scrubber).

use std::fmt::Write;

use damper_core::printable::is_unsafe;

/// The text's beginning, of at most so many bytes.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

/// A guest's text on one line, for a message to the same guest. Secrets are not removed: replacing one would confirm
/// that it is one. A longer text is replaced by its length rather than cut, because a part of a secret would not be
/// found any more.
pub(crate) fn echo(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes { one_line(text) } else { format!("({} bytes)", text.len()) }
}

/// The text with every character that would break a line or move a cursor written as an escape.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.trim().chars() {
        if is_unsafe(character) { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}

/// The text as a JSON string in which, beyond what JSON asks for, every control character is escaped.
pub(super) fn json_string(text: &str) -> String {
    let mut string = String::with_capacity(text.len() + 2);
    string.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            _ if is_unsafe(character) => {
                // Writing to a String does not fail. All of these are in the basic plane: one unit of UTF-16 each.
                let _ = write!(string, "\\u{:04x}", u32::from(character));
            }
            _ => string.push(character),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_json_string_reads_back(text in any::<String>()) {
            let written = json_string(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
            prop_assert!(!written.chars().any(is_unsafe));
        }

        #[test]
        fn a_cut_is_a_beginning(text in any::<String>(), max in 0_usize..40) {
            prop_assert!(cut(&text, max).len() <= max && text.starts_with(cut(&text, max)));
        }
    }
}
