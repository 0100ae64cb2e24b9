//! Ids that try to break out of where they are put.

use url::Url;

use crate::case::ForeseenRequest;
use crate::network::ReceivedRequest;

/// The ids. Each is one that a stream may hold.
pub(super) const IDS: [&str; 18] = [
    "a/b",
    "../../admin",
    "..",
    ".",
    "%2e%2e",
    "%2e%2e%2fadmin",
    "a?x=1&y=2",
    "a&b=c",
    "a#b",
    "a\"b'c`d",
    "a\\b",
    "a\nb",
    "a\r\nX-Evil: 1\r\n\r\n",
    "a b;c:d@e",
    "a%b",
    "<a href=\"x\">&amp;]]>",
    "\",\"evil\":\"",
    "Zürich 東京 \u{202e}🦀",
];

/// How a request is other than the good case's, where an id has broken out; none: it is of the same shape.
pub(super) fn break_out(good: &ForeseenRequest, good_body: Option<&[u8]>, sent: &ReceivedRequest) -> Option<String> {
    let (url, good_url) = (&sent.url, &good.url);
    let origin = |url: &Url| url.origin().ascii_serialization();
    if sent.method != good.method {
        return Some(format!("the method is {}, not {}", sent.method, good.method));
    }
    if origin(url) != origin(good_url) {
        return Some(format!("the request went to {}, not to {}", origin(url), origin(good_url)));
    }
    let segments = |url: &Url| url.path_segments().map_or(0, Iterator::count);
    if segments(url) != segments(good_url) {
        return Some(format!("the path has {} segments, not {}: {}", segments(url), segments(good_url), url.path()));
    }
    let keys = |url: &Url| url.query_pairs().map(|(key, _)| key.into_owned()).collect::<Vec<_>>();
    if keys(url) != keys(good_url) {
        return Some(format!("the query has the keys {:?}, not {:?}", keys(url), keys(good_url)));
    }
    let body = good_body.filter(|good| shape(good) != shape(&sent.body));
    body.map(|_| "the body is of another shape".to_owned())
}

/// The parts of a body that an id must not change: JSON's keys, XML's marks, a form's names.
fn shape(body: &[u8]) -> Vec<String> {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        let mut keys = Vec::new();
        json_keys(&value, &mut keys);
        return keys;
    }
    if body.trim_ascii_start().starts_with(b"<") {
        let marks = body.iter().filter(|byte| **byte == b'<').count();
        return vec![marks.to_string()];
    }
    url::form_urlencoded::parse(body).map(|(key, _)| key.into_owned()).collect()
}

fn json_keys(value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                keys.push(key.clone());
                json_keys(value, keys);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| json_keys(value, keys)),
        _ => {}
    }
}
