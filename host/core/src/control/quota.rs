//! The day's quota of requests: what is used is kept in the control item, and processes set parts of it aside for themselves.
//!
//! ```text
//!             reserve: at most what is left                spend, request by request
//!   QUOTA ---------------------------------> SET ASIDE ---------------------------------> SPENT
//!     ^                                          |
//!     +------------------------------------------+
//!              give back: what was not spent
//! ```
//!
//! What is set aside counts as used until it is given back, so that no two processes spend the same request, and what a
//! crashed one had set aside stays used: at most [`share`] requests of that day are lost to it, and none is sent too many.

use serde::{Deserialize, Serialize};

use crate::day::Day;

/// How many requests of a day are used, those set aside included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The day; none before the first request.
    pub day: Option<Day>,
    /// How many.
    pub requests: u64,
}

impl Usage {
    /// How many are used on `day`.
    #[must_use]
    pub fn on(&self, day: Day) -> u64 {
        if self.day == Some(day) { self.requests } else { 0 }
    }

    /// How many are left on `day`; none where there is no quota.
    #[must_use]
    pub fn left(&self, day: Day, quota: Option<u64>) -> Option<u64> {
        quota.map(|quota| quota.saturating_sub(self.on(day)))
    }

    /// Set `wanted` requests of `day` aside, or what is left; says how many. A day that is over is not reserved from.
    pub fn reserve(&mut self, day: Day, wanted: u64, quota: Option<u64>) -> u64 {
        if self.day.is_some_and(|known| known > day) {
            return 0;
        }
        let granted = wanted.min(self.left(day, quota).unwrap_or(u64::MAX));
        *self = Self { day: Some(day), requests: self.on(day).saturating_add(granted) };
        granted
    }

    /// Give back what was set aside on `day` and not spent.
    pub fn give_back(&mut self, day: Day, unspent: u64) {
        if self.day == Some(day) {
            self.requests = self.requests.saturating_sub(unspent);
        }
    }
}

/// How many requests a process sets aside at a time: enough that the control item is written seldom, few enough that a crash
/// loses little of the day.
#[must_use]
pub fn share(quota: u64, max_concurrency: u32) -> u64 {
    (quota / 100).clamp(1, 1_000).max(u64::from(max_concurrency).saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(number: i8) -> Day {
        Day(jiff::civil::date(2026, 11, number))
    }

    #[test]
    fn what_is_set_aside_counts_until_it_is_given_back() {
        let mut usage = Usage::default();
        assert_eq!(usage.reserve(day(1), 60, Some(100)), 60);
        assert_eq!(usage.reserve(day(1), 60, Some(100)), 40);
        assert_eq!(usage.reserve(day(1), 1, Some(100)), 0);
        usage.give_back(day(1), 15);
        assert_eq!(usage.left(day(1), Some(100)), Some(15));
    }

    #[test]
    fn a_new_day_begins_with_nothing_used_and_an_old_one_is_over() {
        let mut usage = Usage { day: Some(day(1)), requests: 100 };
        assert_eq!(usage.reserve(day(2), 10, Some(100)), 10);
        assert_eq!(usage.reserve(day(1), 10, Some(100)), 0);
        usage.give_back(day(1), 50);
        assert_eq!(usage.on(day(2)), 10, "what is left of yesterday is nothing to today");
    }

    #[test]
    fn without_a_quota_requests_are_only_counted() {
        let mut usage = Usage::default();
        assert_eq!(usage.reserve(day(1), 7, None), 7);
        assert_eq!((usage.on(day(1)), usage.left(day(1), None)), (7, None));
    }

    proptest! {
        #[test]
        fn never_more_than_the_quota_is_out(quota in 1..500_u64, steps in prop::collection::vec((0..50_u64, 0..50_u64), 1..100)) {
            let (mut usage, mut out) = (Usage::default(), 0);
            for (wanted, unspent) in steps {
                out += usage.reserve(day(1), wanted, Some(quota));
                let unspent = unspent.min(out);
                usage.give_back(day(1), unspent);
                out -= unspent;
                prop_assert!(out <= quota);
                prop_assert_eq!(usage.on(day(1)), out);
            }
        }
    }
}
