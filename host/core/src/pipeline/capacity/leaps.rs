//! Leaps of the wall clock that this process has seen, so that no slots expire because of one.
//!
//! Slots count until a time of day. If the clock of a machine is set forward, or the machine was suspended, they expire
//! early, while requests that were sent under them may be in flight. A process that has seen the leap counts them
//! longer by that leap, until all of them were renewed or would have expired without it. It looks for the first time
//! when it starts: one that waits for its first batch sees a leap that comes meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::ledger::LONGEST_SLOT;

/// How often at the most a moment is remembered.
const APART: Duration = Duration::from_secs(1);

/// The moments at which both clocks were looked at, the latest last. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaps(Arc<Mutex<VecDeque<Moment>>>);

impl Leaps {
    /// Compare the clocks. Returns by how much the wall clock has leapt forward since the oldest slot that can still
    /// count was written.
    pub(crate) fn see(&self, now: Moment) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |moment: &Moment| now.monotonic.saturating_duration_since(moment.monotonic);
        // The last one before that time stays: the leap may have come right after it.
        while seen.get(1).is_some_and(|second| age(second) > LONGEST_SLOT) {
            seen.pop_front();
        }
        let leap = seen.iter().map(|moment| now.leap_since(moment)).max().unwrap_or_default();
        let leap = Duration::try_from(leap).unwrap_or_default();
        let has_moved = seen.back().is_none_or(|last| age(last) >= APART || !now.leap_since(last).is_zero());
        if has_moved && seen.len() < MOST_SEEN {
            seen.push_back(now);
        } else if has_moved && let Some(last) = seen.back_mut() {
            *last = now;
        }
        leap
    }
}

/// More moments than this are never remembered: one a second for as long as a slot can count, and some.
const MOST_SEEN: usize = 2_000;

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::clock::{SteppedClock, WallClock};

    #[tokio::test(start_paused = true)]
    async fn a_leap_is_remembered_for_as_long_as_a_slot_can_count() {
        let machine = SteppedClock::new("2026-11-22T12:00:00Z".parse().unwrap());
        let (clock, leaps) = (WallClock::from(&machine), Leaps::default());
        let leap = async |after_s: u64| {
            tokio::time::advance(Duration::from_secs(after_s)).await;
            leaps.see(clock.moment()).as_secs()
        };
        assert_eq!((leap(0).await, leap(5).await), (0, 0));
        machine.step(SignedDuration::from_secs(40));
        assert_eq!((leap(0).await, leap(600).await), (40, 40));
        machine.step(SignedDuration::from_secs(40));
        assert_eq!(leap(5).await, 80);
        machine.step(SignedDuration::from_secs(-80));
        assert_eq!(leap(5).await, 0, "set back: what others wrote in between counts even longer");
        machine.step(SignedDuration::from_secs(30));
        assert_eq!(leap(5).await, 30);
        assert_eq!((leap(LONGEST_SLOT.as_secs()).await, leap(1).await), (30, 0));
    }
}
