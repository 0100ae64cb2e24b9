//! Which methods and headers a guest may set, and within which limits.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::text::echo;

/// The most headers of a request or an answer.
pub(crate) const MAX_HEADERS: usize = 128;
/// The most bytes of a request's or an answer's headers, names and values together.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_METHOD_BYTES: usize = 16;
/// The longest text of a guest that an error repeats, in bytes.
const MAX_ECHO_BYTES: usize = 64;

/// The headers that the host or the connection sets. All names that begin with `proxy-` are refused, too.
const FORBIDDEN: [&str; 11] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A guest's method: a token in capitals that is no tunnel and no echo.
pub(crate) fn parse_method(text: &str) -> Result<Method, String> {
    let token = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !token || !(1..=MAX_METHOD_BYTES).contains(&text.len()) {
        return Err(format!("{:?} is not a method: write it in capitals, as in \"GET\"", echo(text, MAX_ECHO_BYTES)));
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return Err(format!("the method {text} is refused"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text} is not a method"))
}

/// A guest's headers, each of them allowed.
pub(crate) fn parse_headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    if pairs.len() > MAX_HEADERS {
        return Err(format!("the request has {} headers, more than {MAX_HEADERS}", pairs.len()));
    }
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        return Err(format!("the request's headers have {bytes} bytes, more than {MAX_HEADER_BYTES}"));
    }
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let parsed: HeaderName =
            name.parse().map_err(|_| format!("{:?} is not the name of a header", echo(name, MAX_ECHO_BYTES)))?;
        if FORBIDDEN.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
            return Err(format!("only the host sets the header {parsed}; to authenticate, use a credential"));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the value of the header {parsed} holds a control character"))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(name: &str, value: &str) -> Result<HeaderMap, String> {
        parse_headers(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_is_the_hosts_is_refused_in_any_spelling() {
        let names = [
            "Host",
            "AUTHORIZATION",
            "cookie",
            "Proxy-Authorization",
            "proxy-anything",
            "Connection",
            "content-LENGTH",
            "Transfer-Encoding",
            "Upgrade",
            "TE",
            "Keep-Alive",
        ];
        for name in names {
            assert!(one(name, "x").is_err_and(|why| why.contains("only the host sets")), "{name}");
        }
        for (name, value) in [("", "x"), ("a b", "x"), ("a:b", "x"), ("x", "a\rb"), ("x", "a\nb"), ("x", "a\0b")] {
            assert!(one(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert_eq!(one("User-Agent", "Damper é\t1").unwrap().len(), 1);
    }

    #[test]
    fn limits_hold() {
        let many = vec![("x".to_owned(), String::new()); MAX_HEADERS + 1];
        assert!(parse_headers(&many).is_err());
        assert!(one("x", &"y".repeat(MAX_HEADER_BYTES)).is_err());
    }

    #[test]
    fn a_method_is_a_word_in_capitals() {
        for text in ["GET", "POST", "PATCH", "M-SEARCH"] {
            assert_eq!(parse_method(text).unwrap(), text);
        }
        for text in ["", "get", "GET ", "G\r\nT", "CONNECT", "TRACE", "AVERYLONGMETHODNAME"] {
            assert!(parse_method(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_that_passes_splits_a_header(name in "\\PC{0,12}", value in any::<String>()) {
            if let Ok(headers) = one(&name, &value) {
                for (name, value) in &headers {
                    prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                    prop_assert!(!FORBIDDEN.contains(&name.as_str()));
                }
            }
        }
    }
}
