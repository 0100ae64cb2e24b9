//! One request through its redirects, each hop checked like a first request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use super::wear::Worn;
use super::{Answer, HttpClient, Response, answer};
use crate::bindings::damper::provider::http::{HttpError, Request};
use crate::call::{Call, InFlight, NotSent};
use crate::egress::redirect::{self, Hop, MAX_HOPS};
use crate::egress::{Route, headers, parse_url};
use crate::noted::{AnswerNote, RequestNote};

/// The API does not accept the credential.
const UNAUTHORIZED: u16 = 401;

/// A request on its way. It is shared with what notes it.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) credentials: Vec<String>,
    /// Whether a server has chosen the URL, rather than the guest.
    pub(crate) is_redirected: bool,
}

/// What a hop ended in.
enum Step {
    Whole(Box<Response>),
    Next(Hop),
}

impl Step {
    fn note(&self) -> AnswerNote {
        match self {
            Self::Whole(answer) => {
                AnswerNote::Whole { headers: Arc::clone(&answer.headers), body: Arc::clone(&answer.body) }
            }
            Self::Next(hop) => AnswerNote::Location(hop.url.clone()),
        }
    }
}

impl Outgoing {
    fn read(request: Request) -> Result<Self, HttpError> {
        let invalid = HttpError::Invalid;
        Ok(Self {
            method: headers::method(&request.method).map_err(invalid)?,
            url: parse_url(&request.url).map_err(invalid)?,
            headers: headers::headers(&request.headers).map_err(invalid)?,
            body: request.body.unwrap_or_default().into(),
            credentials: request.credentials,
            is_redirected: false,
        })
    }

    /// Moves on to the next hop, with what may be taken along.
    fn advance(&mut self, hop: Hop) {
        self.url = hop.url;
        self.is_redirected = true;
        self.method = hop.method;
        if !hop.keep_body {
            self.body = Bytes::new();
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
                self.headers.remove(name);
            }
        }
        if !hop.keep_credential {
            self.credentials.clear();
        }
    }
}

impl HttpClient {
    /// Sends a request and follows where it leads.
    pub(super) async fn follow(&self, call: &Arc<Call>, lane: &mut InFlight, request: Request) -> Answer {
        let started = Instant::now();
        let mut outgoing = Arc::new(Outgoing::read(request)?);
        for _ in 0..=MAX_HOPS {
            match self.hop(call, lane, &outgoing).await? {
                Step::Whole(mut response) => {
                    response.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Ok(*response);
                }
                Step::Next(hop) => Arc::make_mut(&mut outgoing).advance(hop),
            }
        }
        Err(HttpError::Redirects(format!("more than {MAX_HOPS}")))
    }

    /// One hop. A credential that the API does not accept is renewed where it can be, and then the hop is done once more:
    /// what was refused so was not done, so that this is no retry of a failure.
    async fn hop(&self, call: &Arc<Call>, lane: &mut InFlight, outgoing: &Arc<Outgoing>) -> Result<Step, HttpError> {
        let mut is_renewed = false;
        loop {
            let ready = self.ready(call, lane, outgoing).await;
            let (worn, result) = self.noted_hop(call, lane, outgoing, ready).await;
            let is_refused = match &result {
                Ok(Step::Whole(answer)) => answer.status == UNAUTHORIZED,
                Ok(Step::Next(_)) => false,
                Err(error) => worn.iter().any(Worn::is_certificate) && answer::is_certificate_refused(error),
            };
            if !is_refused || is_renewed || !self.renewed(call, lane, outgoing, worn).await? {
                return result;
            }
            is_renewed = true;
        }
    }

    /// Whether a request may be sent, how, and with what.
    async fn ready(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Outgoing,
    ) -> Result<(Route, Vec<Worn>), HttpError> {
        let route = self.policy.check(&outgoing.url).map_err(HttpError::Denied)?;
        let mut worn = Vec::with_capacity(outgoing.credentials.len());
        for name in &outgoing.credentials {
            worn.push(self.worn(call, lane, name, &outgoing.url).await?);
        }
        Ok((route, worn))
    }

