//! The oracle: it knows the API's plan, and keeps the best number of calls in flight from the instant at which that
//! number changes.
//!
//! No algorithm can do much better, so goodput is given as a share of the oracle's. It shares an API fairly with its
//! like.

use std::time::Duration;

use damper_core::control::admission::{Admission, BreakerStatus, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};
use damper_core::control::pacer::Pacer;

use super::{InFlight, admit_below};
use crate::api::{Capacity, Plan};

/// Knows everything.
#[derive(Debug, Clone)]
pub struct Oracle {
    capacities: Vec<Capacity>,
    step: usize,
    max: u32,
    /// Which of how many clients it is.
    client: u32,
    clients: u32,
    pacer: Pacer,
    in_flight: InFlight,
}

impl Oracle {
    /// Client number `client`, from 0, of `clients` at an API with this plan, with at most `max` in flight.
    #[must_use]
    pub fn new(plan: &Plan, max: u32, client: u32, clients: u32) -> Self {
        let capacities = plan.capacities();
        let mut oracle = Self {
            capacities,
            step: 0,
            max,
            client,
            clients: clients.max(1),
            pacer: Pacer::new(None),
            in_flight: InFlight::default(),
        };
        oracle.pace();
        oracle
    }

    fn pace(&mut self) {
        let rate = self.capacities.get(self.step).and_then(|capacity| capacity.per_second);
        self.pacer.set_rate(rate.map(|rate| rate / f64::from(self.clients)));
    }

    fn next_step(&self) -> Option<Duration> {
        self.capacities.get(self.step + 1).map(|next| next.from)
    }

    fn advance(&mut self, now: Duration) {
        while self.next_step().is_some_and(|next| next <= now) {
            self.step += 1;
            self.pace();
        }
    }

    /// The most calls it may have in flight: its share, and one of those that are left over.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down to whole calls")]
    fn limit(&self) -> u32 {
        let best = self.capacities.get(self.step).and_then(|capacity| capacity.in_flight);
        let Some(best) = best else { return self.max };
        let whole = best as u32;
        (whole / self.clients + u32::from(self.client < whole % self.clients)).min(self.max)
    }
}

impl ConcurrencyLimiter for Oracle {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        self.advance(now);
        let limit = self.limit();
        if limit == 0 || (in_flight >= limit && in_flight == 0) {
            return self.next_step().map_or(Admission::AfterCompletion, Admission::At);
        }
        match (admit_below(limit, in_flight), self.pacer.next(now)) {
            (Admission::Now, Some(at)) => Admission::At(at),
            // A step may make room before anything completes.
            (Admission::AfterCompletion, _) => self.next_step().map_or(Admission::AfterCompletion, Admission::At),
            (admission, _) => admission,
        }
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.pacer.on_started(now);
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, now: Duration, requests: u32) {
        (0..requests).for_each(|_| self.pacer.on_started(now));
    }

    fn on_completed(&mut self, _now: Duration, _permit: Permit, _outcome: Outcome) {
        self.in_flight.end_call();
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, now: Duration) -> LimiterSnapshot {
        let mut then = self.clone();
        then.advance(now);
        let rate = then.capacities.get(then.step).and_then(|capacity| capacity.per_second);
        LimiterSnapshot { limit: then.limit(), breaker: BreakerStatus::Closed, gate: None, rate, phase: "oracle" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Conditions;
    use crate::api::conditions::{Cap, Outage};

    #[test]
    fn it_follows_the_plan_to_the_instant_and_shares_what_cannot_be_divided() {
        let cap = |limit| Conditions {
            concurrency: Some(Cap { limit, retry_after: None, drops: false }),
            ..Conditions::default()
        };
        let down = Conditions { outage: Some(Outage::Errors), ..Conditions::default() };
        let second = Duration::from_secs;
        let plan = Plan::new(cap(9), &[(second(10), cap(4)), (second(20), down)]);
        let mut pair = [0, 1].map(|client| Oracle::new(&plan, 100, client, 2));
        let mut limits = |now| {
            pair.each_mut().map(|oracle| {
                oracle.advance(now);
                oracle.limit()
            })
        };
        assert_eq!([0, 10, 20].map(|at| limits(second(at))), [[5, 4], [2, 2], [0, 0]]);
    }
}
