//! One request through its redirects, each hop checked like a first request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{LOCATION, USER_AGENT};
use tokio::time::Instant;

use super::authenticate::{AppliedCredential, UNAUTHORIZED};
use super::client::HttpClient;
use super::http_error;
use super::key_rotation::TriedKeys;
use super::response::{self, Response, SendResult};
use crate::bindings::damper::provider::http::{HttpError, Request};
use crate::call::{GuestCall, RequestSlot, SendRefusal};
use crate::capture::{OutgoingRequest, RequestLogEntry, ResponseLogEntry};
use crate::credentials::KeyPermit;
use crate::egress::redirect::{self, Hop, MAX_HOPS};
use crate::egress::{Route, remove_parameter, set_parameter};

/// The outcome of a hop.
enum HopOutcome {
    Response(Box<Response>),
    Redirect(Hop),
}

impl HopOutcome {
    fn log_entry(&self) -> ResponseLogEntry {
        match self {
            Self::Response(answer) => {
                ResponseLogEntry::Whole { headers: Arc::clone(&answer.headers), body: Arc::clone(&answer.body) }
            }
            Self::Redirect(hop) => ResponseLogEntry::Location(hop.url.clone()),
        }
    }
}

impl HttpClient {
    /// Sends a request and follows redirects.
    pub(super) async fn send_following_redirects(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        request: Request,
    ) -> SendResult {
        let started = Instant::now();
        let mut outgoing = Arc::new(OutgoingRequest::parse(request)?);
        for _ in 0..=MAX_HOPS {
            match self.send_with_renewal(call, slot, &outgoing).await? {
                HopOutcome::Response(mut response) => {
                    response.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Ok(*response);
                }
                HopOutcome::Redirect(hop) => Arc::make_mut(&mut outgoing).advance(hop),
            }
        }
        Err(HttpError::Redirects(format!("more than {MAX_HOPS}")))
    }

    /// Sends one hop. If the API does not accept a credential that can be renewed, it is renewed and the hop is sent
    /// once more; if it refuses one of several keys, the hop is sent with another. The API did not process the refused
    /// request, so this is no retry of a failure.
    async fn send_with_renewal(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &Arc<OutgoingRequest>,
    ) -> Result<HopOutcome, HttpError> {
        let (mut is_renewed, mut tried) = (false, TriedKeys::default());
        loop {
            let authorized = self.authorize(call, slot, outgoing, &tried.all).await;
            let (applied, result) = self.send_and_log(call, slot, outgoing, authorized).await;
            let is_refused = match &result {
                // Without one, keys with which the guest had texts signed are renewed.
                Ok(HopOutcome::Response(answer)) => match applied.as_slice() {
                    [] => answer.status == UNAUTHORIZED,
                    applied => applied.iter().any(|applied| applied.is_refused_by(answer.status)),
                },
                Ok(HopOutcome::Redirect(_)) => false,
                Err(error) => {
                    applied.iter().any(AppliedCredential::is_certificate) && http_error::is_certificate_refused(error)
                }
            };
            if is_refused && !is_renewed && self.renew_credentials(call, slot, outgoing, &applied).await? {
                is_renewed = true;
                continue;
            }
            match &result {
                Ok(HopOutcome::Response(answer)) if self.try_other_key(outgoing, &applied, answer, &mut tried) => {}
                _ => return result,
            }
        }
    }

    /// Checks the egress policy, and applies the credentials.
    async fn authorize(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &OutgoingRequest,
        tried: &[usize],
    ) -> Result<(Route, Vec<AppliedCredential>), HttpError> {
        let route = self.policy.check(&outgoing.url).map_err(HttpError::Denied)?;
        let mut applied = Vec::with_capacity(outgoing.credentials.len());
        for name in &outgoing.credentials {
            applied.push(self.apply_credential(call, slot, name, &outgoing.url, tried).await?);
        }
        Ok((route, applied))
    }

    /// Sends one hop and logs it. Returns the applied credentials and the outcome.
    async fn send_and_log(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &Arc<OutgoingRequest>,
        authorized: Result<(Route, Vec<AppliedCredential>), HttpError>,
    ) -> (Vec<AppliedCredential>, Result<HopOutcome, HttpError>) {
        let entry = call.start_log_entry(|level| RequestLogEntry::of(outgoing, level));
        let (applied, result) = match authorized {
            Ok((route, applied)) => {
                let result = self.send_once(call, slot, outgoing, route, &applied).await;
                (applied, result)
            }
            Err(error) => (Vec::new(), Err(error)),
        };
        // A server's text may contain a secret. The guest's own text is returned unchanged: if secrets were removed
        // from it, a guest could guess them without a request.
        let result =
            result.map_err(
                |error| if outgoing.is_redirected { http_error::scrub_error(error, &self.scrubber) } else { error },
            );
        if let Some(entry) = entry {
            match &result {
                Ok((status, length, outcome)) => entry.record_response(*status, *length, Some(outcome.log_entry())),
                Err(error) => entry.record_failure(http_error::explain(error)),
            }
        }
        (applied, result.map(|(_, _, outcome)| outcome))
    }

