//! HOLD: keep the level, learn what is normal at it, and see when something changes.

use std::time::Duration;

use super::TOLERANCE;
use super::state::{Level, Phase};
use crate::control::limiter::latency::{Baseline, FEWEST_SAMPLES, Sample};

/// The number of standard errors that makes an unexpected change significant.
const CLEAR: f64 = 4.0;
/// The least fall in log latency that is worth looking up for.
const LEAST_FALL: f64 = 0.15;
/// The fewest samples in a window, and before it, to compare them.
const FEWEST_IN_WINDOW: f64 = 8.0;
/// The fewest samples to compare with what is normal.
const FEWEST_IN_ALL: f64 = 32.0;
/// The most samples that are remembered: newer ones take their place.
const REMEMBERED: f64 = 400.0;

impl Level {
    pub(super) fn judge_hold(&mut self, now: Duration, paced: bool) {
        let (window, all) = (self.measure.window, self.measure.all);
        if !self.baseline.is_known() {
            if all.count() >= FEWEST_SAMPLES {
                self.baseline = Baseline::of(&all);
                self.measure.all = Sample::default();
            }
            return;
        }
        let earlier = all.without(&window);
        if window.count() >= FEWEST_IN_WINDOW && earlier.count() > FEWEST_SAMPLES {
            let change = window.mean() - earlier.mean();
            let chance = CLEAR * self.baseline.doubt_between(&window, &earlier);
            if change < -chance.max(LEAST_FALL) && self.limit < self.most {
                self.measure.all = window;
                self.climb.reset_in(now, Duration::ZERO);
            } else if change > chance.max(TOLERANCE.ln()) && self.limit > 1.0 {
                return self.enter(now, Phase::Confirm);
            }
        }
        let rise = self.baseline.rise(&all);
        let is_slower = rise > TOLERANCE.ln() && rise > CLEAR * self.baseline.doubt(&all);
        if all.count() >= FEWEST_IN_ALL && is_slower && self.limit > 1.0 {
            return self.enter(now, Phase::Confirm);
        }
        self.baseline.learn(&window, &all);
        self.measure.all.fade_to(REMEMBERED);
        if !paced {
            self.look_down_if_due(now, &all);
        }
    }
}
