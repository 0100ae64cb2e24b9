//! Failure rates: the recent share of failed fetches, the usual share, and the detection of outages.
//!
//! The last 20 results or those of the last 10 s count, whichever are more, and never more than 200.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::rebase::Rebase;

/// The fewest ends that say anything of a share.
const FEWEST: usize = 20;
/// The most ends that are looked at.
const MOST: usize = 200;
/// How long an end is looked at, where there are enough.
const SPAN_MS: u64 = 10_000;
/// The number of failures in a row that is an outage.
const OUTAGE_IN_A_ROW: u32 = 8;
/// The share of failures that is an outage.
const OUTAGE_SHARE: f64 = 0.5;
/// The least share of failures at which fewer in flight are tried.
const LEAST_SHARE: f64 = 0.1;
/// How long fewer are not tried again after they did not help.
const QUIET: Duration = Duration::from_secs(60);

/// The last ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Errors {
    recent: Recent,
    /// Failures since the last success.
    in_a_row: u32,
    /// The share that fails independently of our load.
    usual: f64,
    quiet_until: Option<Duration>,
}

impl Errors {
    pub(super) fn on_good_answer(&mut self, now: Duration) {
        self.in_a_row = 0;
        self.recent.push(now, false);
    }

    /// The API throttled: it works.
    pub(super) fn on_throttled(&mut self, now: Duration) {
        self.recent.push(now, false);
    }

    pub(super) fn on_failed(&mut self, now: Duration) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.recent.push(now, true);
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.quiet_until.iter_mut().for_each(|until| rebase.ahead(until, QUIET));
        for (at_ms, _) in &mut self.recent.ends {
            let mut at = Duration::from_millis(*at_ms);
            rebase.past(&mut at);
            *at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        }
    }

    /// Forget the last ends, not what is usual.
    pub(super) fn clear(&mut self) {
        self.in_a_row = 0;
        self.recent.clear();
    }

    /// Learn what is usual from an end at a level that is held: over ten times as many ends as are looked at, for else
    /// a share that has just risen would be usual before it could be seen.
    pub(super) fn learn(&mut self, failed: bool) {
        let weight = 0.1 / self.recent.ends.len().max(FEWEST) as f64;
        self.usual += weight * (if failed { 1.0 } else { 0.0 } - self.usual);
    }

    /// Fewer in flight did not help: take this share for usual and leave it at that for a while.
    pub(super) fn put_up_with(&mut self, now: Duration, share: f64) {
        self.usual = share;
        self.quiet_until = Some(now.saturating_add(QUIET));
        self.clear();
    }

    /// Whether any of the last ends was no failure.
    pub(super) fn some_succeed(&self) -> bool {
        self.recent.failures < self.recent.ends.len()
    }

    /// Whether a share of failures is more than chance and what is usual explain, `least` at the least.
    pub(super) fn is_unusual(&self, share: f64, least: f64) -> bool {
        share > (3.0 * self.usual).max(least)
    }

    /// Whether it fails so often that requests should stop.
    pub(super) fn is_outage(&self, by_share: bool) -> bool {
        self.in_a_row >= OUTAGE_IN_A_ROW || (by_share && self.recent.share().is_some_and(|share| share >= OUTAGE_SHARE))
    }

    /// The share of failures, if it may be ours to lower.
    pub(super) fn worth_a_test(&self, now: Duration) -> Option<f64> {
        let quiet = self.quiet_until.is_some_and(|until| now <= until);
        self.recent.share().filter(|share| !quiet && self.is_unusual(*share, LEAST_SHARE))
    }
}

/// The last ends, oldest first, in whole milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
struct Recent {
    ends: VecDeque<(u64, bool)>,
    failures: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { ends: VecDeque::with_capacity(MOST + 1), failures: 0 }
    }
}

impl Recent {
    fn push(&mut self, now: Duration, failed: bool) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.ends.push_back((now, failed));
        self.failures += usize::from(failed);
        while self.ends.len() > MOST || (self.ends.len() > FEWEST && self.oldest_is_before(now.saturating_sub(SPAN_MS)))
        {
            if let Some((_, true)) = self.ends.pop_front() {
                self.failures -= 1;
            }
        }
    }

    fn oldest_is_before(&self, time_ms: u64) -> bool {
        self.ends.front().is_some_and(|(at, _)| *at < time_ms)
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.failures = 0;
    }

    fn share(&self) -> Option<f64> {
        (self.ends.len() >= FEWEST).then(|| self.failures as f64 / self.ends.len() as f64)
    }
}

