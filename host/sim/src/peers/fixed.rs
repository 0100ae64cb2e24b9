//! A fixed number of calls in flight: what most clients do.

use std::time::Duration;

use damper_core::control::admission::{Admission, Admit, Outcome, Permit, Reading};

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

impl Admit for Fixed {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit, in_flight)
    }

    fn started(&mut self, now: Duration) -> Permit {
        self.in_flight.started(now)
    }

    fn sent_more(&mut self, _now: Duration, _requests: u32) {}

    fn completed(&mut self, _now: Duration, _permit: Permit, _outcome: Outcome) {
        self.in_flight.ended();
    }

    fn forgotten(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.ended();
    }

    fn reading(&self, _now: Duration) -> Reading {
        reading(self.limit, "fixed")
    }
}
