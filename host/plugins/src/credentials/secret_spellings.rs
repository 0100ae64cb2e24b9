//! The spellings in which a secret is sent, repeated by an API, or printed for debugging.

/// A text in every spelling, including its form in debug output.
pub(super) fn secret_spellings(text: &str) -> Vec<String> {
    let mut spellings = crate::redaction::spellings(text, false);
    spellings.push(format!("{text:?}").trim_matches('"').to_owned());
    spellings
}
