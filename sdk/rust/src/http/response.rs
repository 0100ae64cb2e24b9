//! One whole answer.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::retry_after;
use crate::{Failure, FailureKind, text};

/// Headers in which APIs say when they count requests anew.
const RATE_LIMIT_RESETS: [&str; 3] = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];

/// One whole answer, of whatever status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    method: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    url: String,
    duration: Duration,
}

impl Response {
    pub(crate) fn new(
        method: String,
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        url: String,
        duration: Duration,
    ) -> Self {
        Response { method, status, headers, body, url, duration }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of a name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case, in the order received.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From sending the first request to the last byte of the answer.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The body, decompressed.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body itself.
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    /// The body as text: by its byte order mark, the charset of its content type, or as UTF-8; see [`text::decode`].
    ///
    /// # Errors
    ///
    /// `malformed` where it is not in that encoding, or it is not read.
    pub fn text(&self) -> Result<Cow<'_, str>, Failure> {
        text::decode(&self.body, self.header("content-type")).map_err(|failure| self.with_location(failure))
    }

    /// That the body is UTF-8.
    pub(crate) fn check_utf8(&self) -> Result<(), Failure> {
        std::str::from_utf8(&self.body).map(drop).map_err(|error| self.with_location(error.into()))
    }

    /// The body parsed as JSON, into a type of one's own or a [`json::Value`](crate::json::Value).
    ///
    /// # Errors
    ///
    /// `malformed` where it is not JSON, or not of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| self.with_location(error.into()))
    }

    /// The body parsed as XML, in its encoding; see [`xml::parse_as`](crate::xml::parse_as).
    ///
    /// # Errors
    ///
    /// `malformed` where it is not well-formed, or refused; see [`xml`](crate::xml).
    #[cfg(feature = "xml")]
    pub fn xml(&self) -> Result<crate::xml::Element, Failure> {
        crate::xml::parse_as(&self.body, self.header("content-type")).map_err(|failure| self.with_location(failure))
    }

    /// How long the API asks to be left alone (Retry-After), from now.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::parse(self.header("retry-after")?, self.header("date"), retry_after::wall_clock)
    }

    /// How long until the API counts requests anew, from now: RateLimit-Reset (of the IETF's draft), X-RateLimit-Reset
    /// or X-Rate-Limit-Reset, in seconds or as a Unix time. It says nothing of whether the requests so far are too
    /// many.
    pub fn rate_limit_reset(&self) -> Option<Duration> {
        let reset = RATE_LIMIT_RESETS.iter().find_map(|name| self.header(name))?;
        retry_after::reset(reset, self.header("date"), retry_after::wall_clock)
    }

    /// This answer if its status is 2xx, else the failure that the status stands for.
    ///
    /// # Errors
    ///
    /// As in the table at the [crate's top](crate). The message names method, URL (without its query), status, and the
    /// beginning of a body that is text.
    ///
    /// ```
    /// # use damper_sdk::prelude::*;
    /// # let mut api = damper_sdk::testing::Api::new();
    /// # api.get("https://api.example.org/thing").answer_header("retry-after", "7").answers(429, "slow down");
    /// # api.run(|| {
    /// let failure = http::get("https://api.example.org/thing").send().unwrap().ok().unwrap_err();
    /// assert_eq!(failure.kind, FailureKind::Throttled);
    /// assert_eq!(failure.retry_after.unwrap().as_secs(), 7);
    /// assert_eq!(
    ///     failure.message,
    ///     "GET https://api.example.org/thing answered 429 Too Many Requests: slow down"
    /// );
    /// # });
    /// ```
    pub fn ok(self) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(self.failure()),
        }
    }

    /// The failure that a status other than 2xx stands for.
    fn failure(&self) -> Failure {
        let kind = match self.status {
            429 => FailureKind::Throttled,
            408 => FailureKind::TimedOut,
            401 | 403 | 407 => FailureKind::Unauthorized,
            404 | 410 => FailureKind::NotFound,
            400..=499 => FailureKind::Rejected,
            500..=599 => FailureKind::Unavailable,
            _ => FailureKind::Malformed,
        };
        let wait = match kind {
            FailureKind::Throttled => self.retry_after().or_else(|| self.rate_limit_reset()),
            FailureKind::Unavailable => self.retry_after(),
            _ => None,
        };
        let reason = match reason_phrase(self.status) {
            "" => String::new(),
            phrase => format!(" {phrase}"),
        };
        let excerpt = match text::body_excerpt(&self.body) {
            Some(excerpt) => format!(": {excerpt}"),
            None => String::new(),
        };
        let message = format!("{} answered {}{reason}{excerpt}", self.place(), self.status);
        let mut failure = Failure::new(kind, message).with_status(self.status);
        failure.retry_after = wait;
        failure
    }

    /// A failure to read the body, with where it came from.
    fn with_location(&self, mut failure: Failure) -> Failure {
        failure.message = format!("{}: {}", self.place(), failure.message);
        failure.with_status(self.status)
    }

    /// Method and URL; the query stays out, since it is where APIs put keys.
    fn place(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        format!("{} {url}", self.method)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(status: u16, headers: Vec<(String, String)>, body: &str) -> Self {
        Response::new(
            "GET".to_owned(),
            status,
            headers,
            body.into(),
            "https://api.example.org/thing?key=s3cret".to_owned(),
            Duration::from_millis(5),
        )
    }
}

