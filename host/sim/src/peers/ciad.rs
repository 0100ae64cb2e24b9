//! Cautious increase, aggressive decrease, as Palantir has it.
//!
//! Source: palantir/dialogue, `CautiousIncreaseAggressiveDecreaseConcurrencyLimiter.java` (Apache-2.0): an answer with
//! nine tenths of the limit in flight raises it by `1 / limit`; a drop takes a tenth, rounded down. A call passes two
//! such limiters: the host's drops on 503 and connections that fail or time out, and the endpoint's on 429 and 500. A
//! limiter ignores outcomes that are neither a success nor a drop for it.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, admit_below, initial, reading};

/// The factor of the limit after a drop.
const BACKOFF_RATIO: f64 = 0.9;

/// Palantir's pair of limiters.
#[derive(Debug, Clone)]
pub struct Ciad {
    host: f64,
    endpoint: f64,
    max: u32,
    in_flight: InFlight,
}

impl Ciad {
    /// From the common beginning up to `max`. (Their defaults: from 20, 1 to 1,000,000.)
    #[must_use]
    pub fn new(max: u32) -> Self {
        let limit = f64::from(initial(max));
        Self { host: limit, endpoint: limit, max, in_flight: InFlight::default() }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, as in the source")]
    fn limit(&self) -> u32 {
        (self.host.min(self.endpoint) as u32).min(self.max)
    }
}

fn limit_after_success(limit: f64, in_flight: u32) -> f64 {
    if f64::from(in_flight) >= (limit * BACKOFF_RATIO).floor() { limit + 1.0 / limit } else { limit }
}

fn limit_after_drop(limit: f64) -> f64 {
    (limit * BACKOFF_RATIO).floor().max(1.0)
}

impl ConcurrencyLimiter for Ciad {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit(), in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, _now: Duration, permit: Permit, outcome: Outcome) {
        self.in_flight.end_call();
        let max = f64::from(self.max);
        match outcome {
            Outcome::Ok => {
                self.host = limit_after_success(self.host, permit.in_flight).min(max);
                self.endpoint = limit_after_success(self.endpoint, permit.in_flight).min(max);
            }
            Outcome::Throttled { .. } => self.endpoint = limit_after_drop(self.endpoint),
            Outcome::Failed | Outcome::TimedOut => self.host = limit_after_drop(self.host),
        }
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        reading(self.limit(), "ciad")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The figures of their CautiousIncreaseAggressiveDecreaseConcurrencyLimiterTest: from 20, a success makes 20.05 and
    // a drop 18; a success counts from nine tenths of the limit in flight.
    #[test]
    fn palantir_acquire_does_not_acquire_partial_permits() {
        assert!((limit_after_success(20.0, 20) - 20.05).abs() < 1e-12);
        let ciad = Ciad { host: 20.05, endpoint: 20.05, ..Ciad::new(100) };
        assert_eq!(ciad.limit(), 20);
    }

    #[test]
    fn palantir_dropped_reduces_limit() {
        assert!((limit_after_drop(20.0) - 18.0).abs() < f64::EPSILON);
    }

    #[test]
    fn palantir_success_increases_limit_only_if_sufficient_number_of_requests_are_in_flight() {
        assert!((limit_after_success(20.0, 17) - 20.0).abs() < f64::EPSILON);
        assert!(limit_after_success(20.0, 18) > 20.0 && limit_after_success(20.0, 18) <= 21.0);
    }

    #[test]
    fn a_refusal_is_the_endpoints_and_an_error_the_hosts() {
        let mut ciad = Ciad { host: 20.0, endpoint: 20.0, ..Ciad::new(100) };
        let permit = ciad.on_started(Duration::ZERO);
        ciad.on_completed(Duration::ZERO, permit, Outcome::Throttled { retry_after: None });
        assert_eq!((ciad.host, ciad.endpoint, ciad.limit()), (20.0, 18.0, 18));
        ciad.on_completed(Duration::ZERO, permit, Outcome::TimedOut);
        assert_eq!((ciad.host, ciad.endpoint), (18.0, 18.0));
    }
}
