//! One request through its redirects, each hop checked like a first request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use super::{Answer, HttpClient, answer};
use crate::bindings::damper::provider::http::{HttpError, Request, Response};
use crate::call::{Call, InFlight, RequestTrace};
use crate::credentials::Refusal;
use crate::egress::redirect::{self, Hop, MAX_HOPS};
use crate::egress::{Route, headers, parse_url};
use crate::grants::Origin;

/// The longest URL in a trace or an error, in bytes.
const MAX_URL_SHOWN: usize = 2_048;

/// A request on its way.
struct Outgoing {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    credentials: Vec<String>,
}

/// What a hop ended in.
enum Step {
    Whole(Box<Response>),
    Next(Hop),
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
        })
    }

    /// Moves on to the next hop, with what may be taken along.
    fn advance(&mut self, hop: Hop) {
        self.url = hop.url;
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
        let mut outgoing = Outgoing::read(request)?;
        for _ in 0..=MAX_HOPS {
            match self.hop(call, lane, &outgoing).await? {
                Step::Whole(mut response) => {
                    response.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Ok(*response);
                }
                Step::Next(hop) => outgoing.advance(hop),
            }
        }
        Err(HttpError::Redirects(format!("more than {MAX_HOPS}")))
    }

    /// One hop: checked, sent, answered, and noted.
    async fn hop(&self, call: &Arc<Call>, lane: &mut InFlight, outgoing: &Outgoing) -> Result<Step, HttpError> {
        let trace = call.trace(|| RequestTrace {
            method: outgoing.method.to_string(),
            url: self.scrubber.shown(outgoing.url.as_str(), MAX_URL_SHOWN),
            outcome: Err("no answer in time".to_owned()),
            duration: Duration::ZERO,
            request_bytes: outgoing.body.len(),
            response_bytes: 0,
        });
        let result = self.checked_hop(call, lane, outgoing).await;
        if let Some(trace) = trace {
            let (outcome, length) = match &result {
                Ok((status, length, _)) => (Ok(*status), *length),
                Err(error) => (Err(answer::explain(error)), 0),
            };
            trace.ended(outcome, length);
        }
        result.map(|(_, _, step)| step)
    }

    async fn checked_hop(
        &self,
        call: &Arc<Call>,
        lane: &mut InFlight,
        outgoing: &Outgoing,
    ) -> Result<(u16, usize, Step), HttpError> {
        let route = self.policy.check(&outgoing.url).map_err(HttpError::Denied)?;
        let request = self.dressed(call, outgoing)?;
        let client = self.connections.client(route).map_err(|why| HttpError::Other(why.to_owned()))?;
        if !lane.send() {
            return Err(HttpError::Denied("the day's quota of requests is spent".to_owned()));
        }
        let response = client.execute(request).await;
        let step = match response {
            Ok(response) => self.answered(response, outgoing, route).await,
            Err(error) => Err(answer::error(&error, &self.scrubber)),
        };
        lane.ended();
        step
    }

    /// The request as it goes onto the wire, with its credentials.
    fn dressed(&self, call: &Call, outgoing: &Outgoing) -> Result<reqwest::Request, HttpError> {
        let mut request = reqwest::Request::new(outgoing.method.clone(), outgoing.url.clone());
        let headers = request.headers_mut();
        headers.clone_from(&outgoing.headers);
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        for name in &outgoing.credentials {
            let origin = Origin::of(&outgoing.url).ok_or_else(|| HttpError::Denied("no origin".to_owned()))?;
            self.credentials
                .apply(name, &origin, headers)
                .map_err(|refusal| self.refused(call, name, &origin, &refusal))?;
        }
        if !outgoing.body.is_empty() {
            *request.body_mut() = Some(outgoing.body.clone().into());
        }
        Ok(request)
    }

    fn refused(&self, call: &Call, name: &str, origin: &Origin, refusal: &Refusal) -> HttpError {
        match refusal {
            Refusal::NoSuchCredential => {
                let name = name.chars().take(64).collect::<String>();
                HttpError::Invalid(format!("the manifest names no credential {name:?} that can be sent"))
            }
            Refusal::NoSecret => {
                let why = self.no_secret(name);
                call.set_broken(why.clone());
                HttpError::Denied(why)
            }
            Refusal::NotThere => HttpError::Denied(format!("the credential {name:?} may not be sent to {origin}")),
        }
    }

    /// What to do about a credential without a secret.
    pub(crate) fn no_secret(&self, credential: &str) -> String {
        let provider = &self.provider;
        format!(
            "no secret is bound to credential {credential:?}: bind it in damper.toml under [providers.{provider}.credentials.{credential}]"
        )
    }

    async fn answered(
        &self,
        response: reqwest::Response,
        outgoing: &Outgoing,
        route: Route,
    ) -> Result<(u16, usize, Step), HttpError> {
        let status = response.status();
        let location = response.headers().get(LOCATION).map(http::HeaderValue::as_bytes);
        let hop = redirect::next(status, location, &outgoing.method, &outgoing.url).map_err(HttpError::Redirects)?;
        if let Some(hop) = hop {
            tracing::debug!(provider = %self.provider, status = status.as_u16(), ?route, "following a redirect");
            return Ok((status.as_u16(), 0, Step::Next(hop)));
        }
        let whole = answer::read(response, outgoing.url.as_str(), self.response_bytes, &self.scrubber).await?;
        Ok((status.as_u16(), whole.body.len(), Step::Whole(Box::new(whole))))
    }
}
