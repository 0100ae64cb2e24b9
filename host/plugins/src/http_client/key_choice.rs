//! The key of a request: the next in turn that does not rest and has a request left of its daily quota.

use std::sync::Arc;
use std::time::Duration;

use damper_core::record::{Failure, FailureKind};
use tokio::time::Instant;

use super::authenticate::{AppliedCredential, UsedKey};
use super::client::HttpClient;
use crate::bindings::damper::provider::http::HttpError;
use crate::call::GuestCall;
use crate::credentials::{BoundCredential, QuotaRefusal};

/// The wait of an item whose requests cannot be counted, at least.
const UNCOUNTED_WAIT: Duration = Duration::from_secs(5);
/// The wait if other processes have reserved what is left of a quota, or keys may be used soon.
const SHORT_WAIT: Duration = Duration::from_secs(1);

impl HttpClient {
    /// Takes a key that was not tried, with one request of its daily quota if it has one.
    pub(super) async fn take_key(
        &self,
        call: &Arc<GuestCall>,
        name: &str,
        bound: &BoundCredential,
        tried: &[usize],
    ) -> Result<UsedKey, HttpError> {
        let now = Instant::now();
        let picked = bound.pool.pick(tried, now, |key| bound.quota_wait(key, now));
        let number = picked.map_err(|wait| self.on_no_key(call, name, bound, wait))?;
        match bound.quota(number) {
            None => Ok(UsedKey { number, permit: None }),
            // Boxed, so that requests with other keys are no larger.
            Some(_) => Box::pin(self.take_limited_key(call, name, bound, number, tried.to_vec())).await,
        }
    }

    /// Takes the key of this number, or another one if its quota is spent.
    async fn take_limited_key(
        &self,
        call: &Arc<GuestCall>,
        name: &str,
        bound: &BoundCredential,
        first: usize,
        mut excluded: Vec<usize>,
    ) -> Result<UsedKey, HttpError> {
        let (mut number, mut uncounted) = (first, None);
        loop {
            let Some(quota) = bound.quota(number) else { return Ok(UsedKey { number, permit: None }) };
            match quota.take().await {
                Ok(permit) => return Ok(UsedKey { number, permit: Some(permit) }),
                Err(QuotaRefusal::Spent) => excluded.push(number),
                // The other limited keys are counted in the same store.
                Err(QuotaRefusal::Uncounted(why)) => {
                    excluded.extend((0..bound.key_count()).filter(|key| bound.quota(*key).is_some()));
                    uncounted = Some(why);
                }
            }
            let now = Instant::now();
            let next = if bound.pool.is_single() {
                Err(Duration::ZERO)
            } else {
                bound.pool.pick(&excluded, now, |key| bound.quota_wait(key, now))
            };
            number = match (next, &uncounted) {
                (Ok(next), _) => next,
                (Err(_), Some(why)) => return Err(self.on_uncounted_key(call, name, why)),
                (Err(_), None) => {
                    let wait = bound.pool.shortest_wait(now, |key| bound.quota_wait(key, now));
                    return Err(self.on_no_key(call, name, bound, wait));
                }
            };
        }
    }

    /// The day ended while the request was prepared: its permits are of no use.
    pub(super) fn check_day_of_permits(
        &self,
        call: &GuestCall,
        applied: &[AppliedCredential],
    ) -> Result<(), HttpError> {
        if applied.iter().filter_map(AppliedCredential::permit).all(|permit| permit.is_of_today()) {
            return Ok(());
        }
        let message = "the day ended while a request of its quota was prepared: it is sent with the next try";
        call.record_failure(Failure::new(FailureKind::OutOfQuota, message));
        Err(HttpError::Other(message.to_owned()))
    }

    /// A fetch without a key to use fails as throttled, even if the guest returns another failure.
    fn on_no_key(&self, call: &GuestCall, name: &str, bound: &BoundCredential, wait: Duration) -> HttpError {
        let now = Instant::now();
        let count = bound.key_count();
        let spent = (0..count).filter(|key| !bound.quota_wait(*key, now).is_zero()).count();
        let provider = &self.provider;
        let raise = format!(
            "fetches go on when the next day begins; to send more in a day, raise `daily_quota` or add a key under \
             [providers.{provider}.credentials.{name}] in damper.toml"
        );
        let message = match spent {
            0 if count == 1 => {
                format!("other processes have reserved what is left of the daily quota of the credential {name:?}")
            }
            0 => format!("all keys of the credential {name:?} rest: the API has refused each of them"),
            1 if count == 1 => format!("the daily quota of the key of the credential {name:?} is spent; {raise}"),
            _ if spent == count => {
                format!("the daily quotas of all keys of the credential {name:?} are spent; {raise}")
            }
            _ => format!(
                "no key of the credential {name:?} can be used now: the daily quotas of {spent} are spent, and the API \
                 has refused the others; {raise}"
            ),
        };
        let failure = Failure {
            retry_after: Some(wait.max(SHORT_WAIT)),
            ..Failure::new(FailureKind::Throttled, message.clone())
        };
        call.record_failure(failure);
        HttpError::Other(message)
    }

    /// A fetch whose requests cannot be counted sends none. No item is at fault, nor is the API.
    fn on_uncounted_key(&self, call: &GuestCall, name: &str, why: &str) -> HttpError {
        let message =
            format!("no request is sent with the credential {name:?}, because its keys have daily quotas and: {why}");
        let failure = Failure::new(FailureKind::OutOfQuota, message.clone());
        call.record_failure(Failure { retry_after: Some(UNCOUNTED_WAIT), ..failure });
        HttpError::Other(message)
    }
}
