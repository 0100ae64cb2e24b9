//! The spellings of a secret, written down once more and in another way than in damper-plugins, so that one checks the
//! other.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// A spelling of a secret: what an API or a guest may write, and the part of it that must not be left.
#[derive(Debug)]
pub(crate) struct Spelled {
    /// How it is spelled.
    pub(crate) name: &'static str,
    /// The text that holds the secret.
    pub(crate) text: String,
    /// The part of it that spells nothing else than the secret.
    pub(crate) core: String,
}

type Spell = fn(&str) -> String;

/// The spellings that are taken out of every secret, however short.
const ALWAYS: [(&str, Spell); 4] = [
    ("as it is", |secret| secret.to_owned()),
    ("base64", |secret| encode(secret.as_bytes(), &STANDARD, true)),
    ("a form's value", |secret| form(secret)),
    ("percent-encoded", |secret| percent(secret, true)),
];

/// Those that are taken out of secrets that do not turn up by chance.
const LONG_ONLY: [(&str, Spell); 24] = [
    ("base64 without padding", |secret| encode(secret.as_bytes(), &STANDARD, false)),
    ("base64 for URLs", |secret| encode(secret.as_bytes(), &URL_SAFE, true)),
    ("base64 for URLs without padding", |secret| encode(secret.as_bytes(), &URL_SAFE, false)),
    ("percent-encoded with small digits", |secret| percent(secret, false)),
    ("a JSON string", |secret| json(secret)),
    ("a JSON string with escaped slashes", |secret| json(secret).replace('/', "\\/")),
    ("hexadecimal", |secret| hexadecimal(secret, |byte| format!("{byte:02x}"))),
    ("hexadecimal in capitals", |secret| hexadecimal(secret, |byte| format!("{byte:02X}"))),
    ("HTML", |secret| html(secret, "&quot;", "&#39;")),
    ("HTML with a hexadecimal quote", |secret| html(secret, "&quot;", "&#x27;")),
    ("HTML with a named quote", |secret| html(secret, "&quot;", "&apos;")),
    ("HTML with numbered quotes", |secret| html(secret, "&#34;", "&#39;")),
    ("JSON in a script", |secret| escape_utf16(secret, |letter| "<>&'\"".contains(letter), false)),
    ("JSON of ASCII alone", |secret| escape_utf16(secret, |letter| !letter.is_ascii(), false)),
    ("JSON of ASCII alone in capitals", |secret| escape_utf16(secret, |letter| !letter.is_ascii(), true)),
    ("JSON that is all escapes", |secret| escape_utf16(secret, |_| true, false)),
    ("JSON that is all escapes in capitals", |secret| escape_utf16(secret, |_| true, true)),
    ("all bytes percent-encoded", |secret| hexadecimal(secret, |byte| format!("%{byte:02X}"))),
    ("all bytes percent-encoded with small digits", |secret| hexadecimal(secret, |byte| format!("%{byte:02x}"))),
    ("HTML's decimal numbers", |secret| secret.chars().map(|letter| format!("&#{};", u32::from(letter))).collect()),
    ("HTML's hexadecimal numbers", |secret| {
        secret.chars().map(|letter| format!("&#x{:x};", u32::from(letter))).collect()
    }),
    ("HTML's hexadecimal numbers in capitals", |secret| {
        secret.chars().map(|letter| format!("&#x{:X};", u32::from(letter))).collect()
    }),
    ("UTF-16, low byte first", |secret| utf16(secret, |unit| unit.to_le_bytes())),
    ("UTF-16, high byte first", |secret| utf16(secret, |unit| unit.to_be_bytes())),
];
/// Within a longer base64 text: so many bytes stand before it.
const WITHIN: [(&str, &Alphabet, &[u8], &[u8]); 8] = [
    ("within base64, at its beginning", &STANDARD, b"", b"behind"),
    ("within base64, behind a byte", &STANDARD, b"u", b"behind"),
    ("within base64, behind two bytes", &STANDARD, b"u:", b""),
    ("within base64, behind a name", &STANDARD, b"user:", b"\n"),
    ("within base64 for URLs, at its beginning", &URL_SAFE, b"\xff\xff\xff", b"\xff"),
    ("within base64 for URLs, behind a byte", &URL_SAFE, b"\xff", b"\xff"),
    ("within base64 for URLs, behind two bytes", &URL_SAFE, b"\xfb\xff", b""),
    ("within base64 for URLs, behind a name", &URL_SAFE, b"{\"token\":\"", b"\"}"),
];

