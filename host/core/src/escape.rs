//! Texts out of files and streams, made fit for a message: short, and harmless to a terminal.

use crate::printable::is_unsafe;

/// From so many bytes on a line is cut.
const MAX_LINE_BYTES: usize = 1_000;
/// The most lines.
const MAX_LINES: usize = 12;

/// A text for a message, on one line: cut where it is long, and everything escaped that would move a cursor or turn the
/// direction of writing.
///
/// ```
/// assert_eq!(damper_core::escape::escape_text("a\u{1b}[2J\nb"), r"a\u{1b}[2J\nb");
/// ```
#[must_use]
pub fn escape_text(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE_BYTES));
    for character in text.chars() {
        if line.len() >= MAX_LINE_BYTES {
            line.push_str("...");
            break;
        }
        if is_unsafe(character) { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}

/// The same for a text of several lines, each of which is kept, up to a dozen.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').take(MAX_LINES).map(escape_text).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_and_what_moves_a_cursor_is_escaped() {
        assert_eq!(escape_text("an ordinary text: ä"), "an ordinary text: ä");
        assert_eq!(escape_text("\u{9b}31m\u{202e}\r"), r"\u{9b}31m\u{202e}\r");
        let long = escape_text(&"\u{1b}".repeat(10_000));
        assert!(long.len() < MAX_LINE_BYTES + 20 && long.ends_with("..."), "{long}");
        assert_eq!(escape_lines("a\n\u{1b}\nb"), "a\n\\u{1b}\nb");
        assert_eq!(escape_lines(&"x\n".repeat(100)).lines().count(), MAX_LINES);
    }
}
