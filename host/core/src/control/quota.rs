//! The day's quota of requests: what is used is kept in the control item, and processes set parts of it aside for
//! themselves.
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
//! crashed one had set aside stays used: at most [`share`] requests of that day are lost to it, and none is sent too
//! many.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::day::Day;

/// The number of other days whose counts are kept.
const MOST_OTHERS: usize = 4;

/// How many requests of a day are used, those set aside included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The day; none before the first request.
    pub day: Option<Day>,
    /// How many.
    pub requests: u64,
    /// The counts of other days, the nearest ones: if the clock or the time zone is set back to one of them, that day
    /// resumes from its count. Kept if there is a quota.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<Day, u64>,
}

impl Usage {
    /// How many are used on `day`.
    #[must_use]
    pub fn on(&self, day: Day) -> u64 {
        if self.day == Some(day) { self.requests } else { self.others.get(&day).copied().unwrap_or_default() }
    }

    /// How many are left on `day`; `None` if there is no quota. The use of a day before the counted one is unknown:
    /// nothing is left of it.
    #[must_use]
    pub fn remaining(&self, day: Day, quota: Option<u64>) -> Option<u64> {
        let quota = quota?;
        Some(if self.is_after(day) { 0 } else { quota.saturating_sub(self.on(day)) })
    }

    /// Whether a later day than this is counted.
    fn is_after(&self, day: Day) -> bool {
        self.day.is_some_and(|known| known > day)
    }

    /// It is `today`, though a later day was counted already: the clock was set back, or the time zone was moved west.
    /// Today counts as spent, and tomorrow begins anew; without this a clock that was a year ahead for a moment would
    /// cost a year. Does nothing else.
    pub fn turn_back(&mut self, today: Day, quota: Option<u64>) {
        if self.is_after(today) {
            self.begin(today, quota);
            self.requests = quota.unwrap_or_default();
        }
    }

    /// Count for `day` from now on.
    fn begin(&mut self, day: Day, quota: Option<u64>) {
        let requests = self.on(day);
        if let Some(before) = self.day.replace(day).filter(|before| *before != day && quota.is_some()) {
            self.others.insert(before, self.requests);
        }
        self.requests = requests;
        self.others.remove(&day);
        let distance = |other: &Day| day.0.since(other.0).map_or(i32::MAX, |span| span.get_days().abs());
        while self.others.len() > MOST_OTHERS
            && let Some(furthest) = self.others.keys().copied().max_by_key(distance)
        {
            self.others.remove(&furthest);
        }
    }

    /// Set `wanted` requests of `day` aside, or as many as are left; returns how many. A day that is over has none
    /// left.
    pub fn reserve(&mut self, day: Day, wanted: u64, quota: Option<u64>) -> u64 {
        if self.is_after(day) {
            return 0;
        }
        let granted = wanted.min(self.remaining(day, quota).unwrap_or(u64::MAX));
        self.begin(day, quota);
        self.requests = self.requests.saturating_add(granted);
        granted
    }

    /// Give back requests that were set aside on `day` and not spent.
    pub fn give_back(&mut self, day: Day, unspent: u64) {
        if self.day == Some(day) {
            self.requests = self.requests.saturating_sub(unspent);
        } else if let Some(requests) = self.others.get_mut(&day) {
            *requests = requests.saturating_sub(unspent);
        }
    }
}

/// How many requests a process sets aside at a time: enough that the control item is written seldom, few enough that a
/// crash loses little of the day.
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
        assert_eq!(usage.remaining(day(1), Some(100)), Some(15));
    }

    #[test]
    fn a_new_day_begins_with_nothing_used_and_an_old_one_is_over() {
        let mut usage = Usage { day: Some(day(1)), requests: 100, ..Usage::default() };
        assert_eq!(usage.reserve(day(2), 10, Some(100)), 10);
        assert_eq!(usage.reserve(day(1), 10, Some(100)), 0);
        usage.give_back(day(1), 50);
        assert_eq!(usage.on(day(2)), 10, "what is left of yesterday is nothing to today");
    }

    #[test]
    fn a_day_before_the_one_that_is_counted_is_spent_and_what_was_counted_is_not_forgotten() {
        let mut usage = Usage::default();
        assert_eq!(usage.reserve(day(8), 60, Some(100)), 60);
        assert_eq!((usage.remaining(day(1), Some(100)), usage.remaining(day(1), None)), (Some(0), None));
        usage.turn_back(day(8), Some(100));
        assert_eq!(usage.remaining(day(8), Some(100)), Some(40), "it is no later day");
        usage.turn_back(day(1), Some(100));
        assert_eq!((usage.remaining(day(1), Some(100)), usage.reserve(day(1), 1, Some(100))), (Some(0), 0));
        assert_eq!(usage.reserve(day(2), 70, Some(100)), 70, "tomorrow begins anew");
        usage.give_back(day(8), 10);
        assert_eq!(usage.reserve(day(8), 70, Some(100)), 50, "the clock was right before");
        let text = serde_json::to_string(&usage).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
    }

    #[test]
    fn without_a_quota_requests_are_only_counted() {
        let mut usage = Usage::default();
        assert_eq!(usage.reserve(day(1), 7, None), 7);
        assert_eq!((usage.on(day(1)), usage.remaining(day(1), None)), (7, None));
    }

    proptest! {
        #[test]
        fn no_day_gets_more_than_its_quota_however_the_clock_is_set(
            steps in prop::collection::vec((1..6_i8, 0..60_u64, any::<bool>()), 1..60),
        ) {
            let (mut usage, mut out) = (Usage::default(), std::collections::BTreeMap::<i8, u64>::new());
            for (today, wanted, turns_back) in steps {
                if turns_back {
                    usage.turn_back(day(today), Some(100));
                }
                let granted = usage.reserve(day(today), wanted, Some(100));
                *out.entry(today).or_default() += granted;
            }
            prop_assert!(out.values().all(|sent| *sent <= 100), "{out:?}");
        }

        #[test]
        fn never_more_than_the_quota_is_out(
            quota in 1..500_u64, steps in prop::collection::vec((0..50_u64, 0..50_u64), 1..100),
        ) {
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