/// The same, short: when the first was, how long after the one before each other was, and which of them failed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Packed {
    first_ms: u64,
    gaps_ms: Vec<u64>,
    failed: Vec<usize>,
}

impl From<Recent> for Packed {
    fn from(recent: Recent) -> Self {
        let Some((first_ms, _)) = recent.ends.front().copied() else { return Self::default() };
        let mut before = first_ms;
        let gap = |(at, _): &(u64, bool)| at.saturating_sub(std::mem::replace(&mut before, *at));
        let gaps_ms = recent.ends.iter().map(gap).collect();
        let failed =
            recent.ends.iter().enumerate().filter(|(_, (_, failed))| *failed).map(|(index, _)| index).collect();
        Self { first_ms, gaps_ms, failed }
    }
}

impl From<Packed> for Recent {
    fn from(packed: Packed) -> Self {
        let mut recent = Self::default();
        let (mut at, mut failed) = (packed.first_ms, packed.failed.into_iter().peekable());
        for (index, gap) in packed.gaps_ms.into_iter().take(MOST).enumerate() {
            at = at.saturating_add(gap);
            let end = (at, failed.next_if_eq(&index).is_some());
            recent.failures += usize::from(end.1);
            recent.ends.push_back(end);
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn errors(ends: &[(u64, bool)]) -> Errors {
        let mut errors = Errors::default();
        for (time, failed) in ends {
            if *failed { errors.on_failed(at(*time)) } else { errors.on_good_answer(at(*time)) }
        }
        errors
    }

    #[test]
    fn eight_failures_in_a_row_are_an_outage_and_seven_are_none() {
        let mut errors = errors(&[(0, true); 7]);
        assert!(!errors.is_outage(true));
        errors.on_throttled(at(1));
        errors.on_failed(at(2));
        assert!(errors.is_outage(true), "a 429 between is no success");
        errors.on_good_answer(at(3));
        assert!(!errors.is_outage(true));
    }

    #[test]
    fn half_of_twenty_are_an_outage_unless_fewer_in_flight_are_being_tried() {
        let ends: Vec<_> = (0..20).map(|number| (number, number % 2 == 0)).collect();
        assert!(errors(&ends).is_outage(true) && !errors(&ends).is_outage(false));
        assert!(!errors(ends.get(1..).unwrap()).is_outage(true), "nineteen are too few");
    }

    #[test]
    fn old_ends_are_not_looked_at_where_there_are_enough_new_ones() {
        let mut ends = vec![(0, true); 15];
        ends.extend((0..19).map(|number| (20_000 + number, false)));
        assert_eq!(errors(&ends).recent.ends.len(), 20);
        ends.extend((0..300).map(|number| (20_100 + number, false)));
        assert_eq!(errors(&ends).recent.ends.len(), MOST);
        assert_eq!(errors(&ends).recent.failures, 0);
    }

    #[test]
    fn what_fewer_in_flight_did_not_mend_is_put_up_with_for_a_minute_and_then_taken_for_usual() {
        let ends: Vec<_> = (0..40).map(|number| (number, number % 5 == 0)).collect();
        let mut errors = errors(&ends);
        assert_eq!(errors.worth_a_test(at(50)), Some(0.2));
        errors.put_up_with(at(50), 0.02);
        ends.iter().for_each(
            |(time, failed)| if *failed { errors.on_failed(at(*time)) } else { errors.on_good_answer(at(*time)) },
        );
        assert_eq!(errors.worth_a_test(at(60_050)), None);
        assert_eq!(errors.worth_a_test(at(60_051)), Some(0.2));
        errors.put_up_with(at(0), 0.2);
        assert!(!errors.is_unusual(0.5, 0.05), "three times the usual at least");
    }

    #[test]
    fn the_last_ends_are_kept_short() {
        let ends: Vec<_> = (0..MOST as u64).map(|number| (1_700_000_000_000 + 31 * number, number % 3 == 0)).collect();
        let errors = errors(&ends);
        let text = serde_json::to_string(&errors).unwrap();
        assert!(text.len() < 1_200, "{}", text.len());
        assert_eq!(serde_json::from_str::<Errors>(&text).unwrap(), errors);
        assert_eq!(serde_json::from_str::<Errors>("{}").unwrap(), Errors::default());
    }
}
