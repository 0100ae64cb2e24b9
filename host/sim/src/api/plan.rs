//! How an API changes over time. The plan is complete knowledge of the future: the oracle is made of it, and so are the
//! figures.

use std::time::Duration;

use super::conditions::{Conditions, Outage};

/// An API's conditions over time: each step holds from its begin until the next one's.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    first: Conditions,
    later: Vec<(Duration, Conditions)>,
}

/// An API's capacity from some time on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Since when.
    pub from: Duration,
    /// Calls at once, where anything limits them; 0 while it is down.
    pub in_flight: Option<f64>,
    /// Calls in a second, where anything limits them.
    pub per_second: Option<f64>,
    /// Whether it is down.
    pub outage: Outage,
}

impl Plan {
    /// An API that is so at first and changes at these times, which rise. A change keeps every condition that it leaves
    /// out.
    #[must_use]
    pub fn new(first: Conditions, changes: &[(Duration, Conditions)]) -> Self {
        let mut later: Vec<(Duration, Conditions)> = Vec::new();
        for (at, change) in changes {
            let before = later.last().map_or(&first, |(_, conditions)| conditions);
            let after = before.with_change(change);
            later.push((*at, after));
        }
        Self { first, later }
    }

    /// The conditions of step `step`, 0 the first; the last ones where there are fewer.
    #[must_use]
    pub fn step(&self, step: usize) -> &Conditions {
        let index = step.min(self.later.len());
        index.checked_sub(1).and_then(|index| self.later.get(index)).map_or(&self.first, |(_, conditions)| conditions)
    }

    /// When step `step` begins, if there is one.
    #[must_use]
    pub fn step_start(&self, step: usize) -> Option<Duration> {
        match step.checked_sub(1) {
            None => Some(Duration::ZERO),
            Some(index) => self.later.get(index).map(|(at, _)| *at),
        }
    }

    /// The conditions at a time.
    #[must_use]
    pub fn at(&self, now: Duration) -> &Conditions {
        self.step(self.later.partition_point(|(at, _)| *at <= now))
    }

    /// The first outage that begins after `since` and by `until`.
    #[must_use]
    pub fn next_outage(&self, since: Duration, until: Duration) -> Option<(Duration, Outage)> {
        let begun = self.later.iter().skip_while(|(at, _)| *at <= since).take_while(|(at, _)| *at <= until);
        begun.map(|(at, conditions)| (*at, conditions.outage())).find(|(_, outage)| *outage != Outage::None)
    }

    /// The API's capacity over time.
    #[must_use]
    pub fn capacities(&self) -> Vec<Capacity> {
        let steps = std::iter::once((Duration::ZERO, &self.first));
        let later = self.later.iter().map(|(at, conditions)| (*at, conditions));
        steps
            .chain(later)
            .map(|(from, conditions)| Capacity {
                from,
                in_flight: conditions.best_in_flight(),
                per_second: conditions.per_second(),
                outage: conditions.outage(),
            })
            .collect()
    }
}
