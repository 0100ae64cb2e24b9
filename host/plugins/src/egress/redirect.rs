//! Redirects (RFC 9110, section 15.4): the next request, and what it keeps of the first one.

use http::{Method, StatusCode};
use url::Url;

use super::target_url::has_user;
use crate::grants::Origin;

/// The most hops of one request.
pub(crate) const MAX_HOPS: usize = 10;

/// The next request of a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the body goes along: never to another origin, never where the method changed.
    pub(crate) keep_body: bool,
    /// Whether credentials go along: never to another origin.
    pub(crate) keep_credential: bool,
}

/// The next hop after a response to `method` at `url`, if it is a redirect. The error says why a redirect cannot be
/// followed.
pub(crate) fn next_hop(
    status: StatusCode,
    location: Option<&[u8]>,
    method: &Method,
    url: &Url,
) -> Result<Option<Hop>, String> {
    let becomes_get = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::HEAD,
        307 | 308 => false,
        _ => return Ok(None),
    };
    let location = location.ok_or_else(|| format!("status {} without a Location", status.as_u16()))?;
    let text = std::str::from_utf8(location).map_err(|_| "a Location that is not UTF-8".to_owned())?;
    let mut target = url.join(text).map_err(|error| format!("a Location that cannot be read: {error}"))?;
    target.set_fragment(None);
    if has_user(&target) {
        return Err("a Location with a user name or a password".to_owned());
    }
    let same_origin = Origin::of(&target).is_some() && Origin::of(&target) == Origin::of(url);
    let method = if becomes_get { Method::GET } else { method.clone() };
    Ok(Some(Hop { url: target, method, keep_body: same_origin && !becomes_get, keep_credential: same_origin }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(status: u16, location: &str, method: Method) -> Result<Option<Hop>, String> {
        let url = Url::parse("https://a.test/dir/page").unwrap();
        next_hop(StatusCode::from_u16(status).unwrap(), Some(location.as_bytes()), &method, &url)
    }

    #[test]
    fn methods_change_as_the_standard_says() {
        let cases = [
            (301, Method::GET, Method::GET),
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (302, Method::PUT, Method::PUT),
            (303, Method::PUT, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::POST, Method::POST),
        ];
        for (status, before, after) in cases {
            let hop = hop(status, "/x", before.clone()).unwrap().unwrap();
            assert_eq!(hop.method, after, "{status} {before}");
            assert_eq!(hop.keep_body, before == after || before == Method::HEAD, "{status} {before}");
            assert!(hop.keep_credential);
        }
        for status in [200, 204, 300, 304, 305, 404] {
            assert_eq!(hop(status, "/x", Method::GET), Ok(None), "{status}");
        }
    }

    #[test]
    fn another_origin_gets_neither_body_nor_credential() {
        let cases = [
            ("https://a.test:8443/", false),
            ("http://a.test/", false),
            ("https://b.test/", false),
            ("//b.test/", false),
            ("https://A.test:443/y", true),
            ("other", true),
            ("#top", true),
        ];
        for (location, same) in cases {
            let hop = hop(307, location, Method::POST).unwrap().unwrap();
            assert_eq!((hop.keep_body, hop.keep_credential), (same, same), "{location}");
            assert_eq!(hop.url.fragment(), None);
        }
    }

    #[test]
    fn a_location_that_leads_nowhere_is_an_error() {
        for location in ["https://user:pw@a.test/", "https://", "http://[::1"] {
            assert!(hop(302, location, Method::GET).is_err(), "{location}");
        }
        let url = Url::parse("https://a.test/").unwrap();
        assert!(next_hop(StatusCode::FOUND, None, &Method::GET, &url).is_err());
        assert!(next_hop(StatusCode::FOUND, Some(b"/\xff"), &Method::GET, &url).is_err());
    }
}
