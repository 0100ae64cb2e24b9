//! RELIEF: many fetches fail; lower the level and see whether fewer do.

use std::time::Duration;

use super::BACK_OFF;
use super::state::{Level, Phase, Relief};

/// The number of results that is enough to judge.
const ENOUGH: u32 = 20;
/// The longest wait for them.
const LONGEST: Duration = Duration::from_secs(90);
/// A share of failures that is low enough to stop at.
const LOW: f64 = 0.1;

impl Level {
    /// HOLD -> RELIEF.
    pub(super) fn seek_relief_if_worth_it(&mut self, now: Duration) {
        if let Some(share_before) = self.errors.worth_a_test(now) {
            self.lower_for_relief(now, share_before);
            self.errors.clear();
        }
    }

    fn lower_for_relief(&mut self, now: Duration, share_before: f64) {
        let from = self.limit;
        self.limit = (BACK_OFF * from).max(1.0);
        self.enter(now, Phase::Relief(Relief { from, share_before }));
    }

    pub(super) fn judge_relief(&mut self, now: Duration, relief: Relief) {
        if self.measure.ended < ENOUGH && self.time_in_phase(now) <= LONGEST {
            return;
        }
        let share = self.measure.share_failed();
        if share >= 0.5 * relief.share_before {
            self.errors.put_up_with(now, share);
            return self.hold(now, relief.from);
        }
        self.too_much = Some(relief.from);
        self.held = self.limit;
        if share > LOW && self.limit > 1.0 {
            return self.lower_for_relief(now, share);
        }
        self.errors.clear();
        self.hold(now, self.limit);
        self.climb.reset(now);
    }
}
