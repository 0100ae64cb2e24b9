//! Differences that a person can read.

use similar::TextDiff;

/// The most lines of a difference.
const MAX_LINES: usize = 60;
/// The longest line of a difference, in characters.
const MAX_CHARACTERS: usize = 200;
/// The longest body that is compared line by line, in bytes.
const MAX_READABLE_BYTES: usize = 256 << 10;

/// The difference of two texts, line by line.
pub(crate) fn difference(name: &str, wanted: &str, other_name: &str, got: &str) -> String {
    let diff = TextDiff::from_lines(wanted, got);
    let text = diff.unified_diff().context_radius(3).header(name, other_name).missing_newline_hint(false).to_string();
    let count = text.lines().count();
    let mut lines: Vec<String> = text.lines().take(MAX_LINES).map(cut).collect();
    if count > MAX_LINES {
        lines.push(format!("... and {} more lines", count - MAX_LINES));
    }
    lines.join("\n")
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((at, _)) => format!("{}...", line.get(..at).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// A body as lines: JSON spread out, other text as it is, anything else by its length.
pub(crate) fn readable(body: &[u8]) -> String {
    let beginning = body.get(..MAX_READABLE_BYTES).unwrap_or(body);
    let Ok(text) = std::str::from_utf8(beginning) else {
        return format!("({} bytes that are not text)", body.len());
    };
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) if body.len() <= MAX_READABLE_BYTES => {
            serde_json::to_string_pretty(&value).unwrap_or_else(|_| text.to_owned())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_is_there_and_what_should_be() {
        let text = difference("foreseen", "GET /a\naccept: x\n", "sent", "GET /b\naccept: x\n");
        assert!(text.starts_with("--- foreseen\n+++ sent\n"), "{text}");
        assert!(text.contains("-GET /a\n+GET /b\n accept: x"), "{text}");
    }

    #[test]
    fn a_difference_has_an_end() {
        let (long, other) = ("x\n".repeat(10_000), "y".repeat(10_000));
        let text = difference("a", &long, "b", &other);
        assert!(text.lines().count() <= MAX_LINES + 1);
        assert!(text.lines().all(|line| line.chars().count() <= MAX_CHARACTERS + 3));
    }

    #[test]
    fn json_is_spread_out_and_what_is_no_text_is_told() {
        assert_eq!(readable(br#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(readable(b"a\nb"), "a\nb");
        assert_eq!(readable(&[0xff, 0xfe]), "(2 bytes that are not text)");
    }
}
