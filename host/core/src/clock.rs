//! The wall clock: the only place of the pipeline that reads the time of day.
//!
//! Durations, timeouts and deadlines are `tokio::time`; this adds the calendar to it. In tests and simulations the wall
//! clock is pinned to tokio's, so that a paused clock runs a day in a second, or [`SteppedClock`] has the faults of a
//! real one: it steps and drifts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The source of the time of day.
#[derive(Debug, Clone)]
pub enum WallClock {
    /// The machine's own clock.
    System,
    /// A time of day that moves with tokio's clock: `epoch` was at `started`.
    Pinned {
        /// The time of day at `started`.
        epoch: Timestamp,
        /// The instant of tokio's clock that `epoch` stands for.
        started: Instant,
    },
    /// A time of day that a test or a simulation steps and lets drift.
    Stepped(SteppedClock),
}

impl WallClock {
    /// A clock that reads `epoch` now and moves with tokio's clock from here on.
    #[must_use]
    pub fn from_epoch(epoch: Timestamp) -> Self {
        Self::Pinned { epoch, started: Instant::now() }
    }

    /// The time on both clocks now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { monotonic: Instant::now(), wall: self.now() }
    }

    /// The time of day, now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Self::System => Timestamp::now(),
            Self::Pinned { epoch, started } => {
                let elapsed = Instant::now().saturating_duration_since(*started);
                epoch.saturating_add(elapsed).unwrap_or(*epoch)
            }
            Self::Stepped(clock) => clock.now(),
        }
    }
}

impl From<&SteppedClock> for WallClock {
    fn from(clock: &SteppedClock) -> Self {
        Self::Stepped(clock.clone())
    }
}

/// The time on both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The monotonic clock: it stands still while a sandbox is frozen or a machine suspended.
    pub monotonic: Instant,
    /// The time of day: it can be set.
    pub wall: Timestamp,
}

impl Moment {
    /// By how much the wall clock went further than the monotonic one since an earlier moment: it was set forward, or
    /// the machine was suspended. Negative where it was set back.
    #[must_use]
    pub fn leap_since(&self, earlier: &Self) -> SignedDuration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        let wall = self.wall.duration_since(earlier.wall);
        wall.saturating_sub(SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::MAX))
    }

    /// How much time has passed since an earlier moment, by the clock that says more: either may have stood still or
    /// been set back.
    #[must_use]
    pub fn passed_since(&self, earlier: &Self) -> Duration {
        let by_wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        self.monotonic.saturating_duration_since(earlier.monotonic).max(by_wall)
    }
}

/// A wall clock with faults, for tests and simulations: it moves with tokio's clock, and can be stepped forward and
/// back at any moment and made to run fast or slow. Clones are the same clock: all processes of one machine share one.
///
/// A machine that was suspended is the same as a step forward: its monotonic clock stood still while the time of day
/// went on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use damper_core::clock::{SteppedClock, WallClock};
/// use jiff::SignedDuration;
///
/// let machine = SteppedClock::new("2026-11-22T12:00:00Z".parse().unwrap());
/// let clock = WallClock::from(&machine);
/// tokio::time::advance(std::time::Duration::from_secs(5)).await;
/// machine.step(SignedDuration::from_secs(-3_600));
/// assert_eq!(clock.now().to_string(), "2026-11-22T11:00:05Z");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SteppedClock(Arc<Mutex<Course>>);

/// How a stepped clock runs since its last fault.
#[derive(Debug)]
struct Course {
    /// The time of day at `since`.
    epoch: Timestamp,
    since: Instant,
    /// By how many millionths it is too fast.
    drift_ppm: i32,
}

impl SteppedClock {
    /// A clock that reads `epoch` now and has no fault yet.
    #[must_use]
    pub fn new(epoch: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Course { epoch, since: Instant::now(), drift_ppm: 0 })))
    }

    /// The time of day, now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.course().now(Instant::now())
    }

    /// Step the clock: forward, as after a suspension, or back.
    pub fn step(&self, by: SignedDuration) {
        let mut course = self.course();
        course.restart();
        course.epoch = course.epoch.saturating_add(by).unwrap_or(course.epoch);
    }

    /// Let the clock run too fast by `ppm` millionths from now on; too slow, where that is negative; right again with
    /// 0.
    pub fn drift(&self, ppm: i32) {
        let mut course = self.course();
        course.restart();
        course.drift_ppm = ppm;
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course {
    fn now(&self, now: Instant) -> Timestamp {
        let elapsed = now.saturating_duration_since(self.since);
        let drift = elapsed.mul_f64(f64::from(self.drift_ppm.unsigned_abs()) / 1e6);
        let elapsed = if self.drift_ppm < 0 { elapsed.saturating_sub(drift) } else { elapsed.saturating_add(drift) };
        self.epoch.saturating_add(elapsed).unwrap_or(self.epoch)
    }

    /// Count from now on.
    fn restart(&mut self) {
        let now = Instant::now();
        (self.epoch, self.since) = (self.now(now), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stepped_clock_steps_and_drifts_from_tokios() {
        let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let machine = SteppedClock::new(begin);
        let clock = WallClock::from(&machine);
        let passed = || clock.now().duration_since(begin).as_millis();
        machine.step(SignedDuration::from_secs(40));
        assert_eq!(passed(), 40_000);
        tokio::time::advance(Duration::from_secs(10)).await;
        machine.step(SignedDuration::from_secs(-100));
        assert_eq!(passed(), -50_000);
        machine.drift(1_000);
        tokio::time::advance(Duration::from_secs(1_000)).await;
        assert_eq!(passed(), 951_000, "a thousandth too fast");
        machine.drift(-1_000);
        tokio::time::advance(Duration::from_secs(1_000)).await;
        assert_eq!(passed(), 1_950_000, "and too slow");
        machine.drift(0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(), 1_951_000);
    }
}