    /// One hop: sent, answered, and noted. Gives back what was worn.
    async fn noted_hop(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Arc<Outgoing>,
        ready: Result<(Route, Vec<Worn>), HttpError>,
    ) -> (Vec<Worn>, Result<Step, HttpError>) {
        let note = call.note(|keeps| RequestNote::of(outgoing, keeps));
        let (worn, result) = match ready {
            Ok((route, worn)) => {
                let result = self.sent(call, lane, outgoing, route, &worn).await;
                (worn, result)
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        // A server's text may hold a secret. The guest's own text goes back as it came: were secrets taken out there, a guest could guess
        // them without a request.
        let result = result
            .map_err(|error| if outgoing.is_redirected { answer::scrubbed(error, &self.scrubber) } else { error });
        if let Some(note) = note {
            match &result {
                Ok((status, length, step)) => note.answered(*status, *length, Some(step.note())),
                Err(error) => note.failed(answer::explain(error)),
            }
        }
        (worn, result.map(|(_, _, step)| step))
    }

    async fn sent(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Outgoing,
        route: Route,
        worn: &[Worn],
    ) -> Result<(u16, usize, Step), HttpError> {
        let request = self.dressed(outgoing, worn);
        let client = match worn.iter().find_map(Worn::certificate) {
            Some(certificate) => self.connections.client_showing(certificate, route),
            None => self.connections.client(route),
        };
        let client = client.map_err(HttpError::Other)?;
        lane.send().map_err(not_sent)?;
        let unfinished = self.connections.begin(&outgoing.url);
        let response = client.execute(request).await;
        let step = match response {
            Ok(response) => {
                self.connections.note_version(response.version());
                let step = self.answered(call, response, outgoing, route).await;
                // A response that is not read to its end goes on coming.
                if step.is_ok() {
                    unfinished.finish();
                }
                step
            }
            Err(error) => {
                unfinished.finish();
                Err(answer::error(&error, &self.scrubber))
            }
        };
        lane.ended();
        step
    }

    /// The request as it goes onto the wire, with its credentials.
    fn dressed(&self, outgoing: &Outgoing, worn: &[Worn]) -> reqwest::Request {
        let mut request = reqwest::Request::new(outgoing.method.clone(), outgoing.url.clone());
        let headers = request.headers_mut();
        headers.clone_from(&outgoing.headers);
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        for (name, value) in worn.iter().filter_map(Worn::header) {
            headers.insert(name, value);
        }
        if !outgoing.body.is_empty() {
            *request.body_mut() = Some(outgoing.body.clone().into());
        }
        request
    }

    async fn answered(
        &self,
        call: &Arc<Call>,
        response: reqwest::Response,
        outgoing: &Outgoing,
        route: Route,
    ) -> Result<(u16, usize, Step), HttpError> {
        let status = response.status();
        let location = response.headers().get(LOCATION).map(http::HeaderValue::as_bytes);
        let hop = redirect::next(status, location, &outgoing.method, &outgoing.url);
        let hop = hop.map_err(|why| answer::scrubbed(HttpError::Redirects(why), &self.scrubber))?;
        if let Some(hop) = hop {
            tracing::debug!(provider = %self.provider, status = status.as_u16(), ?route, "following a redirect");
            return Ok((status.as_u16(), 0, Step::Next(hop)));
        }
        let (whole, has_secret) =
            answer::read(response, outgoing, self.response_bytes, &self.scrubber, &call.memory).await?;
        if has_secret {
            self.warn_of_echo(outgoing);
        }
        Ok((status.as_u16(), whole.body.len(), Step::Whole(Box::new(whole))))
    }

    /// An answer held a secret. That is worth an operator's attention, and no flood of the log.
    fn warn_of_echo(&self, outgoing: &Outgoing) {
        let count = self.echoes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if count.is_power_of_two() {
            tracing::warn!(
                provider = %self.provider, host = outgoing.url.host_str(), count,
                "the API repeats a secret in its answers: it was taken out, but the API should not do that"
            );
        }
    }
}

/// A request that is not sent.
fn not_sent(why: NotSent) -> HttpError {
    match why {
        NotSent::OutOfQuota => HttpError::Denied("the day's quota of requests is spent".to_owned()),
        NotSent::TimeOver => HttpError::TimedOut,
    }
}
