//! A request as it is noted while a call runs: what is at hand already, shared and neither copied nor scrubbed. Only who wants
//! to see it turns it into words; where a record comes, nobody does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use crate::call::{Keeps, RequestTrace};
use crate::host_memory::HEADER_BYTES;
use crate::http_client::Outgoing;
use crate::recorded::{Recorded, RecordedAnswer};
use crate::text::Scrubber;

/// The longest URL in a trace, in bytes.
const MAX_URL_SHOWN: usize = 2_048;

/// The room of a note beside texts and bodies, in bytes.
const NOTE_BYTES: usize = 512;

/// A request, and what came of it. It may hold secrets, and goes nowhere but through [`RequestNote::into_trace`].
pub(crate) struct RequestNote {
    request: Noted,
    outcome: Result<u16, String>,
    duration: Duration,
    request_bytes: usize,
    response_bytes: usize,
    answer: Option<AnswerNote>,
}

enum Noted {
    /// Method and URL alone.
    Line(Method, Url),
    /// With its headers and so much of the bodies.
    Whole(Arc<Outgoing>, usize),
}

/// An answer.
pub(crate) enum AnswerNote {
    /// As the guest was given it.
    Whole { headers: Arc<Vec<(String, String)>>, body: Arc<Vec<u8>> },
    /// Of a redirect, where it leads.
    Location(Url),
}

impl RequestNote {
    /// A request that a guest sent, as far as it is kept.
    pub(crate) fn of(request: &Arc<Outgoing>, keeps: Keeps) -> Self {
        let noted = match keeps.body_bytes() {
            None => Noted::Line(request.method.clone(), request.url.clone()),
            Some(most) if request.body.len() <= most => Noted::Whole(Arc::clone(request), most),
            Some(most) => {
                let body = Bytes::copy_from_slice(beginning(&request.body, most));
                Noted::Whole(Arc::new(Outgoing { body, ..Outgoing::clone(request) }), most)
            }
        };
        Self::new(noted, request.body.len())
    }

    /// A request of the host's own, of which all but method and URL is secret on both sides.
    pub(crate) fn secret(request: &reqwest::Request) -> Self {
        let request_bytes = request.body().and_then(reqwest::Body::as_bytes).map_or(0, <[u8]>::len);
        Self::new(Noted::Line(request.method().clone(), request.url().clone()), request_bytes)
    }

    fn new(request: Noted, request_bytes: usize) -> Self {
        let outcome = Err("no answer in time".to_owned());
        Self { request, outcome, duration: Duration::ZERO, request_bytes, response_bytes: 0, answer: None }
    }

    /// The memory that the note holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let (url, rest) = match &self.request {
            Noted::Line(_, url) => (url, 0),
            Noted::Whole(request, _) => {
                let headers =
                    request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
                let credentials = request.credentials.iter().map(String::len);
                (&request.url, headers.chain(credentials).sum::<usize>() + request.body.len())
            }
        };
        NOTE_BYTES + url.as_str().len() + rest
    }

    /// As much of an answer as is kept; none: nothing.
    pub(crate) fn cut(&self, answer: AnswerNote) -> Option<AnswerNote> {
        match self.request {
            Noted::Line(..) => None,
            Noted::Whole(_, most_bytes) => Some(answer.within(most_bytes)),
        }
    }

    /// An answer of so many bytes came, of which this is kept.
    pub(crate) fn answered(&mut self, status: u16, response_bytes: usize, answer: Option<AnswerNote>) {
        self.outcome = Ok(status);
        self.response_bytes = response_bytes;
        self.answer = answer;
    }

    /// No whole answer came.
    pub(crate) fn failed(&mut self, why: String) {
        self.outcome = Err(why);
    }

    /// It took so long, from sending to the last byte.
    pub(crate) fn took(&mut self, duration: Duration) {
        self.duration = duration;
    }

    /// The request as it may be shown and kept: without secrets.
    pub(crate) fn into_trace(self, scrubber: &Scrubber) -> RequestTrace {
        let (method, url, request) = match &self.request {
            Noted::Line(method, url) => (method, url, None),
            Noted::Whole(request, _) => (&request.method, &request.url, Some(request)),
        };
        let recorded = request.map(|request| {
            Box::new(Recorded {
                headers: scrubbed(&request.headers, scrubber),
                body: scrubber.bytes(request.body.to_vec()),
                credentials: request.credentials.clone(),
                answer: self.answer.map(|answer| answer.told(scrubber)),
            })
        });
        RequestTrace {
            method: method.to_string(),
            url: scrubber.shown(url.as_str(), MAX_URL_SHOWN),
            // A guest gets its own text back as it was; a person sees no secret in it.
            outcome: self.outcome.map_err(|why| scrubber.shown(&why, MAX_URL_SHOWN)),
            duration: self.duration,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            recorded,
        }
    }
}

