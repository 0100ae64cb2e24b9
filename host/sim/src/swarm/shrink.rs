//! Makes a failing case smaller: fewer faults, items, processes and providers, as long as it breaks the same promise.

use std::time::Duration;

use damper_core::testing::faults::Fault;

use crate::swarm::case::{ApiSetup, Case};
use crate::swarm::invariants::Invariant;
use crate::swarm::run;

/// The most runs that shrinking takes.
const MOST_RUNS: u32 = 1_500;

/// Makes a case smaller.
#[derive(Debug)]
pub struct Shrinker {
    invariant: Invariant,
    smallest: Case,
    runs: u32,
}

impl Shrinker {
    /// A case that breaks this promise.
    #[must_use]
    pub fn new(case: Case, invariant: Invariant) -> Self {
        Self { invariant, smallest: case, runs: 0 }
    }

    /// The smallest case that was found.
    #[must_use]
    pub fn shrink(mut self) -> Case {
        loop {
            let before = self.smallest.clone();
            self.drop_faults();
            self.drop_items();
            self.drop_providers();
            self.simplify();
            if self.smallest == before || self.runs >= MOST_RUNS {
                return self.smallest;
            }
        }
    }

    /// Tries a smaller case, and keeps it if it breaks the same promise. Returns whether it does.
    fn try_smaller(&mut self, case: Case) -> bool {
        if self.runs >= MOST_RUNS || case == self.smallest {
            return false;
        }
        self.runs += 1;
        let broken = run(&case, false).ok().and_then(|outcome| outcome.violation);
        let is_same = broken.is_some_and(|violation| violation.invariant == self.invariant);
        if is_same {
            self.smallest = case;
        }
        is_same
    }

    /// Leave out faults: halves first, single ones last.
    fn drop_faults(&mut self) {
        let mut size = self.smallest.plan.faults.len();
        while size > 0 {
            let mut from = 0;
            while from < self.smallest.plan.faults.len() {
                let mut case = self.smallest.clone();
                let to = (from + size).min(case.plan.faults.len());
                case.plan.faults.drain(from..to);
                if !self.try_smaller(case) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn drop_items(&mut self) {
        for provider in 0..self.smallest.setup.providers.len() {
            let mut size = self.smallest.setup.providers.get(provider).map_or(0, |provider| provider.items.len());
            while size > 0 {
                let mut from = 0;
                while self.smallest.setup.providers.get(provider).is_some_and(|provider| from < provider.items.len()) {
                    let mut case = self.smallest.clone();
                    if let Some(provider) = case.setup.providers.get_mut(provider) {
                        let to = (from + size).min(provider.items.len());
                        provider.items.drain(from..to);
                    }
                    if !self.try_smaller(case) {
                        from += size;
                    }
                }
                size /= 2;
            }
        }
    }

    fn drop_providers(&mut self) {
        let mut number = self.smallest.setup.providers.len();
        while number > 0 && self.smallest.setup.providers.len() > 1 {
            number -= 1;
            let mut case = self.smallest.clone();
            case.setup.providers.remove(number);
            self.try_smaller(case);
        }
    }

    /// Fewer processes, an API that works, no ad-hoc fetches, shorter freezes.
    fn simplify(&mut self) {
        self.change(|case| case.setup.processes = case.setup.processes.saturating_sub(1).max(1));
        self.change(|case| case.setup.latency = Duration::from_millis(10));
        for number in 0..self.smallest.setup.providers.len() {
            let mut at = |change: fn(&mut ApiSetup)| {
                self.change(|case| {
                    if let Some(provider) = case.setup.providers.get_mut(number) {
                        change(&mut provider.api);
                    }
                });
            };
            at(|api| api.outage = None);
            at(|api| api.unavailable = 0.0);
            at(|api| api.throttled = 0.0);
            at(|api| api.silent = 0.0);
            self.change(|case| {
                if let Some(provider) = case.setup.providers.get_mut(number) {
                    provider.ad_hoc_every = None;
                }
            });
            self.change(|case| {
                if let Some(provider) = case.setup.providers.get_mut(number) {
                    (provider.quota, provider.window, provider.grant) = (None, None, None);
                    provider.cold_start = Duration::ZERO;
                }
            });
        }
        for number in 0..self.smallest.plan.faults.len() {
            self.change(|case| {
                if let Some(Fault::Freeze { length, .. }) = case.plan.faults.get_mut(number) {
                    *length /= 2;
                }
            });
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Case)) {
        let mut case = self.smallest.clone();
        change(&mut case);
        self.try_smaller(case);
    }
}
