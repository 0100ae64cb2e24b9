//! Requests with one of several keys: a key that the API refuses rests, and the request is sent again with another.

use http::HeaderMap;
use tokio::time::Instant;

use super::authenticate::{AppliedCredential, UsedKey};
use super::client::HttpClient;
use super::response::Response;
use crate::capture::OutgoingRequest;
use crate::credentials::{BoundCredential, KeyVerdict, REFUSED_REST, retry_after};
use crate::grants::Origin;

/// The keys with which one request was tried.
#[derive(Debug, Default)]
pub(super) struct TriedKeys {
    /// All of them.
    pub(super) all: Vec<usize>,
    /// Those with which the API refused the request.
    suspects: Vec<usize>,
}

impl HttpClient {
    /// Lets a key rest that the API refused. Returns whether the request is to be sent again with another key.
    pub(super) fn try_other_key(
        &self,
        outgoing: &OutgoingRequest,
        applied: &[AppliedCredential],
        answer: &Response,
        tried: &mut TriedKeys,
    ) -> bool {
        let verdict = KeyVerdict::of(answer.status, || find_retry_after(answer));
        // Nearly every response: the credential need not be looked up.
        if verdict == KeyVerdict::Unknown || (verdict == KeyVerdict::Accepted && tried.suspects.is_empty()) {
            return false;
        }
        // With several credentials, a refusal does not say which one is meant.
        let ([name], [AppliedCredential::Secret(_, UsedKey { number: key, .. })]) =
            (outgoing.credentials.as_slice(), applied)
        else {
            return false;
        };
        let origin = Origin::of(&outgoing.url);
        let bound = origin.and_then(|origin| self.credentials.for_request(name, &origin).ok());
        let Some(bound) = bound.filter(|bound| !bound.pool.is_single()) else { return false };
        let now = Instant::now();
        match verdict {
            KeyVerdict::Unknown => return false,
            KeyVerdict::Accepted => {
                for suspect in tried.suspects.drain(..) {
                    self.rest_refused_key(name, bound, suspect, now);
                }
                return false;
            }
            KeyVerdict::Throttled(wait) => bound.pool.rest(*key, wait, now),
            KeyVerdict::Suspect => tried.suspects.push(*key),
        }
        tried.all.push(*key);
        bound.pool.has_other(&tried.all, now, |key| bound.quota_wait(key, now))
    }

    fn rest_refused_key(&self, name: &str, bound: &BoundCredential, key: usize, now: Instant) {
        bound.pool.rest(key, REFUSED_REST, now);
        let (provider, place) = (&self.provider, bound.key(key).place());
        tracing::warn!(%provider, credential = name, place, "the API refuses this key and accepts another one; it is not used for ten minutes. Replace it");
    }
}

fn find_retry_after(answer: &Response) -> Option<std::time::Duration> {
    let header = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
    retry_after(&answer.headers.iter().filter_map(header).collect::<HeaderMap>())
}
