//! CONFIRM and DOWN: lower the level and see whether latency follows. Only if it does, our load was the cause.

use std::time::Duration;

use super::state::{Descent, Down, Level, Phase, Why};
use super::{BACK_OFF, SIGNIFICANT, TOLERANCE};
use crate::control::limiter::latency::Sample;
use crate::control::rebase::Rebase;

/// The shortest and the longest time from one look down to the next.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(240);
/// The factor by which a level is lowered to look down without a reason.
const LOOK_DOWN: f64 = 0.8;
/// Latency that falls by more than this power of the level follows it: fewer in flight get as much done.
const FALLS_WITH_LEVEL: f64 = 0.7;
/// The longest that CONFIRM and a DOWN with a reason wait for samples.
const LONGEST_CONFIRM: Duration = Duration::from_secs(30);
const LONGEST_REASONED: Duration = Duration::from_secs(60);

impl Default for Descent {
    fn default() -> Self {
        Self { due: Duration::ZERO, interval: SHORTEST_INTERVAL }
    }
}

impl Descent {
    /// Once the interval is over.
    pub(super) fn wait(&mut self, now: Duration) {
        self.due = now.saturating_add(self.interval);
    }

    /// Once the shortest interval is over.
    pub(super) fn reset(&mut self, now: Duration) {
        self.shorten();
        self.wait(now);
    }

    /// From the next time on at the shortest interval.
    pub(super) fn shorten(&mut self) {
        self.interval = SHORTEST_INTERVAL;
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.interval = self.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        rebase.ahead(&mut self.due, LONGEST_INTERVAL);
    }

    fn back_off(&mut self, now: Duration) {
        self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        self.wait(now);
    }
}

impl Level {
    /// HOLD -> DOWN, for no reason but that it is time.
    pub(super) fn look_down_if_due(&mut self, now: Duration, latency: &Sample) {
        let needed = self.baseline.samples_needed((1.0 / LOOK_DOWN).ln()).min(128.0);
        if now >= self.descent.due && self.limit >= 2.0 && self.limits && latency.count() >= needed {
            let down = Down { why: Why::Due, from: self.limit, before: self.measure.all };
            self.limit = (LOOK_DOWN * self.limit).floor().max(1.0);
            self.enter(now, Phase::Down(down));
        }
    }

    /// CONFIRM -> DOWN, once there are samples of the slower latency.
    pub(super) fn judge_confirm(&mut self, now: Duration) {
        let needed = self.baseline.samples_needed((1.0 / BACK_OFF).ln()).min(64.0);
        if self.measure.all.count() >= needed || self.time_in_phase(now) > LONGEST_CONFIRM {
            let down = Down { why: Why::Slower, from: self.limit, before: self.measure.all };
            self.limit = (BACK_OFF * self.limit).max(1.0);
            self.enter(now, Phase::Down(down));
        }
    }

    pub(super) fn judge_down(&mut self, now: Duration, down: Down) {
        let latency = self.measure.all;
        let distance = (down.from / self.limit).ln();
        let longest = if down.why == Why::Slower { LONGEST_REASONED } else { self.longest_measurement() };
        if latency.count() < self.baseline.samples_needed(distance.max(0.1)) && self.time_in_phase(now) < longest {
            return;
        }
        let gain = down.before.mean() - latency.mean();
        let doubt = self.baseline.doubt_between(&latency, &down.before);
        if gain > FALLS_WITH_LEVEL * distance - 0.5 * doubt && gain > SIGNIFICANT * doubt {
            self.keep_lower(now, down);
        } else {
            self.restore(now, down);
        }
    }

    /// Latency follows our level: keep the lower one, and go on while that is promising.
    fn keep_lower(&mut self, now: Duration, down: Down) {
        let (latency, level) = (self.measure.all, self.limit);
        self.too_much = Some(down.from);
        self.held = level;
        let (goes_on, factor) = match down.why {
            Why::Slower => (self.baseline.rise(&latency) > 0.6 * TOLERANCE.ln(), BACK_OFF),
            Why::Due => (true, LOOK_DOWN),
        };
        let lower = (factor * level).floor().max(1.0);
        if goes_on && lower < level {
            self.limit = lower;
            return self.enter(now, Phase::Down(Down { from: level, before: latency, ..down }));
        }
        self.hold(now, level);
        self.measure.all = latency;
        self.climb.reset(now);
        self.descent.reset(now);
    }

    /// Latency does not follow: go back. The cause of the slower responses is not us, and the new latency is normal
    /// from now on.
    fn restore(&mut self, now: Duration, down: Down) {
        self.hold(now, down.from);
        match down.why {
            Why::Slower => {
                self.baseline.adopt(&down.before);
                self.climb.reset(now);
            }
            Why::Due => {
                self.measure.all = down.before;
                self.climb.delay(now);
            }
        }
        self.descent.back_off(now);
    }
}
