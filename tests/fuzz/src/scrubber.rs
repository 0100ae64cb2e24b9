//! The scrubber: a secret, spelled somehow, somewhere in a text.

use damper_plugins::fuzzing::OneSecretScrubber;

use crate::parts::parts;
use crate::spelling::spell;

/// The replacement of a secret. A secret that is a part of it stays, and so may one that overlaps it.
const REPLACEMENT: &str = "[secret]";
const MAX_SECRET_CHARACTERS: usize = 50;
const NO_LIMIT: usize = 1 << 20;

/// The data: a byte for the spelling, the secret, and what stands before and behind it. No spelling of a secret is left
/// in a text, a body, a line for a person or a line of a log, whatever stands around it. All of them are bounded, and
/// harmless to a terminal.
pub fn scrubber(data: &[u8]) {
    let [choice, data @ ..] = data else { return };
    let is_basic = choice & 0x80 != 0;
    let mut parts = parts(data);
    let mut next = || parts.next().unwrap_or_default();
    let (secret, before, after) = (next(), next(), next());
    let secret: String = secret.chars().take(MAX_SECRET_CHARACTERS).collect();
    if secret.is_empty() || secret.contains(['[', ']']) || REPLACEMENT.contains(&secret) {
        return;
    }
    let known = if is_basic { format!("user:{secret}") } else { secret.clone() };
    let scrubber = OneSecretScrubber::knowing(&known, is_basic).expect("such secrets can be searched for");
    let spelled = spell(&secret, *choice & 0x7f);
    let text = format!("{before}{}{after}", spelled.text);
    let is_left = |text: &str| text.contains(&spelled.core) && !REPLACEMENT.contains(&spelled.core);

    let scrubbed = scrubber.scrub_text(&text);
    assert!(!is_left(&scrubbed), "{} is left in {scrubbed:?}", spelled.name);
    assert!(scrubbed.len() <= text.len().saturating_mul(REPLACEMENT.len()));
    let bytes = [b"\xff\0", text.as_bytes(), b"\xfe"].concat();
    let scrubbed = scrubber.scrub_bytes(bytes);
    let core = spelled.core.as_bytes();
    let is_left_in_body = scrubbed.windows(core.len()).any(|part| part == core) && !REPLACEMENT.contains(&spelled.core);
    assert!(!is_left_in_body, "{} is left in a body", spelled.name);
    let json = scrubber.to_json(&text, NO_LIMIT);
    let read: String = serde_json::from_str(&json).expect("a line of a log is JSON");
    assert!(!is_left(&read), "{} is left in {json}", spelled.name);
    // A text that is escaped for a person may look like a secret, as `\n` before a word does.
    let shown = scrubber.to_line(&text, NO_LIMIT);
    assert!(!json.chars().any(char::is_control) && !shown.chars().any(char::is_control));
    for most in [0, 1, 7, 40] {
        // An escape is up to ten bytes of a character of one.
        assert!(
            scrubber.to_line(&text, most).len() <= most * 10 && scrubber.to_json(&text, most).len() <= most * 10 + 2
        );
    }
}
