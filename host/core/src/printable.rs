//! Which characters may not reach a terminal or a log line as they are.

/// Whether a character makes a terminal do something, breaks a line, or makes a text look like another: controls (C0,
/// DEL, C1), the separators of lines and paragraphs, and what turns the direction of writing (Unicode Standard Annex 9,
/// section 2).
///
/// All of these are in the basic plane: one unit of UTF-16 each.
#[must_use]
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_breaks_a_text_is_unsafe_and_letters_are_not() {
        let turns = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        let breaks = "\0\u{7}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}";
        assert!(turns.chars().chain(breaks.chars()).all(is_unsafe));
        assert!(!"aé東عא👩\u{200d}🚀 \u{a0}".chars().any(is_unsafe));
    }
}
