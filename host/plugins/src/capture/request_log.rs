//! The log of a call's requests. While the call runs, an entry shares the request and the response without copying or
//! scrubbing them. It becomes text only if somebody reads it; if the fetch returns a record, it is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use super::level::CaptureLevel;
use super::request::OutgoingRequest;
use super::trace::{RecordedExchange, RecordedResponse, RequestTrace};
use crate::memory::HEADER_BYTES;
use crate::redaction::Scrubber;

/// The longest URL in a trace, in bytes.
const MAX_URL_SHOWN: usize = 2_048;

/// The size of an entry beside texts and bodies, in bytes.
const ENTRY_BYTES: usize = 512;

/// A request and its outcome. It may contain secrets, and is read only through [`RequestLogEntry::into_trace`].
pub(crate) struct RequestLogEntry {
    request: LoggedRequest,
    outcome: Result<u16, String>,
    duration: Duration,
    request_bytes: usize,
    response_bytes: usize,
    response: Option<ResponseLogEntry>,
}

enum LoggedRequest {
    /// Method and URL alone.
    Line(Method, Url),
    /// With its headers, and bodies up to this number of bytes.
    Full(Arc<OutgoingRequest>, usize),
}

/// A response.
pub(crate) enum ResponseLogEntry {
    /// As the guest got it.
    Whole { headers: Arc<Vec<(String, String)>>, body: Arc<Vec<u8>> },
    /// The target of a redirect.
    Location(Url),
}

impl RequestLogEntry {
    /// An entry for a request of a guest, as far as the capture level asks for it.
    pub(crate) fn of(request: &Arc<OutgoingRequest>, capture_level: CaptureLevel) -> Self {
        let logged = match capture_level.max_body_bytes() {
            None => LoggedRequest::Line(request.method.clone(), request.url.clone()),
            Some(most) if request.body.len() <= most => LoggedRequest::Full(Arc::clone(request), most),
            Some(most) => {
                let body = Bytes::copy_from_slice(prefix(&request.body, most));
                LoggedRequest::Full(Arc::new(OutgoingRequest { body, ..OutgoingRequest::clone(request) }), most)
            }
        };
        Self::new(logged, request.body.len())
    }

    /// An entry for a request of the host's own. All but its method and URL is secret, in the request and in the
    /// response.
    pub(crate) fn of_secret_request(request: &reqwest::Request) -> Self {
        let request_bytes = request.body().and_then(reqwest::Body::as_bytes).map_or(0, <[u8]>::len);
        Self::new(LoggedRequest::Line(request.method().clone(), request.url().clone()), request_bytes)
    }

    fn new(request: LoggedRequest, request_bytes: usize) -> Self {
        let outcome = Err("no answer in time".to_owned());
        Self { request, outcome, duration: Duration::ZERO, request_bytes, response_bytes: 0, response: None }
    }

    /// The memory that the entry holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let (url, rest) = match &self.request {
            LoggedRequest::Line(_, url) => (url, 0),
            LoggedRequest::Full(request, _) => {
                let headers =
                    request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
                let credentials = request.credentials.iter().map(String::len);
                (&request.url, headers.chain(credentials).sum::<usize>() + request.body.len())
            }
        };
        ENTRY_BYTES + url.as_str().len() + rest
    }

    /// The part of a response that is logged, if any.
    pub(crate) fn truncate_response(&self, response: ResponseLogEntry) -> Option<ResponseLogEntry> {
        match self.request {
            LoggedRequest::Line(..) => None,
            LoggedRequest::Full(_, most_bytes) => Some(response.truncate_to(most_bytes)),
        }
    }

    /// Records a response of so many bytes, and the part of it that is logged.
    pub(crate) fn record_response(&mut self, status: u16, response_bytes: usize, response: Option<ResponseLogEntry>) {
        self.outcome = Ok(status);
        self.response_bytes = response_bytes;
        self.response = response;
    }

    /// Records that there was no whole response.
    pub(crate) fn record_failure(&mut self, why: String) {
        self.outcome = Err(why);
    }

    /// Records the duration, from sending to the last byte.
    pub(crate) fn record_duration(&mut self, duration: Duration) {
        self.duration = duration;
    }

    /// Converts the entry for people and files: without secrets.
    pub(crate) fn into_trace(self, scrubber: &Scrubber) -> RequestTrace {
        let (method, url, request) = match &self.request {
            LoggedRequest::Line(method, url) => (method, url, None),
            LoggedRequest::Full(request, _) => (&request.method, &request.url, Some(request)),
        };
        let recorded = request.map(|request| {
            Box::new(RecordedExchange {
                headers: scrub_headers(&request.headers, scrubber),
                body: scrubber.scrub_bytes(request.body.to_vec()),
                credentials: request.credentials.clone(),
                response: self.response.map(|response| response.into_recorded(scrubber)),
            })
        });
        RequestTrace {
            method: method.to_string(),
            url: scrubber.to_line(url.as_str(), MAX_URL_SHOWN),
            // A guest gets its own text back as it was; a person sees no secret in it.
            outcome: self.outcome.map_err(|why| scrubber.to_line(&why, MAX_URL_SHOWN)),
            duration: self.duration,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            recorded,
        }
    }
}

