//! Rules of XML's syntax that the reader does not check.

/// Where a few bytes stand first. The standard library's search is made for long needles, and several kilobytes large.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Whether a blank stands behind each value of a start tag, before the next attribute; the reader does not ask for it.
pub(super) fn has_blanks_between(tag: &str) -> bool {
    let (mut quote, mut is_behind_value) = (None, false);
    for character in tag.bytes() {
        if is_behind_value && !character.is_ascii_whitespace() {
            return false;
        }
        is_behind_value = quote == Some(character);
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, b'"' | b'\'') => quote = Some(character),
            _ => {}
        }
    }
    true
}

/// Whether this is XML 1.0's production `Name`, without colons: a prefix and what is behind it are told apart before.
pub(super) fn is_name(name: &str) -> bool {
    let is_start = |c: char| {
        matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}')
    };
    let is_further = |c: char| {
        is_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
    };
    let mut characters = name.chars();
    characters.next().is_some_and(is_start) && characters.all(is_further)
}
