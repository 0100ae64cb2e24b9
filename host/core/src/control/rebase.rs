//! Saved instants, moved to the time of the process that reads them.
//!
//! Each process counts time from the wall clock at its start. A saved state therefore holds the saver's time; the
//! reader moves every instant by the difference, and bounds it: an instant in the past stays in the past, and an
//! instant to wait for is never further away than the longest such wait. Therefore no saved state, whatever clock wrote
//! it, stops a provider for longer. Pure.

use std::time::Duration;

/// Moves instants from the time of the process that saved them to that of the process that reads them.
#[derive(Debug, Clone, Copy)]
pub struct Rebase {
    /// Now, in the reader's time.
    now: Duration,
    /// Now, in the saver's time.
    saver_now: Duration,
}

impl Rebase {
    /// From a time in which it is `saver_now` to one in which it is `now`.
    #[must_use]
    pub fn new(now: Duration, saver_now: Duration) -> Self {
        Self { now, saver_now }
    }

    /// An instant that has passed: never after now.
    pub(crate) fn past(&self, instant: &mut Duration) {
        *instant = self.to_reader_time(*instant).min(self.now);
    }

    /// An instant that may lie ahead: at most `longest` after now.
    pub(crate) fn ahead(&self, instant: &mut Duration, longest: Duration) {
        *instant = self.to_reader_time(*instant).min(self.now.saturating_add(longest));
    }

    fn to_reader_time(self, instant: Duration) -> Duration {
        match instant.checked_sub(self.saver_now) {
            Some(ahead) => self.now.saturating_add(ahead),
            None => self.now.saturating_sub(self.saver_now.saturating_sub(instant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distances_stay_within_their_bounds(
            now_s in 10_000_u64..u64::MAX,
            saver_now_s in 10_000_u64..u64::MAX,
            distance_s in 0_u64..10_000,
            longest_s in 0_u64..10_000,
        ) {
            let seconds = Duration::from_secs;
            let (now, saver_now) = (seconds(now_s), seconds(saver_now_s));
            let rebase = Rebase::new(now, saver_now);
            let mut before = saver_now - seconds(distance_s);
            rebase.past(&mut before);
            prop_assert_eq!(now - before, seconds(distance_s));
            let mut after = saver_now.saturating_add(seconds(distance_s));
            let distance = after - saver_now;
            let mut never = after;
            rebase.ahead(&mut after, seconds(longest_s));
            prop_assert_eq!(after, now.saturating_add(distance.min(seconds(longest_s))));
            rebase.past(&mut never);
            prop_assert!(never <= now);
        }
    }
}
