//! Additive increase, multiplicative decrease, as Netflix has it.
//!
//! Source: Netflix/concurrency-limits, `limit/AIMDLimit.java` and `limiter/AbstractLimiter.java` (Apache-2.0): an
//! answer with at least half of the limit in flight raises it by one; a drop, or an answer slower than a timeout, takes
//! a tenth. Drops are what their gRPC client counts as such: a refusal, an unavailable service, no answer in time.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, admit_below, initial, reading};

/// The factor of the limit after a drop.
const BACKOFF_RATIO: f64 = 0.9;

/// Netflix's AIMD.
#[derive(Debug, Clone)]
pub struct Aimd {
    limit: u32,
    max: u32,
    timeout: Duration,
    in_flight: InFlight,
}

impl Aimd {
    /// From the common beginning up to `max`; slower than `timeout` is a drop. (Their defaults: from 20, 20 to 200, 5
    /// s.)
    #[must_use]
    pub fn new(max: u32, timeout: Duration) -> Self {
        Self { limit: initial(max), max, timeout, in_flight: InFlight::default() }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, as in the source")]
    fn sample(&mut self, latency: Duration, in_flight: u32, dropped: bool) {
        let limit = if dropped || latency > self.timeout {
            (f64::from(self.limit) * BACKOFF_RATIO) as u32
        } else if in_flight * 2 >= self.limit {
            self.limit + 1
        } else {
            self.limit
        };
        self.limit = limit.max(1).min(self.max);
    }
}

impl ConcurrencyLimiter for Aimd {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit, in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        self.in_flight.end_call();
        self.sample(now - permit.started, permit.in_flight, outcome != Outcome::Ok);
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        reading(self.limit, "aimd")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aimd(limit: u32, max: u32) -> Aimd {
        Aimd { limit, ..Aimd::new(max, Duration::from_secs(5)) }
    }

    // The figures of their AIMDLimitTest.
    #[test]
    fn netflix_increase_on_success() {
        let mut aimd = aimd(20, 200);
        aimd.sample(Duration::from_millis(1), 10, false);
        assert_eq!(aimd.limit, 21);
    }

    #[test]
    fn netflix_decrease_on_drops() {
        let mut aimd = aimd(30, 200);
        aimd.sample(Duration::ZERO, 0, true);
        assert_eq!(aimd.limit, 27);
    }

    #[test]
    fn netflix_success_overflow() {
        let mut aimd = aimd(21, 21);
        aimd.sample(Duration::from_millis(1), 10, false);
        assert_eq!(aimd.limit, 21);
    }

    #[test]
    fn slower_than_the_timeout_is_a_drop() {
        let mut aimd = aimd(10, 200);
        aimd.sample(Duration::from_secs(6), 10, false);
        assert_eq!(aimd.limit, 9);
    }
}
