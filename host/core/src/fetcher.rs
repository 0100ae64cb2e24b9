//! The port to a provider's business logic: fetch one record.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bundle::Exchange;
use crate::day::Day;
use crate::item::Params;
use crate::record::{Failure, Fetched};

/// Fetches one record of one provider: a component in production, a script in tests.
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// Prepare resources that the first fetch would have to wait for, such as a compiled component. It is called before
    /// slots are acquired, so that none runs out meanwhile. If it fails, each fetch fails with the reason.
    async fn prepare(&self) {}

    /// Fetch one record. Ends by itself within `request.timeout`; dropping the future ends it at once.
    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport;

    /// Return what was set aside for requests and not sent, such as a part of a key's daily quota, so that other
    /// processes can send it. It is called when a batch or an ad-hoc fetch ends; fetches beside it only set more aside.
    async fn return_unsent(&self) {}

    /// The component's digest as `sha256:...`. It is written into every line of the sink.
    fn digest(&self) -> &str;
}

/// A request to fetch one record.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The record's identifier in the API's terms.
    pub id: String,
    /// The item's further parameters.
    pub params: Params,
    /// Which attempt at this item this is; the first is 1.
    pub attempt: u32,
    /// The provider's day.
    pub day: Day,
    /// How long the whole call may take.
    pub timeout: Duration,
    /// The resume state that the item's last call returned; `None` if none did.
    pub resume: Option<Bytes>,
}

/// How a fetch ended, and what it cost the API.
#[derive(Debug, Clone)]
pub struct FetchReport {
    /// The record, or why there is none.
    pub outcome: Result<Fetched, Failure>,
    /// How many requests the egress policy let through.
    pub requests: u32,
    /// When the last request without a response was sent: the API may still be processing it.
    pub unanswered_since: Option<Instant>,
    /// If it failed: the exchanges, for the bundle of a dead letter. Without secrets.
    pub exchanges: Vec<Exchange>,
}

impl FetchReport {
    /// A fetch whose requests, if any, all have a response.
    #[must_use]
    pub fn new(outcome: Result<Fetched, Failure>, requests: u32) -> Self {
        Self { outcome, requests, unanswered_since: None, exchanges: Vec::new() }
    }
}

/// The requests that may be in flight at one provider from this process. A fetch holds one permit; a fetcher that sends
/// requests side by side takes one more for each, if there is one, and sends one after another if not.
#[derive(Debug, Clone)]
pub struct Permits {
    pool: Arc<Semaphore>,
    budget: Budget,
    /// When the last permit that is held back comes free.
    held_until: Arc<Mutex<Option<Instant>>>,
}

impl Permits {
    /// A pool of `count` permits, without a quota.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self::within(count, Budget::without_limit())
    }

    /// A pool of `count` permits, for as many requests as the budget holds.
    #[must_use]
    pub fn within(count: u32, budget: Budget) -> Self {
        Self { pool: Arc::new(Semaphore::new(count as usize)), budget, held_until: Arc::default() }
    }

    /// The requests that may still be sent: a fetcher spends one for each request, right before it is sent.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// One permit, if one is free now. It is given back when dropped.
    #[must_use]
    pub fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pool).try_acquire_owned().ok()
    }

    /// Hold a permit back until `until`, though its request was given up: the API may still be processing it.
    pub fn hold(&self, permit: OwnedSemaphorePermit, until: Instant) {
        {
            let mut held_until = self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
            *held_until = (*held_until).max(Some(until));
        }
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            drop(permit);
        });
    }

    /// How many are free now.
    #[must_use]
    pub fn available(&self) -> u32 {
        u32::try_from(self.pool.available_permits()).unwrap_or(u32::MAX)
    }

    /// When the last permit that is held back comes free, if that is after `now`.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }

    /// Wait until at least one permit is free.
    pub(crate) async fn wait_for_free(&self) {
        // The pool is never closed.
        let _ = self.pool.acquire().await;
    }

    /// Add permits to the pool.
    pub(crate) fn grow(&self, by: u32) {
        self.pool.add_permits(by as usize);
    }

    /// Take free permits out of the pool for good; returns how many were free.
    pub(crate) fn shrink(&self, by: u32) -> u32 {
        u32::try_from(self.pool.forget_permits(by as usize)).unwrap_or(u32::MAX)
    }
}
