//! Removes sensitive values from a recording, in every place.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};
use damper_plugins::{RequestTrace, is_private_header, spellings};

use crate::conformance::is_called_secret;

/// The replacement of a header's value.
const REPLACEMENT: &str = "[redacted]";
/// The shortest value that is looked for elsewhere, in bytes: a shorter one may occur by coincidence.
const MIN_BYTES: usize = 6;
/// Words in the name of a header that holds a secret, beside those that [`is_called_secret`] knows.
const SECRET_WORDS: [&str; 11] = [
    "assertion",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "csrf",
    "jwt",
    "session",
    "sid",
    "xsrf",
];
/// Headers that are named like secrets and are none: a provider makes them of what it is asked for.
const NO_SECRETS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// Takes out of texts what a case must not hold.
pub(super) struct Redactor {
    headers: Vec<String>,
    needles: Option<AhoCorasick>,
    replacements: Vec<String>,
}

impl Redactor {
    /// A redactor for the values of these and of private headers in requests and their answers, and for settings that
    /// are called like secrets.
    pub(super) fn new(headers: &[String], config: &BTreeMap<String, String>, requests: &[RequestTrace]) -> Self {
        let headers = headers.iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut this = Self { headers, needles: None, replacements: Vec::new() };
        let mut secrets: Vec<(String, String)> = Vec::new();
        for (key, value) in config.iter().filter(|(key, _)| is_called_secret(key)) {
            // One that a URL and a header can hold, so that the case still fits what the provider makes of it.
            secrets.push((value.clone(), format!("redacted-{key}")));
        }
        for recorded in requests.iter().filter_map(|trace| trace.recorded.as_deref()) {
            let answered = recorded.response.iter().flat_map(|answer| &answer.headers);
            for (_, value) in recorded.headers.iter().chain(answered).filter(|(name, _)| this.hides(name)) {
                secrets.push((value.clone(), REPLACEMENT.to_owned()));
            }
        }
        secrets.retain(|(value, _)| value.len() >= MIN_BYTES);
        let mut needles = Vec::new();
        for (value, replacement) in secrets {
            for spelling in spellings(&value, false) {
                needles.push(spelling);
                this.replacements.push(replacement.clone());
            }
        }
        if !needles.is_empty() {
            // More than it can hold is more than any exchange's headers have.
            this.needles = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(needles).ok();
        }
        this
    }

    /// Whether a header's value is not to be written; its name is given in lower case.
    pub(super) fn hides(&self, name: &str) -> bool {
        let is_listed = self.headers.iter().any(|listed| listed == name);
        let is_called_secret = is_called_secret(name) || has_word(name, &SECRET_WORDS);
        is_private_header(name) || is_listed || (is_called_secret && !NO_SECRETS.contains(&name))
    }

    /// A header's value as it may be written.
    pub(super) fn header(&self, name: &str, value: &str) -> String {
        if self.hides(name) { REPLACEMENT.to_owned() } else { self.text(value) }
    }

    pub(super) fn text(&self, text: &str) -> String {
        match &self.needles {
            Some(needles) => needles.replace_all(text, &self.replacements),
            None => text.to_owned(),
        }
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.needles {
            Some(needles) => needles.replace_all_bytes(bytes, &self.replacements),
            None => bytes.to_vec(),
        }
    }
}

/// Whether a header's name has one of these words; its name is given in lower case.
pub(super) fn has_word(name: &str, words: &[&str]) -> bool {
    name.split(['-', '_']).any(|word| words.contains(&word))
}
