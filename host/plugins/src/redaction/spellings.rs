//! The spellings in which a secret may appear in the output of an API or a guest. The scrubber uses them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The shortest secret that is also looked for in its rarer spellings, in bytes: those of a shorter one turn up by
/// chance.
const MIN_BYTES: usize = 6;

/// The longest secret that is looked for with each of its characters escaped, in bytes. Longer ones are keys and
/// tokens, whose characters nobody has to escape.
const MAX_ESCAPED_BYTES: usize = 256;

/// All spellings of a secret: as it is, in base64, percent-encoded and as a form's value. If it is long enough, also
/// within a longer base64 text, in base64's other alphabet, with lower-case hexadecimal digits, in a JSON string, in
/// HTML, in hexadecimal, and in UTF-16 if it is ASCII. If `is_basic`, also all spellings of the password in
/// `user:password`. The longest first, each once, none empty.
#[must_use]
pub fn spellings(secret: &str, is_basic: bool) -> Vec<String> {
    let mut spellings = of(secret);
    if let Some((_, password)) = secret.split_once(':').filter(|_| is_basic) {
        spellings.extend(of(password));
    }
    spellings.retain(|spelling| !spelling.is_empty());
    spellings.sort_by(|one, other| (other.len(), one).cmp(&(one.len(), other)));
    spellings.dedup();
    spellings
}

fn of(text: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let mut spellings = vec![text.to_owned(), STANDARD.encode(text), form, percent_encoded(text, is_unreserved, true)];
    if text.len() < MIN_BYTES {
        return spellings;
    }
    let json = json_escaped(text);
    let hexadecimal = crate::digest::hexadecimal(text.as_bytes());
    spellings.extend([
        STANDARD_NO_PAD.encode(text),
        URL_SAFE.encode(text),
        URL_SAFE_NO_PAD.encode(text),
        percent_encoded(text, is_unreserved, false),
        percent_encoded(text, is_in_path, true),
        json.replace('/', "\\/"),
        json,
        hexadecimal.to_ascii_uppercase(),
        hexadecimal,
    ]);
    spellings.extend(within_base64(text));
    spellings.extend(ESCAPED_QUOTES.map(|quotes| html_escaped(text, quotes)));
    // As in scripts in HTML, and as Python writes JSON.
    let in_script = |character: char| "<>&'\"".contains(character);
    spellings.extend([true, false].map(|is_lower| unicode_escaped(text, in_script, is_lower)));
    spellings.extend([true, false].map(|is_lower| unicode_escaped(text, |character| !character.is_ascii(), is_lower)));
    if text.len() <= MAX_ESCAPED_BYTES {
        spellings.extend([true, false].map(|is_lower| unicode_escaped(text, |_| true, is_lower)));
        spellings.extend([true, false].map(|is_upper| percent_encoded(text, |_| false, is_upper)));
        spellings.push(text.chars().map(|character| format!("&#{};", u32::from(character))).collect());
        spellings.push(text.chars().map(|character| format!("&#x{:x};", u32::from(character))).collect());
        spellings.push(text.chars().map(|character| format!("&#x{:X};", u32::from(character))).collect());
    }
    if text.is_ascii() {
        spellings.push(text.chars().flat_map(|character| [character, '\0']).collect());
        spellings.push(text.chars().flat_map(|character| ['\0', character]).collect());
    }
    spellings
}

/// The text as it stands in the middle of a longer base64 text. Its offset modulo three decides its spelling. The
/// characters at its ends also contain bits of its neighbours, and are left out.
fn within_base64(text: &str) -> impl Iterator<Item = String> {
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD].into_iter().flat_map(move |alphabet| {
        (0..3_usize).map(move |offset| {
            let mut bytes = vec![0; offset];
            bytes.extend_from_slice(text.as_bytes());
            let (first, end) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
            alphabet.encode(bytes).get(first..end).unwrap_or_default().to_owned()
        })
    })
}

