//! URLs that a guest asks for, and where an API redirects to.

use damper_plugins::fuzzing::{Policy, next_hop, parse_url};
use damper_plugins::grants::Origin;
use http::{Method, StatusCode};
use url::Url;

use crate::message::check_message;
use crate::parts::choose;

const MAX_URL_BYTES: usize = 16 * 1024;
const ASKED: [&str; 2] = ["api.example.org", "asked.example.org"];
const GRANTED: [&str; 2] = ["api.example.org", "granted.example.org"];
const PRIVATE: [&str; 2] = ["http://127.0.0.1:8085", "https://inside.test:8443"];
const BASES: [&str; 3] =
    ["https://api.example.org/v1/things?page=2", "http://127.0.0.1:8085/a", "https://inside.test:8443/"];
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::HEAD];
const STATUSES: [u16; 8] = [301, 302, 303, 307, 308, 300, 304, 200];

/// The data: a byte each for status, method and the URL that is redirected, and a URL or a Location. A request that
/// passes goes to an origin that was asked for and granted; neither body nor credential follow a redirect to another
/// one.
pub fn redirect(data: &[u8]) {
    let [status, method, base, text @ ..] = data else { return };
    if let Ok(text) = std::str::from_utf8(text) {
        check_url(text);
    }
    let url = parse_url(choose::<&str>(&BASES, *base)).expect("a base is a URL");
    let status = StatusCode::from_u16(*choose(&STATUSES, *status)).expect("a status");
    follow(status, text, choose(&METHODS, *method).clone(), url);
}

fn policy() -> Policy {
    let origins = |hosts: [&str; 2]| hosts.iter().map(|host| Origin::https(host).expect("a host")).collect();
    Policy::new(
        origins(ASKED),
        origins(GRANTED),
        PRIVATE.iter().map(|origin| origin.parse().expect("an origin")).collect(),
    )
}

fn check_url(text: &str) {
    let url = match parse_url(text) {
        Ok(url) => url,
        Err(why) => return check_message(&why),
    };
    assert!(text.len() <= MAX_URL_BYTES && matches!(url.scheme(), "http" | "https"));
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url), "a URL is read as it is written");
    check_policy(&url);
}

fn check_policy(url: &Url) {
    match policy().check(url) {
        Ok(is_private) => {
            let origin = Origin::of(url).expect("what passes has an origin").to_string();
            let expected =
                if is_private { PRIVATE.contains(&origin.as_str()) } else { origin == "https://api.example.org" };
            assert!(expected, "{url} passes, and goes to {origin}");
        }
        Err(why) => check_message(&why),
    }
    match policy().check_named(url) {
        Ok(is_private) => assert!(is_private || url.scheme() == "https", "{url}"),
        Err(why) => check_message(&why),
    }
}

/// Follows redirects as long as they lead on to the same place, which is at most a few times.
fn follow(status: StatusCode, location: &[u8], mut method: Method, mut url: Url) {
    for _ in 0..4 {
        let hop = match next_hop(status, Some(location), &method, &url) {
            Ok(Some(hop)) => hop,
            Ok(None) => return assert!(!matches!(status.as_u16(), 301 | 302 | 307 | 308), "{status} is a redirect"),
            Err(why) => return check_message(&why),
        };
        assert!(hop.url.fragment().is_none() && hop.url.username().is_empty() && hop.url.password().is_none());
        let is_same = Origin::of(&hop.url).is_some() && Origin::of(&hop.url) == Origin::of(&url);
        assert_eq!(hop.keep_credential, is_same, "{url} -> {}", hop.url);
        assert!(!hop.keep_body || (is_same && hop.method == method), "{url} -> {}", hop.url);
        assert!(hop.method == method || hop.method == Method::GET);
        check_policy(&hop.url);
        (method, url) = (hop.method, hop.url);
    }
}
