//! A fixed number of calls in flight: what most clients do.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, admit_below, reading};

/// Always so many in flight.
#[derive(Debug, Clone)]
pub struct Fixed {
    limit: u32,
    in_flight: InFlight,
}

impl Fixed {
    /// Always `limit`.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, in_flight: InFlight::default() }
    }
}

impl ConcurrencyLimiter for Fixed {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit, in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, _now: Duration, _permit: Permit, _outcome: Outcome) {
        self.in_flight.end_call();
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        reading(self.limit, "fixed")
    }
}
