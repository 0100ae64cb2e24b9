//! The record of a run, second by second and in all, and the figures computed from it.

mod figures;
mod recorder;

use std::time::Duration;

use damper_core::control::admission::BreakerStatus;
use serde::Serialize;

pub use figures::{jain, percentile};
pub use recorder::Recorder;

/// One second of a run, over all clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Second {
    /// Calls sent.
    pub sent: u32,
    /// Good answers.
    pub ok: u32,
    /// Refusals: 429, or 503 with Retry-After.
    pub throttled: u32,
    /// Errors.
    pub failed: u32,
    /// Calls that were given up.
    pub timed_out: u32,
    /// Permits that were out, in the mean.
    pub in_flight: f64,
    /// The median latency of the good answers that came, in seconds; none if none came.
    pub p50: Option<f64>,
    /// The 99th percentile of the same.
    pub p99: Option<f64>,
    /// The sum of the limits of all clients at the second's begin.
    pub limit: u32,
    /// The first client's breaker at the second's begin.
    pub breaker: Option<BreakerStatus>,
    /// The rate that the first client keeps, in calls a second.
    pub rate: Option<f64>,
    /// The mapping's batch size; none if there is no mapping, 0 if it is disabled.
    pub batch_size: Option<u32>,
    /// Items that have not ended; none if there is no end of them.
    pub pending: Option<u64>,
}

/// The totals of one client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Calls sent.
    pub sent: u64,
    /// Good answers.
    pub ok: u64,
    /// Refusals.
    pub throttled: u64,
    /// Errors.
    pub failed: u64,
    /// Calls that were given up.
    pub timed_out: u64,
}

/// A time at which the API's capacity fell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drop {
    /// When.
    pub at: Duration,
    /// Its capacity in calls in flight from then on.
    pub bears: f64,
    /// How long until no more than half as much again was in flight.
    pub reduced_after: Option<Duration>,
}

/// The record of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// How long it was.
    pub duration: Duration,
    /// Its seconds.
    pub seconds: Vec<Second>,
    /// The totals of each client.
    pub clients: Vec<Totals>,
    /// The latencies of all good answers, in seconds, sorted.
    pub latencies: Vec<f64>,
    /// The times at which the API's capacity fell.
    pub drops: Vec<Drop>,
    /// Calls sent while the API was down.
    pub sent_into_outage: u64,
    /// Calls sent while as many were out as a client may ever have.
    pub above_cap: u64,
    /// How often an algorithm wanted a completion although nothing was in flight.
    pub stuck: u64,
}
