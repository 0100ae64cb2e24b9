//! The fast loop: how many fetches may be in flight now, and when the next may start.
//!
//! This limiter holds a fixed cap, keeps the requested rate, and closes a gate when the API asks to be left alone:
//!
//! ```text
//!              throttled: gate = now + Retry-After (else 1 s, doubling to 30 s)
//!   OPEN ------------------------------------------------------------------------> GATED
//!     ^                          the gate's time is over                              |
//!     +-------------------------------------------------------------------------------+
//! ```
//!
//! Time is a `Duration` since an epoch that the caller chooses and keeps.

use std::time::Duration;

use crate::control::admission::BreakerReading;
pub use crate::control::admission::{Admission, Admit, Outcome, Permit, Reading};
use crate::control::pacer::Pacer;

/// How long nothing starts after a first 429 without Retry-After; doubled by each further one until a fetch succeeds.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause without Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest Retry-After that is believed; a longer one is cut to this.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a limiter must keep to.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterConfig {
    /// The most requests in flight.
    pub max_in_flight: u32,
    /// The most fetches started in a second.
    pub requests_per_second: Option<f64>,
}

/// Decides when a fetch may start. One per provider and process.
#[derive(Debug, Clone)]
pub struct Limiter {
    max_in_flight: u32,
    pacer: Pacer,
    gate: Duration,
    gate_set: Duration,
    next_pause: Duration,
}

impl Limiter {
    /// A limiter with an open gate.
    #[must_use]
    pub fn new(config: LimiterConfig) -> Self {
        Self {
            max_in_flight: config.max_in_flight,
            pacer: Pacer::new(config.requests_per_second),
            gate: Duration::ZERO,
            gate_set: Duration::ZERO,
            next_pause: FIRST_PAUSE,
        }
    }

    /// Until when nothing may start, if the gate is closed at `now`.
    #[must_use]
    pub fn gated_until(&self, now: Duration) -> Option<Duration> {
        (now < self.gate).then_some(self.gate)
    }
}

impl Admit for Limiter {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        if in_flight >= self.max_in_flight {
            return Admission::AfterCompletion;
        }
        if now < self.gate {
            return Admission::At(self.gate);
        }
        self.pacer.next(now).map_or(Admission::Now, Admission::At)
    }

    fn started(&mut self, now: Duration) -> Permit {
        self.pacer.started(now);
        Permit { started: now, in_flight: 0 }
    }

    fn sent_more(&mut self, now: Duration, requests: u32) {
        for _ in 0..requests {
            self.pacer.started(now);
        }
    }

    fn completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.next_pause = FIRST_PAUSE,
            Outcome::Throttled { retry_after: Some(wait) } => {
                self.gate = self.gate.max(now.saturating_add(wait.min(LONGEST_RETRY_AFTER)));
                self.gate_set = now;
            }
            // Fetches that were in flight when the gate closed say nothing new.
            Outcome::Throttled { retry_after: None } if permit.started >= self.gate_set => {
                self.gate = self.gate.max(now.saturating_add(self.next_pause));
                self.gate_set = now;
                self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
            }
            Outcome::Throttled { retry_after: None } | Outcome::Failed | Outcome::TimedOut => {}
        }
    }

    fn forgotten(&mut self, _now: Duration, _permit: Permit) {}

    fn reading(&self, now: Duration) -> Reading {
        Reading {
            limit: self.max_in_flight,
            breaker: BreakerReading::Closed,
            gate: self.gated_until(now),
            rate: None,
            phase: "fixed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn limiter() -> Limiter {
        Limiter::new(LimiterConfig { max_in_flight: 2, requests_per_second: None })
    }

    #[test]
    fn never_more_than_the_cap() {
        let mut limiter = limiter();
        assert_eq!(limiter.admit(at(0), 1), Admission::Now);
        assert_eq!(limiter.admit(at(0), 2), Admission::AfterCompletion);
        assert_eq!(limiter.admit(at(0), 3), Admission::AfterCompletion);
    }

    #[test]
    fn nothing_starts_before_retry_after() {
        let mut limiter = limiter();
        let permit = limiter.started(at(0));
        limiter.completed(at(100), permit, Outcome::Throttled { retry_after: Some(at(5_000)) });
        assert_eq!(limiter.admit(at(5_099), 0), Admission::At(at(5_100)));
        assert_eq!(limiter.admit(at(5_100), 0), Admission::Now);
    }

    #[test]
    fn a_shorter_retry_after_does_not_open_the_gate_early() {
        let mut limiter = limiter();
        let (first, second) = (limiter.started(at(0)), limiter.started(at(0)));
        limiter.completed(at(10), first, Outcome::Throttled { retry_after: Some(at(9_000)) });
        limiter.completed(at(20), second, Outcome::Throttled { retry_after: Some(at(1_000)) });
        assert_eq!(limiter.gated_until(at(8_000)), Some(at(9_010)));
    }

    #[test]
    fn pauses_without_retry_after_double_until_a_success() {
        let mut limiter = limiter();
        let throttled = Outcome::Throttled { retry_after: None };
        let (first, beside) = (limiter.started(at(0)), limiter.started(at(0)));
        limiter.completed(at(10), first, throttled);
        limiter.completed(at(20), beside, throttled);
        assert_eq!(limiter.gated_until(at(20)), Some(at(1_010)), "the one beside it says nothing new");
        let next = limiter.started(at(1_010));
        limiter.completed(at(1_020), next, throttled);
        assert_eq!(limiter.gated_until(at(1_020)), Some(at(3_020)));
        let good = limiter.started(at(3_020));
        limiter.completed(at(3_030), good, Outcome::Ok);
        let last = limiter.started(at(3_040));
        limiter.completed(at(3_050), last, throttled);
        assert_eq!(limiter.gated_until(at(3_050)), Some(at(4_050)));
    }
}