impl ResponseLogEntry {
    /// The memory that is held for it, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole { headers, body } => {
                headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES).sum::<usize>() + body.len()
            }
            Self::Location(url) => url.as_str().len(),
        }
    }

    /// Copies the logged part of a larger body, rather than hold the whole body in memory for the rest of the call.
    fn truncate_to(self, most_bytes: usize) -> Self {
        match self {
            Self::Whole { headers, body } if body.len() > most_bytes => {
                Self::Whole { headers, body: Arc::new(prefix(&body, most_bytes).to_vec()) }
            }
            small => small,
        }
    }

    /// The guest's response has no secrets. The guest does not see a redirect's target, so that is scrubbed here.
    fn into_recorded(self, scrubber: &Scrubber) -> RecordedResponse {
        match self {
            Self::Whole { headers, body } => {
                RecordedResponse { headers: Arc::unwrap_or_clone(headers), body: Arc::unwrap_or_clone(body) }
            }
            Self::Location(url) => {
                let location = scrubber.scrub_text(url.as_str()).into_owned();
                RecordedResponse { headers: vec![(LOCATION.to_string(), location)], body: Vec::new() }
            }
        }
    }
}

fn scrub_headers(headers: &HeaderMap, scrubber: &Scrubber) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| scrubber.scrub_text(&String::from_utf8_lossy(value.as_bytes())).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The first bytes of a body.
fn prefix(body: &[u8], most_bytes: usize) -> &[u8] {
    body.get(..most_bytes).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use damper_core::bundle::MAX_BODY_BYTES;

    use super::*;

    fn request(body: Bytes) -> Arc<OutgoingRequest> {
        let url = Url::parse("https://api.test/hunter2").unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("hunter2"))]);
        Arc::new(OutgoingRequest {
            method: Method::POST,
            url,
            headers,
            body,
            credentials: Vec::new(),
            is_redirected: false,
        })
    }

    #[test]
    fn a_fetch_that_may_still_bring_a_record_copies_nothing() {
        let (request, body) = (request(Bytes::from_static(b"hunter2")), Arc::new(vec![0; MAX_BODY_BYTES]));
        let headers = Arc::new(vec![("content-type".to_owned(), "text/plain".to_owned())]);
        let mut entry = RequestLogEntry::of(&request, CaptureLevel::Bundle);
        let response = ResponseLogEntry::Whole { headers: Arc::clone(&headers), body: Arc::clone(&body) };
        let response = entry.truncate_response(response);
        entry.record_response(200, body.len(), response);
        assert_eq!([Arc::strong_count(&request), Arc::strong_count(&headers), Arc::strong_count(&body)], [2; 3]);
    }

    #[test]
    fn what_is_too_large_to_be_kept_is_not_held_either() {
        let (request, body) =
            (request(Bytes::from(vec![0; MAX_BODY_BYTES + 1])), Arc::new(vec![0; MAX_BODY_BYTES + 1]));
        let mut entry = RequestLogEntry::of(&request, CaptureLevel::Bundle);
        let response =
            entry.truncate_response(ResponseLogEntry::Whole { headers: Arc::default(), body: Arc::clone(&body) });
        entry.record_response(200, body.len(), response);
        assert_eq!((Arc::strong_count(&request), Arc::strong_count(&body)), (1, 1));
        let recorded = entry.into_trace(&Scrubber::default()).recorded.unwrap();
        assert_eq!((recorded.body.len(), recorded.response.unwrap().body.len()), (MAX_BODY_BYTES, MAX_BODY_BYTES));
    }

    #[test]
    fn a_note_is_told_without_what_became_a_secret_after_it_was_sent() {
        let mut entry = RequestLogEntry::of(&request(Bytes::from_static(b"hunter2")), CaptureLevel::Bundle);
        entry.record_response(
            302,
            0,
            Some(ResponseLogEntry::Location(Url::parse("https://api.test/?key=hunter2").unwrap())),
        );
        let scrubber = Scrubber::default();
        scrubber.learn("key", vec!["hunter2".to_owned()]).unwrap();
        let shown = format!("{:?}", entry.into_trace(&scrubber));
        assert!(!shown.contains("hunter2") && shown.contains("[secret]"), "{shown}");
    }
}