/// The reason phrase of a status (RFC 9110 and 6585); nothing for the less usual.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response::for_tests(status, headers, body).ok().unwrap_err()
    }

    #[test]
    fn each_status_becomes_the_documented_failure() {
        for (status, kind) in [
            (100, FailureKind::Malformed),
            (302, FailureKind::Malformed),
            (304, FailureKind::Malformed),
            (400, FailureKind::Rejected),
            (401, FailureKind::Unauthorized),
            (403, FailureKind::Unauthorized),
            (404, FailureKind::NotFound),
            (408, FailureKind::TimedOut),
            (410, FailureKind::NotFound),
            (422, FailureKind::Rejected),
            (429, FailureKind::Throttled),
            (500, FailureKind::Unavailable),
            (503, FailureKind::Unavailable),
            (599, FailureKind::Unavailable),
            (999, FailureKind::Malformed),
        ] {
            let failure = failure(status, &[], "");
            assert_eq!(failure.kind, kind, "{status}");
            assert_eq!(failure.status, Some(status));
        }
        for status in [200, 204, 299] {
            assert!(Response::for_tests(status, Vec::new(), "").ok().is_ok());
        }
    }

    #[test]
    fn retry_after_is_carried_by_throttled_and_unavailable_alone() {
        for (status, wait) in [(429, Some(3)), (503, Some(3)), (500, Some(3)), (404, None)] {
            let failure = failure(status, &[("Retry-After", "3")], "");
            assert_eq!(failure.retry_after, wait.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn a_429_without_retry_after_waits_for_the_reset_of_the_rate_headers() {
        let date = ("date", "Thu, 01 Jan 2026 12:00:00 GMT");
        for (status, headers, wait) in [
            (429, vec![("ratelimit-reset", "42")], Some(42)),
            (429, vec![date, ("x-ratelimit-reset", "1767268830")], Some(30)),
            (429, vec![("retry-after", "7"), ("ratelimit-reset", "42")], Some(7)),
            (503, vec![("ratelimit-reset", "42")], None),
            (429, vec![("ratelimit-reset", "soon")], None),
        ] {
            assert_eq!(failure(status, &headers, "").retry_after, wait.map(Duration::from_secs), "{headers:?}");
        }
    }

    #[test]
    fn retry_after_as_a_date_is_measured_from_the_answer_s_date() {
        let failure = failure(
            429,
            &[("date", "Thu, 01 Jan 2026 12:00:00 GMT"), ("retry-after", "Thu, 01 Jan 2026 12:00:30 GMT")],
            "",
        );
        assert_eq!(failure.retry_after, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_message_holds_no_query_and_little_body() {
        let failure = failure(400, &[], &"nope ".repeat(500));
        assert!(!failure.message.contains("s3cret"));
        assert!(failure.message.len() < 300);
        assert!(failure.message.starts_with("GET https://api.example.org/thing answered 400 Bad Request: nope"));
    }

    #[test]
    fn a_body_that_does_not_parse_is_malformed_and_located() {
        let answer = Response::for_tests(200, Vec::new(), "{\"a\": ");
        let failure = answer.json::<serde_json::Value>().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.starts_with("GET https://api.example.org/thing: not the expected JSON"));
        assert_eq!(failure.status, Some(200));
    }
}
