//! Text from bytes in an encoding: UTF-8, UTF-16, the common encodings of one byte a character, and with the feature
//! `encodings` all others of the WHATWG's standard. The tables for Chinese, Japanese and Korean are larger than most
//! components, so they are not there by default.

use std::borrow::Cow;

use super::short;
use crate::Failure;

/// How bytes are read.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16 {
        is_big_endian: bool,
    },
    /// One byte a character: the characters of the upper half.
    OneByte(&'static str),
}

// The upper halves, in order; what an encoding leaves undefined is the control character of that number (WHATWG).
const WINDOWS_1250: &str = "\
    €\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ\
    ˝ľżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
const WINDOWS_1251: &str = "\
    ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПР\
    СТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя";
const WINDOWS_1252: &str = "\
    €\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼\
    ½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
const WINDOWS_1254: &str = "\
    €\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²\
    ³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ";
const ISO_8859_2: &str = "\
    \u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
    \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
    \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôő\
    ö÷řůúűüýţ˙";
const ISO_8859_15: &str = "\
    \u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
    \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
    \u{a0}¡¢£€¥Š§š©ª«¬\u{ad}®¯°±²³Žµ¶·ž¹º»ŒœŸ¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõ\
    ö÷øùúûüýþÿ";

/// Bytes as text: by their byte order mark, else in the encoding of this label. Without the mark.
pub(crate) fn decode_as<'a>(label: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, Failure> {
    let (marked, bytes) = split_mark(bytes);
    match marked.or_else(|| encoding_of(label)) {
        Some(Encoding::Utf8) => Ok(Cow::Borrowed(std::str::from_utf8(bytes)?)),
        Some(Encoding::Utf16 { is_big_endian }) => decode_utf16(bytes, is_big_endian).map(Cow::Owned),
        Some(Encoding::OneByte(upper)) => Ok(Cow::Owned(decode_one_byte(bytes, upper))),
        None => decode_rare(label, bytes),
    }
}

/// Whether a byte order mark says how a document is to be read.
#[cfg(feature = "xml")]
pub(crate) fn is_marked(bytes: &[u8]) -> bool {
    split_mark(bytes).0.is_some()
}

/// The `charset` of a content type.
pub(crate) fn charset_of(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').trim();
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
    })
}

fn split_mark(bytes: &[u8]) -> (Option<Encoding>, &[u8]) {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        (Some(Encoding::Utf8), rest)
    } else if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        (Some(Encoding::Utf16 { is_big_endian: false }), rest)
    } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        (Some(Encoding::Utf16 { is_big_endian: true }), rest)
    } else {
        (None, bytes)
    }
}

/// The encodings and their labels (<https://encoding.spec.whatwg.org/#names-and-labels>): ISO-8859-1 and US-ASCII are
/// windows-1252.
const ENCODINGS: [(&[&str], Encoding); 9] = [
    (&["utf-8", "utf8", "unicode-1-1-utf-8"], Encoding::Utf8),
    (&["utf-16", "utf-16le", "unicode"], Encoding::Utf16 { is_big_endian: false }),
    (&["utf-16be"], Encoding::Utf16 { is_big_endian: true }),
    (&LATIN_1, Encoding::OneByte(WINDOWS_1252)),
    (&["windows-1250", "cp1250"], Encoding::OneByte(WINDOWS_1250)),
    (&["windows-1251", "cp1251"], Encoding::OneByte(WINDOWS_1251)),
    (&["windows-1254", "cp1254", "iso-8859-9", "latin5"], Encoding::OneByte(WINDOWS_1254)),
    (&["iso-8859-2", "iso8859-2", "latin2"], Encoding::OneByte(ISO_8859_2)),
    (&["iso-8859-15", "iso8859-15", "latin9"], Encoding::OneByte(ISO_8859_15)),
];
const LATIN_1: [&str; 10] = [
    "windows-1252",
    "cp1252",
    "x-cp1252",
    "iso-8859-1",
    "iso8859-1",
    "iso_8859-1",
    "latin1",
    "l1",
    "us-ascii",
    "ascii",
];

/// The encoding of a label.
fn encoding_of(label: &str) -> Option<Encoding> {
    let is_named = |labels: &[&str]| labels.iter().any(|known| known.eq_ignore_ascii_case(label.trim()));
    ENCODINGS.iter().find(|(labels, _)| is_named(labels)).map(|(_, encoding)| *encoding)
}

fn decode_utf16(bytes: &[u8], is_big_endian: bool) -> Result<String, Failure> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units =
        pairs.iter().map(|pair| if is_big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    let name = if is_big_endian { "utf-16be" } else { "utf-16" };
    let mut text = String::with_capacity(bytes.len());
    for character in char::decode_utf16(units) {
        text.push(character.map_err(|_| not_in(name))?);
    }
    if rest.is_empty() { Ok(text) } else { Err(not_in(name)) }
}

fn decode_one_byte(bytes: &[u8], upper: &'static str) -> String {
    let upper: Vec<char> = upper.chars().collect();
    let character = |byte: &u8| match byte.checked_sub(0x80) {
        Some(at) => upper.get(usize::from(at)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        None => char::from(*byte),
    };
    bytes.iter().map(character).collect()
}

#[cfg(feature = "encodings")]
fn decode_rare<'a>(label: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, Failure> {
    let encoding = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| not_read(label))?;
    encoding.decode_without_bom_handling_and_without_replacement(bytes).ok_or_else(|| not_in(encoding.name()))
}

#[cfg(not(feature = "encodings"))]
fn decode_rare<'a>(label: &str, _bytes: &'a [u8]) -> Result<Cow<'a, str>, Failure> {
    Err(not_read(label))
}

fn not_in(name: &str) -> Failure {
    Failure::malformed(format!("not in the encoding {name}"))
}

fn not_read(label: &str) -> Failure {
    let hint = if cfg!(feature = "encodings") { "" } else { "; see the feature `encodings`" };
    Failure::malformed(format!("the encoding `{}` is not read{hint}", short(label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_upper_half_has_its_128_characters() {
        for upper in [WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1254, ISO_8859_2, ISO_8859_15] {
            assert_eq!(upper.chars().count(), 128, "{upper}");
        }
    }

    #[test]
    fn the_charset_is_one_parameter_of_a_content_type() {
        assert_eq!(charset_of("text/xml; Charset=\"ISO-8859-1\""), Some("ISO-8859-1"));
        assert_eq!(charset_of("text/xml;a=b;charset=utf-8 ; c=d"), Some("utf-8"));
        assert_eq!(charset_of("text/xml"), None);
        assert_eq!(charset_of("charset=x"), None);
    }

    #[cfg(feature = "encodings")]
    #[test]
    fn rare_encodings_are_read_with_the_feature() {
        assert_eq!(decode_as("Shift_JIS", b"\x82\xa0").unwrap(), "\u{3042}");
        assert!(decode_as("Shift_JIS", b"\x82").unwrap_err().message.contains("Shift_JIS"));
        assert!(decode_as("x-none", b"a").unwrap_err().message.contains("`x-none` is not read"));
    }
}
