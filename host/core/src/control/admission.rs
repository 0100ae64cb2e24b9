//! The interface of limiters: algorithms that decide when a fetch may start.
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
    /// The API responded, with a record or not.
    Ok,
    /// The API refused the request because of too many (429, or Retry-After).
    Throttled {
        /// The value of Retry-After.
        retry_after: Option<Duration>,
    },
    /// The API failed.
    Failed,
    /// The API did not respond in time.
    TimedOut,
}

/// Decides when a fetch may start. [`Limiter`](crate::control::limiter::Limiter) is Damper's; the simulator puts other
/// algorithms in its place to compare them. There is one per provider and process.
pub trait ConcurrencyLimiter: Send + fmt::Debug {
    /// Whether a fetch may start at `now` beside `in_flight` others. Called only if there is something to fetch.
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission;

    /// The fetch that was just admitted has started.
    fn on_started(&mut self, now: Duration) -> Permit;

    /// A fetch sent `requests` more than the one that [`ConcurrencyLimiter::on_started`] counts; the rate makes up for
    /// them.
    fn on_extra_requests(&mut self, now: Duration, requests: u32);

    /// A fetch ended.
    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome);

    /// A fetch ended without information on the API: it was never sent, its component trapped, its credential was
    /// refused.
    fn on_discarded(&mut self, now: Duration, permit: Permit);

    /// The state at `now`, for people, charts and the governor.
    fn snapshot(&self, now: Duration) -> LimiterSnapshot;

    /// The learned state, to be stored; `None` if there is none.
    fn save(&self) -> Option<serde_json::Value> {
        None
    }

    /// Resume from a stored state, which is in the time of the process that stored it: `rebase` moves its instants to
    /// the caller's time. `false`: the state cannot be read and is ignored.
    fn load(&mut self, _saved: &serde_json::Value, _rebase: &Rebase) -> bool {
        true
    }
}

/// A limiter's state, for display.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimiterSnapshot {
    /// How many fetches may be in flight.
    pub limit: u32,
    /// Whether its breaker lets fetches start.
    pub breaker: BreakerStatus,
    /// Until when nothing may start because the API sent Retry-After.
    pub gate: Option<Duration>,
    /// The rate that it keeps, in fetches a second, if it has one.
    pub rate: Option<f64>,
    /// The name of the current state.
    pub phase: &'static str,
}

/// A breaker's state, for display.
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
