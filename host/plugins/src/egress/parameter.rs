//! Parameters of a URL's query that the host sets or takes out. The rest of the query keeps its bytes.

use url::{Url, form_urlencoded};

/// Sets a parameter, in place of others of its name. Name and value are written as they are in a URL.
pub(crate) fn set_parameter(url: &mut Url, name: &str, value: &str) {
    retain(url, |other, _| other != name);
    let query = match url.query().filter(|query| !query.is_empty()) {
        Some(query) => format!("{query}&{name}={value}"),
        None => format!("{name}={value}"),
    };
    url.set_query(Some(&query));
}

/// Removes a parameter where it has this value, and returns whether it was there. Name and value are written as they
/// are in a URL; other spellings of them are found, too.
///
/// ```
/// let mut url = "https://api.example.org/v1?q=a+b&key=s%33cret&key=other".parse()?;
/// assert!(damper_plugins::remove_parameter(&mut url, "key", "s3cret"));
/// assert_eq!(url.as_str(), "https://api.example.org/v1?q=a+b&key=other");
/// # Ok::<(), url::ParseError>(())
/// ```
pub fn remove_parameter(url: &mut Url, name: &str, value: &str) -> bool {
    let pair = format!("{name}={value}");
    let Some((name, value)) = form_urlencoded::parse(pair.as_bytes()).next() else { return false };
    retain(url, |other, text| other != name || text != value)
}

/// Keeps the parameters of which `keeps` is true, and returns whether any was removed.
fn retain(url: &mut Url, keeps: impl Fn(&str, &str) -> bool) -> bool {
    let Some(query) = url.query() else { return false };
    let is_kept =
        |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(name, value)| keeps(&name, &value));
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    if kept.len() == query.split('&').count() {
        return false;
    }
    let kept = kept.join("&");
    url.set_query(Some(kept.as_str()).filter(|query| !query.is_empty()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(text: &str) -> String {
        let mut url = Url::parse(text).unwrap();
        set_parameter(&mut url, "key", "a%2Fb");
        url.into()
    }

    #[test]
    fn a_parameter_is_added_and_the_rest_stays_as_it_is() {
        for (url, expected) in [
            ("https://a.test/", "https://a.test/?key=a%2Fb"),
            ("https://a.test/?", "https://a.test/?key=a%2Fb"),
            ("https://a.test/?q=x+y%20z&&e", "https://a.test/?q=x+y%20z&&e&key=a%2Fb"),
            ("https://a.test/?key=mine&q=1&k%65y=2", "https://a.test/?q=1&key=a%2Fb"),
            ("https://a.test/?keys=1&Key=2", "https://a.test/?keys=1&Key=2&key=a%2Fb"),
        ] {
            assert_eq!(with_key(url), expected);
        }
    }

    #[test]
    fn a_parameter_is_removed_where_it_has_the_value() {
        for (url, expected) in [
            ("https://a.test/", None),
            ("https://a.test/?q=1&key=other", None),
            ("https://a.test/?key=a%2Fb", Some("https://a.test/")),
            ("https://a.test/?q=%20&key=a/b&key=x", Some("https://a.test/?q=%20&key=x")),
        ] {
            let mut found = Url::parse(url).unwrap();
            let is_removed = remove_parameter(&mut found, "key", "a%2Fb");
            assert_eq!((is_removed, found.as_str()), (expected.is_some(), expected.unwrap_or(url)));
        }
    }
}
