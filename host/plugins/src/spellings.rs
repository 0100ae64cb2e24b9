//! How a secret may turn up in what an API or a guest says. Texts alone; what is done about them is the scrubber's.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The shortest secret that is also looked for in its rarer spellings, in bytes: those of a shorter one turn up by chance.
const MIN_BYTES: usize = 6;

/// A secret in every way in which it may be spelled: as it is, in base64, percent-encoded and as a form's value; where it is not
/// all too short also in base64's other alphabets, with small hexadecimal digits, in a JSON string, and in hexadecimal. Of
/// `user:password` the password likewise where `is_basic`. The longest first, each once, none empty.
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
    let json = serde_json::Value::from(text).to_string();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default().to_owned();
    let hexadecimal = crate::component_file::hexadecimal(text.as_bytes());
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
    spellings
}

/// All but the bytes that are kept as `%XX`.
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

/// What a URL's path holds as it is, by the URL standard.
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
    fn what_is_all_too_short_is_not_looked_for_in_rare_spellings() {
        assert_eq!(spellings("ab", false), ["YWI=", "ab"]);
        assert!(spellings("", false).is_empty());
    }
}