/// The shortest secret of which the rarer spellings are looked for, in bytes.
const LONG_BYTES: usize = 6;

/// The secret in the spelling of this number.
pub(crate) fn spell(secret: &str, choice: u8) -> Spelled {
    let whole = |(name, spell): &(&'static str, Spell)| {
        let text = spell(secret);
        Spelled { name, core: text.clone(), text }
    };
    let mut all: Vec<Spelled> = ALWAYS.iter().map(whole).collect();
    if secret.len() >= LONG_BYTES {
        all.extend(LONG_ONLY.iter().map(whole));
        all.extend(
            WITHIN.iter().map(|(name, alphabet, before, behind)| within(secret, name, alphabet, before, behind)),
        );
    }
    all.retain(|spelled| !spelled.core.is_empty());
    let number = usize::from(choice) % all.len();
    all.swap_remove(number)
}

/// The secret with something before and behind it, all in base64. Its core are the characters that hold no bit of
/// anything else.
fn within(secret: &str, name: &'static str, alphabet: &Alphabet, before: &[u8], behind: &[u8]) -> Spelled {
    let text = encode(&[before, secret.as_bytes(), behind].concat(), alphabet, true);
    let first = (before.len() * 8).div_ceil(6);
    let end = (before.len() + secret.len()) * 8 / 6;
    let core = text.get(first..end).unwrap_or_default().to_owned();
    Spelled { name, text, core }
}

fn html(secret: &str, double_quote: &str, single_quote: &str) -> String {
    let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', double_quote).replace('\'', single_quote)
}

/// A JSON string in which some characters are written as units of UTF-16, and the others as usual.
fn escape_utf16(secret: &str, is_escaped: fn(char) -> bool, is_upper: bool) -> String {
    let write = |letter: char| {
        let digits = |unit: &u16| if is_upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
        let units: Vec<u16> = letter.to_string().encode_utf16().collect();
        if is_escaped(letter) { units.iter().map(digits).collect() } else { json(&letter.to_string()) }
    };
    secret.chars().map(write).collect()
}

/// UTF-16 as it looks in bytes; nothing if the secret has characters of which that is no text.
fn utf16(secret: &str, bytes: fn(u16) -> [u8; 2]) -> String {
    let all: Vec<u8> = secret.encode_utf16().flat_map(bytes).collect();
    if secret.is_ascii() { String::from_utf8_lossy(&all).into_owned() } else { String::new() }
}

fn encode(bytes: &[u8], alphabet: &Alphabet, has_padding: bool) -> String {
    GeneralPurpose::new(alphabet, GeneralPurposeConfig::new().with_encode_padding(has_padding)).encode(bytes)
}

/// RFC 3986: all but its unreserved characters.
fn percent(secret: &str, is_upper: bool) -> String {
    let mut text = String::new();
    for byte in secret.bytes() {
        let written = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
                Ok(())
            }
            _ if is_upper => write!(text, "%{byte:02X}"),
            _ => write!(text, "%{byte:02x}"),
        };
        assert!(written.is_ok(), "a String can be written to");
    }
    text
}

/// `application/x-www-form-urlencoded` of the URL standard.
fn form(secret: &str) -> String {
    let pair: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("", secret).finish();
    pair.trim_start_matches('=').to_owned()
}

fn json(secret: &str) -> String {
    let text = serde_json::to_string(secret).expect("a string is JSON");
    text.get(1..text.len() - 1).expect("quotes are around it").to_owned()
}

fn hexadecimal(secret: &str, digits: fn(u8) -> String) -> String {
    secret.bytes().map(digits).collect()
}
