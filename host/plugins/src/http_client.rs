//! A provider's HTTP client: it sends what the egress policy allows, hop by hop, and brings whole answers back.

mod answer;
mod connections;
mod exchange;
mod tokens;
mod wear;

use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use wasmtime::component::{ComponentType, Lower};

pub use connections::ProxyError;
pub(crate) use connections::{Clients, Connections};
pub(crate) use exchange::Outgoing;
pub(crate) use wear::NoKey;

use crate::bindings::damper::provider::http::{HttpError, Request};
use crate::call::{Call, InFlight};
use crate::credentials::Credentials;
use crate::egress::EgressPolicy;
use crate::text::Scrubber;

/// The most requests of one `send-all`.
pub(crate) const MAX_REQUESTS: usize = 64;

type Answer = Result<Response, HttpError>;

/// The contract's `response`. What the generated type would own is shared here with what notes it, so that an answer is copied
/// once, into the guest.
#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Arc<Vec<(String, String)>>,
    pub(crate) body: Arc<Vec<u8>>,
    pub(crate) url: String,
    #[component(name = "duration-ms")]
    pub(crate) duration_ms: u64,
    pub(crate) extras: Vec<(String, String)>,
}

/// One provider's HTTP client.
pub(crate) struct HttpClient {
    /// The provider, for messages.
    pub(crate) provider: String,
    /// What a request says that names no User-Agent.
    pub(crate) user_agent: http::HeaderValue,
    pub(crate) policy: EgressPolicy,
    pub(crate) credentials: Credentials,
    pub(crate) scrubber: Arc<Scrubber>,
    pub(crate) connections: Connections,
    /// The largest body of an answer, decompressed.
    pub(crate) response_bytes: u64,
    /// How many answers held a secret.
    pub(crate) echoes: AtomicU64,
}

impl HttpClient {
    /// Sends one request and waits for its whole answer.
    pub(crate) async fn send(&self, call: &Arc<Call>, request: Request) -> Answer {
        match call.start_request() {
            Some(mut lane) => self.send_on(call, &mut lane, request).await,
            None => Err(no_room()),
        }
    }

    /// Sends several requests, side by side as far as there is room, else one after another. The answers come in the order of
    /// the requests.
    pub(crate) async fn send_all(&self, call: &Arc<Call>, requests: Vec<Request>) -> Vec<Answer> {
        let count = requests.len();
        let lanes = (0..count).map_while(|_| call.start_request());
        let queue = Mutex::new(requests.into_iter().enumerate());
        let answers = join_all(lanes.map(|lane| self.work_off(call, lane, &queue))).await;
        let mut ordered: Vec<Answer> = (0..count).map(|_| Err(no_room())).collect();
        for (index, answer) in answers.into_iter().flatten() {
            if let Some(place) = ordered.get_mut(index) {
                *place = answer;
            }
        }
        ordered
    }

    /// Sends what is in the queue, one after another, as long as the API answers.
    async fn work_off(
        &self,
        call: &Arc<Call>,
        mut lane: InFlight,
        queue: &Mutex<impl Iterator<Item = (usize, Request)>>,
    ) -> Vec<(usize, Answer)> {
        let mut answers = Vec::new();
        while lane.is_free() {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, request)) = next else { break };
            answers.push((index, self.send_on(call, &mut lane, request).await));
        }
        answers
    }

    async fn send_on(&self, call: &Arc<Call>, lane: &mut InFlight, request: Request) -> Answer {
        // One future on this stack, however it is awaited.
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let mut sending = pin!(self.follow(call, lane, request));
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, sending.as_mut()).await.unwrap_or(Err(HttpError::TimedOut)),
            None => sending.await,
        }
    }
}

fn no_room() -> HttpError {
    let why =
        "an earlier request of this call has had no answer, and the provider's concurrency has no room for another";
    HttpError::Other(why.to_owned())
}

#[cfg(test)]
mod tests;
