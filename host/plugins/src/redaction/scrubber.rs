//! Removes known secrets from texts and bodies, before they are written or reach a guest.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::text::{cut, json_string, one_line};

/// The replacement of a secret.
const REPLACEMENT: &str = "[secret]";
/// The number of an owner's newest texts that are kept: a token that was followed by so many others has long expired.
const MAX_TEXTS: usize = 32;
/// From so many bytes on, a body is searched where blocking is allowed.
const LARGE_BODY_BYTES: usize = 256 << 10;
/// From so many bytes on, the search automaton is small rather than fast.
const LARGE_BYTES: usize = 4 * 1024;

/// Removes known secrets from texts and bodies.
#[derive(Default)]
pub(crate) struct Scrubber(RwLock<KnownSecrets>);

#[derive(Default)]
struct KnownSecrets {
    /// None if no secret is known.
    needles: Option<AhoCorasick>,
    /// The length of the longest needle, in bytes.
    longest: usize,
    /// By owner, the spellings of each text, the newest last.
    spellings: BTreeMap<String, VecDeque<Vec<Vec<u8>>>>,
}

/// The secrets are too many or too long to be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManySecrets;

impl Scrubber {
    /// From now on removes a text in all of these spellings. An owner's earlier texts are still removed, up to
    /// [`MAX_TEXTS`].
    pub(crate) fn learn(&self, owner: &str, spellings: Vec<impl Into<Vec<u8>>>) -> Result<(), TooManySecrets> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let spellings: Vec<Vec<u8>> = spellings.into_iter().map(Into::into).filter(|text| !text.is_empty()).collect();
        let texts = known.spellings.entry(owner.to_owned()).or_default();
        if spellings.is_empty() || texts.contains(&spellings) {
            return Ok(());
        }
        texts.push_back(spellings);
        if texts.len() > MAX_TEXTS {
            texts.pop_front();
        }
        known.needles = Some(known.build_matcher()?);
        known.longest = known.spellings.values().flatten().flatten().map(Vec::len).max().unwrap_or_default();
        Ok(())
    }

    /// The text without secrets.
    pub(crate) fn scrub_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.replace(text.as_bytes()) {
            Some(replaced) => Cow::Owned(String::from_utf8_lossy(&replaced).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The bytes without secrets.
    pub(crate) fn scrub_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.replace(&bytes).unwrap_or(bytes)
    }

    /// A body without secrets, and whether it contained one. A large body is searched on a thread that may block. None
    /// if that thread failed.
    pub(crate) async fn replace_in_body(self: &Arc<Self>, body: Vec<u8>) -> Option<(Vec<u8>, bool)> {
        let search = |scrubber: &Self, body: Vec<u8>| match scrubber.replace(&body) {
            Some(replaced) => (replaced, true),
            None => (body, false),
        };
        if body.len() < LARGE_BODY_BYTES {
            return Some(search(self, body));
        }
        let scrubber = Arc::clone(self);
        tokio::task::spawn_blocking(move || search(&scrubber, body)).await.ok()
    }

    /// The bytes with each secret replaced; none where they hold no secret.
    pub(crate) fn replace(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let known = self.read_known();
        let needles = known.needles.as_ref().filter(|needles| needles.is_match(bytes))?;
        let replacements = vec![REPLACEMENT; needles.patterns_len()];
        Some(needles.replace_all_bytes(bytes, &replacements))
    }

    fn read_known(&self) -> RwLockReadGuard<'_, KnownSecrets> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text as one line that can be shown to a person: without secrets and control characters, at most so long.
    pub(crate) fn to_line(&self, text: &str, max_bytes: usize) -> String {
        one_line(&self.scrub_prefix(text, max_bytes))
    }

    /// The text as a JSON string that can be written to a log: without secrets, at most so long.
    pub(crate) fn to_json(&self, text: &str, max_bytes: usize) -> String {
        json_string(&self.scrub_prefix(text, max_bytes))
    }

    /// The length of a text's beginning that must be searched so that its first `max_bytes` contain no part of a
    /// secret.
    pub(crate) fn window_bytes(&self, max_bytes: usize) -> usize {
        max_bytes.saturating_add(self.read_known().longest)
    }

    /// The first `max_bytes` of a text without secrets. Only the beginning is searched, however long the text is.
    fn scrub_prefix<'a>(&self, text: &'a str, max_bytes: usize) -> Cow<'a, str> {
        let known = self.read_known();
        let Some(needles) = &known.needles else { return Cow::Borrowed(cut(text, max_bytes)) };
        let window = cut(text, max_bytes.saturating_add(known.longest)).as_bytes();
        let (mut shown, mut end) = (Vec::new(), 0);
        // A secret that begins among the first bytes ends within the window.
        for secret in needles.find_iter(window).take_while(|secret| secret.start() < max_bytes) {
            shown.extend_from_slice(window.get(end..secret.start()).unwrap_or_default());
            shown.extend_from_slice(REPLACEMENT.as_bytes());
            end = secret.end();
        }
        if end == 0 {
            return Cow::Borrowed(cut(text, max_bytes));
        }
        shown.extend_from_slice(cut(text, max_bytes).as_bytes().get(end..).unwrap_or_default());
        Cow::Owned(cut(&String::from_utf8_lossy(&shown), max_bytes).to_owned())
    }
}

