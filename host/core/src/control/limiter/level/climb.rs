//! RAMP and UP: raise the level a little at a time, then measure whether more in flight bring more.

use std::time::Duration;

use super::state::{Climb, Level, Phase, Ramp, Up};
use crate::control::limiter::latency::FEWEST_SAMPLES;
use crate::control::rebase::Rebase;

/// The shortest and the longest time from one look up to the next.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(4);
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
/// The largest and the smallest step, as a share of the level.
const LARGEST_STEP: f64 = 0.25;
const SMALLEST_STEP: f64 = 0.03;
/// The first step after START met a 429, which showed the limit.
const STEP_AFTER_START: f64 = 0.1;
/// The step if others seem to share the API, as a share of the hard cap: the same for all, so that shares become equal.
const STEP_IF_CONTESTED: f64 = 0.04;
/// The time from a refused look up to the next, if the limit is contested.
const INTERVAL_IF_CONTESTED: Duration = Duration::from_secs(5);
/// The number of standard errors that fails a look up. One, not two: a wrong no costs some seconds, a wrong yes is
/// followed by the next step, and with noisy latency the level would drift far beyond the knee.
const PROBABLE: f64 = 1.0;
/// The shortest and the longest time between two steps of RAMP.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The fewest samples at the level from which to look up.
const FEWEST_BEFORE: f64 = 8.0;

impl Default for Climb {
    fn default() -> Self {
        Self { due: Duration::ZERO, interval: SHORTEST_INTERVAL, step: LARGEST_STEP }
    }
}

impl Climb {
    /// Less bold, and later.
    pub(super) fn back_off(&mut self, now: Duration) {
        self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        self.due = now.saturating_add(self.interval);
        self.step = (0.5 * self.step).max(SMALLEST_STEP);
    }

    /// Boldly again, after the shortest interval.
    pub(super) fn reset(&mut self, now: Duration) {
        self.reset_in(now, SHORTEST_INTERVAL);
    }

    /// Boldly again, after this time.
    pub(super) fn reset_in(&mut self, now: Duration, wait: Duration) {
        *self = Self { due: now.saturating_add(wait), ..Self::default() };
    }

    /// START has met a 429.
    pub(super) fn after_start(&mut self, now: Duration) {
        self.reset(now);
        self.step = STEP_AFTER_START;
    }

    /// Others share the API: soon again.
    pub(super) fn on_shared(&mut self, now: Duration) {
        self.interval = SHORTEST_INTERVAL;
        self.due = now.saturating_add(SHORTEST_INTERVAL / 2);
    }

    /// The limit is contested: soon again, but not so soon that refusals add up.
    pub(super) fn on_contested(&mut self, now: Duration) {
        self.interval = SHORTEST_INTERVAL;
        self.due = now.saturating_add(INTERVAL_IF_CONTESTED);
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.interval = self.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        rebase.ahead(&mut self.due, LONGEST_INTERVAL);
    }

    /// Not at once.
    pub(super) fn delay(&mut self, now: Duration) {
        self.due = self.due.max(now.saturating_add(Duration::from_secs(1)));
    }
}

impl Ramp {
    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        rebase.ahead(&mut self.next, LONGEST_PAUSE);
    }
}

impl Level {
    /// HOLD -> RAMP.
    pub(super) fn look_up_if_due(&mut self, now: Duration) {
        let before = self.measure.all;
        let due = self.phase == Phase::Hold && now >= self.climb.due && self.limit < self.most;
        if !due || !self.limits || before.count() < FEWEST_BEFORE {
            return;
        }
        let target = if self.overload.is_contested(now) {
            // A fraction of the level is kept: rounded up each time, what was given up would come back with every step.
            self.held + (STEP_IF_CONTESTED * self.most).ceil()
        } else {
            (self.held + (self.climb.step * self.held).max(1.0)).ceil()
        };
        self.enter(now, Phase::Ramp(Ramp { target: target.min(self.most), next: now, before }));
    }

    /// RAMP: one more each half latency, and at last UP.
    pub(super) fn climb_on_if_due(&mut self, now: Duration) {
        let Phase::Ramp(ramp) = self.phase else { return };
        if now < ramp.next {
            return;
        }
        self.limit = (self.limit.floor() + 1.0).min(ramp.target).min(self.most);
        if self.limit >= ramp.target {
            return self.enter(now, Phase::Up(Up { before: ramp.before }));
        }
        let half_latency_s = 0.5 * self.mean_latency.unwrap_or_default();
        let pause_s = half_latency_s.clamp(SHORTEST_PAUSE.as_secs_f64(), LONGEST_PAUSE.as_secs_f64());
        self.phase = Phase::Ramp(Ramp { next: now.saturating_add(Duration::from_secs_f64(pause_s)), ..ramp });
    }

    pub(super) fn judge_up(&mut self, now: Duration, up: Up) {
        let latency = self.measure.all;
        let distance = (self.limit / self.held).ln();
        let needed = self.baseline.samples_needed(distance.max(0.1)).min(up.before.count().max(FEWEST_SAMPLES));
        if latency.count() < needed && self.time_in_phase(now) < self.longest_measurement() {
            return;
        }
        let comparable = up.before.count() >= FEWEST_BEFORE && latency.count() >= FEWEST_BEFORE;
        if comparable && self.rises_with_level(&up.before, &latency, distance, PROBABLE) {
            self.too_much = Some(self.limit);
            self.hold(now, self.held);
            self.measure.all = up.before;
            self.climb.back_off(now);
        } else {
            self.too_much = None;
            self.hold(now, self.limit);
            self.measure.all = latency;
            self.climb.reset_in(now, Duration::ZERO);
            self.descent.reset(now);
        }
    }

    /// An experiment takes no longer than so many windows, whatever the samples.
    pub(super) fn longest_measurement(&self) -> Duration {
        8 * self.measure.window_length.max(Duration::from_secs(1))
    }
}