impl AnswerNote {
    /// The memory that is held for it, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole { headers, body } => {
                headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES).sum::<usize>() + body.len()
            }
            Self::Location(url) => url.as_str().len(),
        }
    }

    /// What is larger than what is kept is copied rather than held in memory for the rest of the call.
    fn within(self, most_bytes: usize) -> Self {
        match self {
            Self::Whole { headers, body } if body.len() > most_bytes => {
                Self::Whole { headers, body: Arc::new(beginning(&body, most_bytes).to_vec()) }
            }
            small => small,
        }
    }

    /// What the guest was given has no secrets; where a redirect leads it did not see.
    fn told(self, scrubber: &Scrubber) -> RecordedAnswer {
        match self {
            Self::Whole { headers, body } => {
                RecordedAnswer { headers: Arc::unwrap_or_clone(headers), body: Arc::unwrap_or_clone(body) }
            }
            Self::Location(url) => {
                let location = scrubber.text(url.as_str()).into_owned();
                RecordedAnswer { headers: vec![(LOCATION.to_string(), location)], body: Vec::new() }
            }
        }
    }
}

fn scrubbed(headers: &HeaderMap, scrubber: &Scrubber) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| scrubber.text(&String::from_utf8_lossy(value.as_bytes())).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// The first bytes of a body.
fn beginning(body: &[u8], most_bytes: usize) -> &[u8] {
    body.get(..most_bytes).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use damper_core::bundle::MAX_BODY_BYTES;

    use super::*;

    fn request(body: Bytes) -> Arc<Outgoing> {
        let url = Url::parse("https://api.test/hunter2").unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("hunter2"))]);
        Arc::new(Outgoing { method: Method::POST, url, headers, body, credentials: Vec::new(), is_redirected: false })
    }

    #[test]
    fn a_fetch_that_may_still_bring_a_record_copies_nothing() {
        let (request, body) = (request(Bytes::from_static(b"hunter2")), Arc::new(vec![0; MAX_BODY_BYTES]));
        let headers = Arc::new(vec![("content-type".to_owned(), "text/plain".to_owned())]);
        let mut note = RequestNote::of(&request, Keeps::Bundle);
        let answer = AnswerNote::Whole { headers: Arc::clone(&headers), body: Arc::clone(&body) };
        let answer = note.cut(answer);
        note.answered(200, body.len(), answer);
        assert_eq!([Arc::strong_count(&request), Arc::strong_count(&headers), Arc::strong_count(&body)], [2; 3]);
    }

    #[test]
    fn what_is_too_large_to_be_kept_is_not_held_either() {
        let (request, body) =
            (request(Bytes::from(vec![0; MAX_BODY_BYTES + 1])), Arc::new(vec![0; MAX_BODY_BYTES + 1]));
        let mut note = RequestNote::of(&request, Keeps::Bundle);
        let answer = note.cut(AnswerNote::Whole { headers: Arc::default(), body: Arc::clone(&body) });
        note.answered(200, body.len(), answer);
        assert_eq!((Arc::strong_count(&request), Arc::strong_count(&body)), (1, 1));
        let recorded = note.into_trace(&Scrubber::default()).recorded.unwrap();
        assert_eq!((recorded.body.len(), recorded.answer.unwrap().body.len()), (MAX_BODY_BYTES, MAX_BODY_BYTES));
    }

    #[test]
    fn a_note_is_told_without_what_became_a_secret_after_it_was_sent() {
        let mut note = RequestNote::of(&request(Bytes::from_static(b"hunter2")), Keeps::Bundle);
        note.answered(302, 0, Some(AnswerNote::Location(Url::parse("https://api.test/?key=hunter2").unwrap())));
        let scrubber = Scrubber::default();
        scrubber.learn("key", vec!["hunter2".to_owned()]).unwrap();
        let told = format!("{:?}", note.into_trace(&scrubber));
        assert!(!told.contains("hunter2") && told.contains("[secret]"), "{told}");
    }
}
