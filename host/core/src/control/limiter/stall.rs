//! The stall: no requests are sent to an API that has stopped responding, long before the first timeout.
//!
//! ```text
//!            nothing ended for 5 s, though 20 were due at the rate at which they used to end
//!   FLOWING --------------------------------------------------------------------------------> STALLED
//!      ^                        something ends, or nothing is in flight                          |
//!      +-----------------------------------------------------------------------------------------+
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::rebase::Rebase;

/// The least time without a result.
const SILENCE: Duration = Duration::from_secs(5);
/// The least number of results that were due in that time.
const DUE: f64 = 20.0;
/// How long ends are counted for one measurement of their rate.
const COUNTED: Duration = Duration::from_secs(2);
/// When to look again during a stall.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often fetches end, and when one last did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stall {
    /// When something last ended or, with nothing else in flight, started.
    heard: Duration,
    counted_since: Option<Duration>,
    counted: u32,
    ends_per_second: Option<f64>,
}

impl Stall {
    /// A fetch has started; `alone` where nothing else is in flight: nothing could have ended before.
    pub(super) fn on_started(&mut self, now: Duration, alone: bool) {
        if alone {
            self.heard = now;
        }
        self.counted_since.get_or_insert(now);
    }

    pub(super) fn on_ended(&mut self, now: Duration) {
        self.heard = now;
        self.counted = self.counted.saturating_add(1);
        let span = now.saturating_sub(*self.counted_since.get_or_insert(now));
        if span > COUNTED {
            let rate = f64::from(self.counted) / span.as_secs_f64();
            self.ends_per_second = Some(self.ends_per_second.map_or(rate, |before| 0.7 * before + 0.3 * rate));
            self.counted_since = Some(now);
            self.counted = 0;
        }
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        rebase.past(&mut self.heard);
        self.counted_since.iter_mut().for_each(|since| rebase.past(since));
    }

    /// When to look again, during a stall.
    pub(super) fn until(&self, now: Duration, in_flight: u32) -> Option<Duration> {
        let silence = now.saturating_sub(self.heard);
        let due = self.ends_per_second.unwrap_or_default() * silence.as_secs_f64();
        (in_flight > 0 && silence > SILENCE && due > DUE).then(|| now.saturating_add(LOOK_AGAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Ten ends a second, for ten seconds.
    fn flowing() -> Stall {
        let mut stall = Stall::default();
        stall.on_started(at(0), true);
        (0..=100).for_each(|number| stall.on_ended(at(number * 100)));
        stall
    }

    #[test]
    fn silence_where_answers_were_due_is_a_stall_until_one_comes() {
        let mut stall = flowing();
        assert_eq!(stall.until(at(15_000), 3), None, "5 s of silence are not over");
        assert_eq!(stall.until(at(15_001), 3), Some(at(16_001)));
        assert_eq!(stall.until(at(15_001), 0), None, "nothing is in flight: one may start");
        stall.on_ended(at(16_000));
        assert_eq!(stall.until(at(16_001), 3), None);
    }

    #[test]
    fn a_slow_api_may_be_silent_for_long() {
        let mut stall = Stall::default();
        stall.on_started(at(0), true);
        (0..=10).for_each(|number| stall.on_ended(at(number * 10_000)));
        assert_eq!(stall.until(at(250_000), 3), None);
    }

    #[test]
    fn a_pause_without_work_is_no_stall() {
        let mut stall = flowing();
        stall.on_started(at(3_600_000), true);
        stall.on_started(at(3_600_000), false);
        assert_eq!(stall.until(at(3_600_001), 2), None);
        assert!(stall.until(at(3_605_001), 2).is_some());
    }
}
