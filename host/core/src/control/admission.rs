//! The words in which a limiter is asked and told: what every algorithm that decides when a fetch may start has in common.
//!
//! Time is a `Duration` since an epoch that the caller chooses and keeps; it never goes backwards.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::rebase::Rebase;

/// Whether a fetch may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may, now.
    Now,
    /// Not before this time.
    At(Duration),
    /// Not before one in flight has completed.
    AfterCompletion,
}

/// A fetch that has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// When it started.
    pub started: Duration,
    /// How many were in flight then, itself included.
    pub in_flight: u32,
}

/// How a fetch ended, as far as the API's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The API answered; that the answer was no record does not matter here.
    Ok,
    /// The API asked for fewer requests.
    Throttled {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The API failed.
    Failed,
    /// The API did not answer in time.
    TimedOut,
}

/// What decides when a fetch may start. [`Limiter`](crate::control::limiter::Limiter) is Damper's; the simulator puts other
/// algorithms in its place to compare them. One per provider and process.
pub trait ConcurrencyLimiter: Send + fmt::Debug {
    /// May a fetch start at `now` beside `in_flight` others? Asked only where there is something to fetch.
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission;

    /// The fetch that was just admitted has started.
    fn on_started(&mut self, now: Duration) -> Permit;

    /// A fetch sent `requests` more than the one that [`ConcurrencyLimiter::on_started`] counts; the rate makes up for them.
    fn on_extra_requests(&mut self, now: Duration, requests: u32);

    /// A fetch ended.
    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome);

    /// A fetch ended in a way that says nothing of the API: it was never sent, its component trapped, its credential was refused.
    fn on_discarded(&mut self, now: Duration, permit: Permit);

    /// What it would say of itself at `now`, for people, charts and the governor.
    fn snapshot(&self, now: Duration) -> LimiterSnapshot;

    /// What it has learned, to be kept; none where it learns nothing.
    fn save(&self) -> Option<serde_json::Value> {
        None
    }

    /// Go on from what was kept, in the time of the process that kept it: `rebase` moves its instants to the caller's time. What
    /// cannot be read is not learned from; `false` says so.
    fn load(&mut self, _saved: &serde_json::Value, _rebase: &Rebase) -> bool {
        true
    }
}

/// A limiter's state, to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimiterSnapshot {
    /// How many fetches may be in flight.
    pub limit: u32,
    /// Whether its breaker lets fetches start.
    pub breaker: BreakerStatus,
    /// Until when nothing may start because the API asked for it.
    pub gate: Option<Duration>,
    /// The rate that it keeps, in fetches a second, where it learned or was given one.
    pub rate: Option<f64>,
    /// What it is doing, in a word: the name of its state.
    pub phase: &'static str,
}

/// A breaker's state, to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum BreakerStatus {
    /// Fetches may start.
    Closed,
    /// None may start.
    Open {
        /// Since when the API has been failing: the first opening of this episode.
        since: Duration,
        /// When one may be tried.
        until: Duration,
    },
    /// One at a time may start, to see whether the API works again.
    HalfOpen {
        /// Since when the API has been failing.
        since: Duration,
    },
}