    async fn send_once(
        &self,
        call: &Arc<GuestCall>,
        slot: &mut RequestSlot,
        outgoing: &OutgoingRequest,
        route: Route,
        applied: &[AppliedCredential],
    ) -> Result<(u16, usize, HopOutcome), HttpError> {
        let mut request = self.build_request(outgoing, applied);
        applied.iter().try_for_each(|applied| applied.sign(&mut request))?;
        let client = match applied.iter().find_map(AppliedCredential::certificate) {
            Some(certificate) => self.connections.client_with_certificate(certificate, route),
            None => self.connections.client(route),
        };
        let client = client.map_err(HttpError::Other)?;
        self.check_day_of_permits(call, applied)?;
        slot.begin_send().map_err(refusal_error)?;
        applied.iter().filter_map(AppliedCredential::permit).for_each(KeyPermit::mark_sent);
        let unfinished = self.connections.start_request(&outgoing.url);
        let pending = client.execute(request);
        // Not kept while the request waits.
        drop(client);
        let response = pending.await;
        let is_answered = response.is_ok();
        let outcome = match response {
            Ok(response) => {
                self.connections.record_http_version(response.version());
                // On the heap, so that a request is no larger while it waits for its response.
                Box::pin(self.read_response(call, response, outgoing, route, applied)).await
            }
            Err(error) => Err(http_error::to_http_error(&error, &self.scrubber)),
        };
        // A response that is not read to its end keeps arriving.
        if outcome.is_ok() || !is_answered {
            unfinished.finish();
        }
        slot.on_request_done();
        outcome
    }

    /// Builds the request as it is sent, with its credentials.
    fn build_request(&self, outgoing: &OutgoingRequest, applied: &[AppliedCredential]) -> reqwest::Request {
        let mut url = outgoing.url.clone();
        for (name, value) in applied.iter().filter_map(AppliedCredential::parameter) {
            set_parameter(&mut url, name, value);
        }
        let mut request = reqwest::Request::new(outgoing.method.clone(), url);
        let headers = request.headers_mut();
        headers.clone_from(&outgoing.headers);
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        for (name, value) in applied.iter().filter_map(AppliedCredential::header) {
            headers.insert(name, value);
        }
        if !outgoing.body.is_empty() {
            *request.body_mut() = Some(outgoing.body.clone().into());
        }
        request
    }

    async fn read_response(
        &self,
        call: &Arc<GuestCall>,
        response: reqwest::Response,
        outgoing: &OutgoingRequest,
        route: Route,
        applied: &[AppliedCredential],
    ) -> Result<(u16, usize, HopOutcome), HttpError> {
        let status = response.status();
        let location = response.headers().get(LOCATION).map(http::HeaderValue::as_bytes);
        let hop = redirect::next_hop(status, location, &outgoing.method, &outgoing.url);
        let hop = hop.map_err(|why| http_error::scrub_error(HttpError::Redirects(why), &self.scrubber))?;
        if let Some(mut hop) = hop {
            self.take_parameters_out(&mut hop, applied)?;
            tracing::debug!(provider = %self.provider, status = status.as_u16(), ?route, "following a redirect");
            return Ok((status.as_u16(), 0, HopOutcome::Redirect(hop)));
        }
        let (whole, has_secret) =
            response::read(response, outgoing, self.response_bytes, &self.scrubber, &call.memory).await?;
        if has_secret {
            self.warn_of_echo(outgoing);
        }
        Ok((status.as_u16(), whole.body.len(), HopOutcome::Response(Box::new(whole))))
    }

    /// Removes secrets from the URL of a redirect, where a server repeats the query of the request: they are applied
    /// again if the redirect stays at the origin, and must not go to another one.
    fn take_parameters_out(&self, hop: &mut Hop, applied: &[AppliedCredential]) -> Result<(), HttpError> {
        let mut parameters = applied.iter().filter_map(AppliedCredential::parameter).peekable();
        if parameters.peek().is_none() {
            return Ok(());
        }
        for (name, value) in parameters {
            remove_parameter(&mut hop.url, name, value);
        }
        if !hop.keep_credential && self.scrubber.replace(hop.url.as_str().as_bytes()).is_some() {
            return Err(HttpError::Redirects("to another origin, with a secret in the URL".to_owned()));
        }
        Ok(())
    }

    /// Warns of a response with a secret, ever less often.
    fn warn_of_echo(&self, outgoing: &OutgoingRequest) {
        let count = self.echoes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // In a test environment the response is a test's, which may repeat a secret on purpose.
        if count.is_power_of_two() && !self.connections.are_of_test() {
            tracing::warn!(
                provider = %self.provider, host = outgoing.url.host_str(), count,
                "a response contained a secret; it was replaced by [secret]. Report this to the operator of the API"
            );
        }
    }
}

/// The error of a request that is not sent.
fn refusal_error(why: SendRefusal) -> HttpError {
    match why {
        SendRefusal::OutOfQuota => HttpError::Denied("the day's quota of requests is spent".to_owned()),
        SendRefusal::TimeOver => HttpError::TimedOut,
    }
}
