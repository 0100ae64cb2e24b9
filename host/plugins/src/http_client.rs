//! A provider's HTTP client: it sends the requests that the egress policy allows, hop by hop, and returns whole responses.

mod authenticate;
mod connections;
mod exchange;
mod response;
mod tokens;

use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use wasmtime::component::{ComponentType, Lower};

pub(crate) use authenticate::SigningKeyError;
pub use connections::ProxyError;
pub(crate) use connections::{Clients, Connections};
pub(crate) use exchange::OutgoingRequest;

use crate::bindings::damper::provider::http::{HttpError, Request};
use crate::credentials::Credentials;
use crate::egress::EgressPolicy;
use crate::guest_call::{GuestCall, RequestSlot};
use crate::text::Scrubber;

/// The most requests of one `send-all`.
pub(crate) const MAX_REQUESTS: usize = 64;

type SendResult = Result<Response, HttpError>;

/// The contract's `response`. Headers and body are shared with the request log, unlike in the generated type, so that a response is copied
/// only once, into the guest.
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
    /// The User-Agent of a request that sets none.
    pub(crate) user_agent: http::HeaderValue,
    pub(crate) policy: EgressPolicy,
    pub(crate) credentials: Credentials,
    pub(crate) scrubber: Arc<Scrubber>,
    pub(crate) connections: Connections,
    /// The largest body of a response, decompressed.
    pub(crate) response_bytes: u64,
    /// The number of responses that contained a secret.
    pub(crate) echoes: AtomicU64,
}

impl HttpClient {
    /// Sends one request and waits for its whole response.
    pub(crate) async fn send(&self, call: &Arc<GuestCall>, request: Request) -> SendResult {
        match call.start_request() {
            Some(mut slot) => self.send_in_slot(call, &mut slot, request).await,
            None => Err(no_permit_error()),
        }
    }

    /// Sends several requests, in parallel as far as there are permits. The responses have the order of the requests.
    pub(crate) async fn send_all(&self, call: &Arc<GuestCall>, requests: Vec<Request>) -> Vec<SendResult> {
        let count = requests.len();
        let slots = (0..count).map_while(|_| call.start_request());
        let queue = Mutex::new(requests.into_iter().enumerate());
        let answers = join_all(slots.map(|slot| self.send_queued(call, slot, &queue))).await;
        let mut ordered: Vec<SendResult> = (0..count).map(|_| Err(no_permit_error())).collect();
        for (index, answer) in answers.into_iter().flatten() {
            if let Some(place) = ordered.get_mut(index) {
                *place = answer;
            }
        }
        ordered
    }

    /// Sends the requests of the queue one after another, as long as the API responds.
    async fn send_queued(
        &self,
        call: &Arc<GuestCall>,
        mut slot: RequestSlot,
        queue: &Mutex<impl Iterator<Item = (usize, Request)>>,
    ) -> Vec<(usize, SendResult)> {
        let mut answers = Vec::new();
        while slot.is_free() {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, request)) = next else { break };
            answers.push((index, self.send_in_slot(call, &mut slot, request).await));
        }
        answers
    }

    async fn send_in_slot(&self, call: &Arc<GuestCall>, slot: &mut RequestSlot, request: Request) -> SendResult {
        // One future on this stack, with or without a timeout.
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let mut sending = pin!(self.send_following_redirects(call, slot, request));
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, sending.as_mut()).await.unwrap_or(Err(HttpError::TimedOut)),
            None => sending.await,
        }
    }
}

fn no_permit_error() -> HttpError {
    let why =
        "an earlier request of this call still waits for its response, and the provider's concurrency allows no other";
    HttpError::Other(why.to_owned())
}

#[cfg(test)]
mod tests;
