//! A peer in the pipeline: its time begins with the simulation, the pipeline's with 1970.

use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::control::admission::{Admission, BreakerStatus, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};
use jiff::Timestamp;

use crate::algorithm::Algorithm;
use crate::scenario::Scenario;

/// An algorithm whose time began later than its caller's.
#[derive(Debug)]
pub(super) struct Shifted {
    inner: Box<dyn ConcurrencyLimiter>,
    began: Duration,
}

impl Shifted {
    /// An algorithm for one client of a scenario, whose time begins now.
    pub(super) fn for_client(
        scenario: &Scenario,
        algorithm: Algorithm,
        client: u32,
        clock: &WallClock,
    ) -> Box<dyn ConcurrencyLimiter> {
        let since_1970 = clock.now().duration_since(Timestamp::UNIX_EPOCH);
        let began = Duration::try_from(since_1970).unwrap_or_default();
        Box::new(Self { inner: algorithm.limiter(&scenario.setting(0), client, scenario.clients), began })
    }

    fn inside(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    fn permit_inside(&self, permit: Permit) -> Permit {
        Permit { started: self.inside(permit.started), ..permit }
    }
}

impl ConcurrencyLimiter for Shifted {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        match self.inner.admit(self.inside(now), in_flight) {
            Admission::At(at) => Admission::At(at + self.began),
            admission => admission,
        }
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        let permit = self.inner.on_started(self.inside(now));
        Permit { started: permit.started + self.began, ..permit }
    }

    fn on_extra_requests(&mut self, now: Duration, requests: u32) {
        self.inner.on_extra_requests(self.inside(now), requests);
    }

    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        self.inner.on_completed(self.inside(now), self.permit_inside(permit), outcome);
    }

    fn on_discarded(&mut self, now: Duration, permit: Permit) {
        self.inner.on_discarded(self.inside(now), self.permit_inside(permit));
    }

    fn snapshot(&self, now: Duration) -> LimiterSnapshot {
        // No peer has a breaker or a gate of its own.
        LimiterSnapshot { breaker: BreakerStatus::Closed, gate: None, ..self.inner.snapshot(self.inside(now)) }
    }
}