/// How a double and a single quote are written in HTML.
const ESCAPED_QUOTES: [(&str, &str); 4] =
    [("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "&apos;"), ("&#34;", "&#39;")];

fn html_escaped(text: &str, (double_quote, single_quote): (&str, &str)) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str(double_quote),
            '\'' => escaped.push_str(single_quote),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The inside of a JSON string.
fn json_escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// The inside of a JSON string in which certain characters are written as `\u` and four digits for each unit of UTF-16.
fn unicode_escaped(text: &str, is_escaped: impl Fn(char) -> bool, is_lower: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if !is_escaped(character) {
            escaped.push_str(&json_escaped(character.encode_utf8(&mut [0; 4])));
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&if is_lower { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") });
        }
    }
    escaped
}

/// All but the bytes that are kept as `%XX`.
/// A parameter's value in a URL's query: everything but RFC 3986's unreserved characters is escaped. One of the
/// [`spellings`].
pub(crate) fn query_value(text: &str) -> String {
    percent_encoded(text, is_unreserved, true)
}

fn percent_encoded(text: &str, keeps: fn(u8) -> bool, is_upper: bool) -> String {
    let each = |byte: u8| match (keeps(byte), is_upper) {
        (true, _) => char::from(byte).to_string(),
        (false, true) => format!("%{byte:02X}"),
        (false, false) => format!("%{byte:02x}"),
    };
    text.bytes().map(each).collect()
}

/// RFC 3986's unreserved characters.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The bytes that a URL's path contains unescaped, by the URL standard.
fn is_in_path(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#%<>?`{}^|\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_known_once_and_the_longest_is_first() {
        let known = spellings("user:pa ss/+\"", true);
        for spelling in [
            "user:pa ss/+\"",
            "dXNlcjpwYSBzcy8rIg==",
            "dXNlcjpwYSBzcy8rIg",
            "user%3Apa+ss%2F%2B%22",
            "user%3Apa%20ss%2F%2B%22",
            "user%3apa%20ss%2f%2b%22",
            "user:pa%20ss/+%22",
            "user:pa ss/+\\\"",
            "user:pa ss\\/+\\\"",
            "757365723a70612073732f2b22",
            "pa ss/+\"",
            "70612073732F2B22",
        ] {
            assert_eq!(known.iter().filter(|known| *known == spelling).count(), 1, "{spelling}");
        }
        assert!(known.is_sorted_by_key(|spelling| std::cmp::Reverse(spelling.len())));
        assert!(!spellings("user:password", false).contains(&"password".to_owned()));
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands_in_a_base64_text() {
        let secret = "s3cret-of-many";
        let known = spellings(secret, false);
        for alphabet in [STANDARD, URL_SAFE] {
            for (before, after) in [("", ""), ("u:", ""), ("us:", "x"), ("use:", "\n\n"), ("{\"k\":\"", "\"}")] {
                let text = alphabet.encode(format!("{before}{secret}{after}"));
                let found = known.iter().find(|spelling| text.contains(*spelling));
                let found = found.unwrap_or_else(|| panic!("{text}"));
                // Two bytes of the secret at the most are among what its neighbours share.
                assert!(found.len() * 6 / 8 >= secret.len() - 2, "{found}");
            }
        }
    }

    #[test]
    fn a_secret_is_known_with_each_of_its_characters_escaped() {
        let known = spellings("pa<'\"\u{e9}&1", false);
        for spelling in [
            "pa&lt;&#39;&quot;\u{e9}&amp;1",
            "pa&lt;&#x27;&quot;\u{e9}&amp;1",
            "pa\\u003c\\u0027\\u0022\u{e9}\\u00261",
            "pa\\u003C\\u0027\\u0022\u{e9}\\u00261",
            "pa<'\\\"\\u00e9&1",
            "\\u0070\\u0061\\u003c\\u0027\\u0022\\u00e9\\u0026\\u0031",
            "&#112;&#97;&#60;&#39;&#34;&#233;&#38;&#49;",
            "&#x70;&#x61;&#x3c;&#x27;&#x22;&#xe9;&#x26;&#x31;",
            "%70%61%3c%27%22%c3%a9%26%31",
        ] {
            assert!(known.iter().any(|known| known == spelling), "{spelling} of {known:#?}");
        }
        assert!(spellings("hunter2", false).contains(&"h\0u\0n\0t\0e\0r\x002\0".to_owned()));
        assert!(spellings("hunter2", false).contains(&"\0h\0u\0n\0t\0e\0r\x002".to_owned()));
    }

    #[test]
    fn what_is_all_too_short_is_not_looked_for_in_rare_spellings() {
        assert_eq!(spellings("ab", false), ["YWI=", "ab"]);
        assert!(spellings("", false).is_empty());
    }
}