impl KnownSecrets {
    fn build_matcher(&self) -> Result<AhoCorasick, TooManySecrets> {
        let needles: Vec<&Vec<u8>> = self.spellings.values().flatten().flatten().collect();
        let bytes: usize = needles.iter().map(|needle| needle.len()).sum();
        // For few secrets the library's default is the fastest; it takes a quarter of a kilobyte for each byte.
        let kind = (bytes > LARGE_BYTES).then_some(AhoCorasickKind::ContiguousNFA);
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(kind)
            .build(needles)
            .map_err(|_| TooManySecrets)
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(...)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubber(secrets: &[&str]) -> Scrubber {
        let scrubber = Scrubber::default();
        scrubber.learn("x", secrets.iter().map(|secret| (*secret).to_owned()).collect()).unwrap();
        scrubber
    }

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let scrubber = scrubber(&["hunter2", "hunter2-long", ""]);
        assert_eq!(scrubber.scrub_text("a hunter2-long b hunter2"), "a [secret] b [secret]");
        assert_eq!(scrubber.scrub_bytes(b"\xffhunter2\0".to_vec()), b"\xff[secret]\0");
        assert_eq!(scrubber.to_line("x hunter2\n", 100), "x [secret]");
    }

    #[test]
    fn what_was_known_stays_known_and_what_has_long_ended_does_not() {
        let scrubber = Scrubber::default();
        scrubber.learn("key", vec!["first".to_owned()]).unwrap();
        for number in 0..100 {
            scrubber.learn("token", vec![format!("token-{number:03}"), format!("other-{number:03}")]).unwrap();
        }
        assert_eq!(scrubber.scrub_text("first token-099 other-068 token-067"), "[secret] [secret] [secret] token-067");
        assert_eq!(format!("{scrubber:?}"), "Scrubber(...)");
    }

    #[test]
    fn long_secrets_are_taken_out_too() {
        let long = "0123456789abcdef".repeat(4_096);
        let scrubber = scrubber(&[&long, "short"]);
        assert_eq!(scrubber.scrub_text(&format!("a {long} b short")), "a [secret] b [secret]");
    }

    #[test]
    fn what_is_cut_off_is_scrubbed_before_it_is_cut() {
        assert_eq!(scrubber(&["hunter2"]).to_line("ab hunter2", 6), "ab [se");
    }

    #[test]
    fn a_text_that_shrinks_shows_no_part_of_a_secret_behind_its_cut() {
        let scrubber = scrubber(&["a-secret-of-many-bytes"]);
        let text = "a-secret-of-many-bytes ".repeat(10);
        assert_eq!(scrubber.to_line(&text, 30), "[secret] [secret]");
    }

    #[test]
    fn a_terminal_sees_no_escape() {
        let text = "\u{1b}[2J\u{9b}31m\u{202e}\r\nnext\u{7f}\"\\";
        assert_eq!(Scrubber::default().to_json(text, 100), r#""\u001b[2J\u009b31m\u202e\u000d\u000anext\u007f\"\\""#);
        assert_eq!(Scrubber::default().to_line(text, 100), r#"\u{1b}[2J\u{9b}31m\u{202e}\r\nnext\u{7f}"\"#);
    }

    proptest! {
        #[test]
        fn the_beginning_of_a_text_is_scrubbed_as_the_whole_is(
            parts in prop::collection::vec("hunter2|hunter2-and-more|[a-h]{0,9}|[\u{e9}-\u{ff}]{0,3}", 0..12), max in 0_usize..60,
        ) {
            let scrubber = scrubber(&["hunter2", "hunter2-and-more"]);
            let text = parts.concat();
            let shown = scrubber.scrub_prefix(&text, max);
            prop_assert!(shown.len() <= max);
            prop_assert!(scrubber.scrub_text(&text).starts_with(&*shown), "{:?} of {:?}", shown, scrubber.scrub_text(&text));
            prop_assert!(!shown.contains("hunter2"));
        }
    }
}
