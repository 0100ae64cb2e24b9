//! START: up in steps of a half, for as long as answers become no slower.
//!
//! Each step is compared with the one before and with the first. A rise that is too small to be seen in one step of a
//! slow and noisy API, so that START would go on to the cap, is seen over several.

use std::time::Duration;

use super::SIGNIFICANT;
use super::state::{Level, Phase, Start, Step};
use crate::control::limiter::latency::FEWEST_SAMPLES;

/// By how much each step raises the level.
const STEP: f64 = 1.5;

impl Start {
    pub(super) fn level_before(&self) -> Option<f64> {
        self.before.map(|before| before.level)
    }
}

impl Level {
    pub(super) fn judge_start(&mut self, now: Duration, start: Start) {
        let latency = self.measure.all;
        if latency.count() < (2.0 * self.limit).clamp(4.0, FEWEST_SAMPLES) {
            return;
        }
        if let Some(before) = start.before {
            let is_slower = |than: Step| {
                let distance = (self.limit / than.level).ln();
                distance > 0.0 && self.rises_with_level(&than.latency, &latency, distance, SIGNIFICANT)
            };
            if is_slower(before) || start.first.is_some_and(is_slower) {
                self.too_much = Some(self.limit);
                self.hold_after_start(now, before.level);
                return self.climb.reset(now);
            }
        }
        if self.limit >= self.most {
            self.hold_after_start(now, self.limit);
            return self.climb.reset(now);
        }
        let step = Step { level: self.limit, latency };
        if self.measure.limits {
            let next = (STEP * self.limit).max(self.limit + 1.0).min(self.most);
            let below = self.too_much.map(|too_much| too_much - 1.0);
            if let Some(below) = below.filter(|below| next >= below + 1.0 && *below > self.limit) {
                self.hold_after_start(now, below);
                return self.climb.reset_in(now, Duration::from_secs(1));
            }
            self.limit = next;
            self.held = next;
        }
        self.enter(now, Phase::Start(Start { first: start.first.or(Some(step)), before: Some(step) }));
    }

    pub(super) fn hold_after_start(&mut self, now: Duration, level: f64) {
        self.hold(now, level);
        self.descent.wait(now);
    }
}
