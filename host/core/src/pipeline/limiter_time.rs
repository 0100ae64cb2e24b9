//! The limiter's time: it moves with the monotonic clock, and catches up with the wall clock where that went on alone.
//!
//! The monotonic clock of a frozen sandbox or a suspended machine stands still. A limiter that knew no other time would
//! wait for a gate or a pause as if nothing had happened meanwhile. It never goes backwards: a wall clock that was set
//! back moves nothing.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Moment;
use crate::pipeline::capacity::slots::MARGIN;

/// The time of a process's limiter. It begins with the time since 1970, as far as the wall clock is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimiterTime {
    /// When the clocks were compared last.
    seen: Moment,
    /// The limiter's time then.
    elapsed: Duration,
}

impl LimiterTime {
    /// The time of a process that starts.
    pub(crate) fn starting(moment: Moment) -> Self {
        let since_1970 = moment.wall.duration_since(Timestamp::UNIX_EPOCH);
        Self { seen: moment, elapsed: Duration::try_from(since_1970).unwrap_or_default() }
    }

    /// The time at an instant.
    pub(crate) fn at(&self, instant: Instant) -> Duration {
        self.elapsed.saturating_add(instant.saturating_duration_since(self.seen.monotonic))
    }

    /// A time as a time of day.
    pub(crate) fn wall(&self, time: Duration) -> Timestamp {
        match time.checked_sub(self.elapsed) {
            Some(after) => self.seen.wall.saturating_add(after).unwrap_or(Timestamp::MAX),
            None => self.seen.wall.saturating_sub(self.elapsed.saturating_sub(time)).unwrap_or(Timestamp::MIN),
        }
    }

    /// Compare the clocks, and catch up where the wall clock went on while the monotonic one stood still.
    pub(crate) fn catch_up(&mut self, now: Moment) {
        let leap = now.leap_since(&self.seen);
        // The usual difference of clocks changes nothing, so that a time stays the same time of day.
        if leap.unsigned_abs() > MARGIN {
            let missed = Duration::try_from(leap).unwrap_or_default();
            *self = Self { elapsed: self.at(now.monotonic).saturating_add(missed), seen: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::clock::{SteppedClock, WallClock};

    #[tokio::test(start_paused = true)]
    async fn it_catches_up_after_a_freeze_and_never_goes_back() {
        let machine = SteppedClock::new(Timestamp::from_second(1_800_000_000).unwrap());
        let clock = WallClock::from(&machine);
        let mut time = LimiterTime::starting(clock.moment());
        let begin = time.at(Instant::now());
        assert_eq!(begin, Duration::from_secs(1_800_000_000));
        let mut after = |step_s: i64| {
            machine.step(SignedDuration::from_secs(step_s));
            time.catch_up(clock.moment());
            (time.at(Instant::now()) - begin).as_secs()
        };
        assert_eq!(after(3_600), 3_600, "frozen for an hour");
        assert_eq!(after(-7_200), 3_600, "set back");
        assert_eq!(after(60), 3_660, "frozen for a minute: what was set back does not come back");
        assert_eq!(after(1), 3_660, "clocks are compared with a margin");
        assert_eq!(time.wall(begin + Duration::from_secs(3_670)), clock.now() + Duration::from_secs(9));
    }
}
