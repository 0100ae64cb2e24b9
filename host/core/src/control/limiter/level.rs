//! The level: how many fetches may be in flight, found by experiments on the API itself.
//!
//! ```text
//!            limited, and answers no slower: level x 1.5
//!            +-----+
//!            |     v
//!   restart  |  START ------- too slow, 429, or failures: one step back -------+
//!   ------------^                                                              |
//!                                                                              v
//!      passed: hold the higher level        +-------------------------------- HOLD
//!      failed, 429: back, later, smaller    |  time to look up                | ^ |
//!                                           v                                 | | | 429: level x 0.7
//!               UP <----- at target ----- RAMP (+1 per half latency)          | | +--------> HOLD
//!               +---------------------------------> HOLD                      | |
//!                                                                             | |
//!          answers have become slower            time to look down (x 0.8)    | |
//!   HOLD -------------> CONFIRM ----------> DOWN <----------------------------+ |
//!                      (is it so?)  (x 0.7)  |  faster in proportion: keep the  |
//!                                            |  lower level; else restore       |
//!                                            +----------------------------------+
//!
//!            many fail             they fail half as often: keep the lower level; else restore
//!   HOLD ---------------> RELIEF ------------------------------------------------------------> HOLD
//!              (x 0.7)
//! ```
//!
//! If other clients seem to use the API (`overload`), steps up are equal for all, and a 429 on the way up gives up a
//! share of the level.
//!
//! Every state measures from its own beginning, in windows of at least three mean latencies; a fetch counts in a window
//! only if it started in it. The level is changed only if it limits: an experiment that no fetch had to wait for proves
//! nothing.

mod climb;
mod descend;
mod hold;
mod overload;
mod relief;
mod start;
mod state;

use std::time::Duration;

use crate::control::admission::Permit;
use crate::control::limiter::latency::Sample;
use crate::control::rebase::Rebase;
use state::{Measure, Phase, Start};

pub(super) use state::Level;

/// The factor by which a level is lowered if the API is overloaded.
const BACK_OFF: f64 = 0.7;
/// Answers slower by this factor are slower.
const TOLERANCE: f64 = 1.4;
/// Latency that rises by more than this power of the level means that more in flight bring less than half of what they
/// should.
const RISES_WITH_LEVEL: f64 = 0.5;
/// The number of standard errors that makes a difference significant.
const SIGNIFICANT: f64 = 2.0;
/// The shortest and the longest window.
const SHORTEST_WINDOW: Duration = Duration::from_millis(250);
const LONGEST_WINDOW: Duration = Duration::from_secs(64);

impl Default for Measure {
    fn default() -> Self {
        Self::from(Duration::ZERO, SHORTEST_WINDOW)
    }
}

impl Measure {
    fn from(now: Duration, window_length: Duration) -> Self {
        let nothing = Sample::default();
        Self {
            since: now,
            window_since: now,
            window_length,
            window: nothing,
            all: nothing,
            ended: 0,
            failed: 0,
            limits: false,
        }
    }

    fn share_failed(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.ended.max(1))
    }
}

/// How a fetch ended, as far as the level is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchEnd {
    /// An answer.
    Good,
    /// Too many at a time.
    Overload,
    /// Too many in a time: no matter of the level.
    OverRate,
    /// A failure or no answer.
    Failed,
}

impl Level {
    /// This level, or a fresh one, under a hard cap that may be another one than before.
    pub(super) fn under(mut self, most: u32) -> Self {
        self.most = f64::from(most.max(1));
        let first = (self.most / 4.0).clamp(1.0, 8.0);
        for level in [&mut self.limit, &mut self.held] {
            *level = if *level >= 1.0 { level.min(self.most) } else { first };
        }
        self
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        rebase.past(&mut self.measure.since);
        rebase.past(&mut self.measure.window_since);
        self.measure.window_length = self.measure.window_length.clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        if let Phase::Ramp(ramp) = &mut self.phase {
            ramp.rebase(rebase);
        }
        self.climb.rebase(rebase);
        self.descent.rebase(rebase);
        self.overload.rebase(rebase);
        self.errors.rebase(rebase);
    }

    /// How many may be in flight.
    pub(super) fn limit(&self) -> u32 {
        // Between 1 and a `u32`; what was read from elsewhere may have led to what is no number.
        (self.limit.floor() as u32).max(1)
    }

    /// The name of its state.
    pub(super) fn name(&self) -> &'static str {
        match self.phase {
            Phase::Start(_) => "start",
            Phase::Hold => "hold",
            Phase::Ramp(_) => "ramp",
            Phase::Up(_) => "up",
            Phase::Confirm => "confirm",
            Phase::Down(_) => "down",
            Phase::Relief(_) => "relief",
        }
    }

    /// Something has to wait because of the level.
    pub(super) fn on_wait(&mut self) {
        self.measure.limits = true;
        self.limits = true;
    }

    /// Do what the time has come for. `paced`: a rate is kept, so that more in flight would prove nothing.
    pub(super) fn advance(&mut self, now: Duration, paced: bool) {
        if !paced {
            self.look_up_if_due(now);
        }
        self.climb_on_if_due(now);
    }

    /// A fetch has ended. Returns whether this looks like an outage.
    #[must_use]
    pub(super) fn on_ended(&mut self, now: Duration, permit: Permit, end: FetchEnd, paced: bool) -> bool {
        match end {
            FetchEnd::Good => self.on_answered(now, permit),
            FetchEnd::Overload => {
                self.errors.on_throttled(now);
                self.on_overload(now, permit);
            }
            FetchEnd::OverRate => self.errors.on_throttled(now),
            FetchEnd::Failed => self.errors.on_failed(now),
        }
        let failed = end == FetchEnd::Failed;
        if permit.started >= self.measure.since {
            self.measure.ended = self.measure.ended.saturating_add(1);
            self.measure.failed = self.measure.failed.saturating_add(u32::from(failed));
        }
        if failed && self.on_failed(now, permit) {
            return true;
        }
        match self.phase {
            Phase::Relief(relief) => self.judge_relief(now, relief),
            phase => {
                if phase == Phase::Hold {
                    self.errors.learn(failed);
                }
                self.end_window_if_due(now, paced);
            }
        }
        false
    }

    /// The breaker has opened: what was held was too much, or will be when the API comes back.
    pub(super) fn on_outage(&mut self) {
        let limit = self.limit.max(2.0);
        self.too_much = Some(self.too_much.map_or(limit, |too_much| too_much.min(limit)));
        self.held = (BACK_OFF * self.held).max(1.0);
    }

    /// A Retry-After came, and its cause is not known yet: the level may have to be given back.
    pub(super) fn keep_in_mind(&mut self) {
        self.before_refusals.get_or_insert(self.limit);
    }

    /// Refusals come at random: what they cut before that was known is given back, and START goes on from there.
    pub(super) fn give_back(&mut self, now: Duration) {
        let Some(before) = self.before_refusals.take() else { return };
        self.limit = self.limit.max(before).min(self.most);
        self.held = self.limit;
        self.too_much = None;
        self.enter(now, Phase::Start(Start::default()));
    }

    /// The breaker has closed: begin again at half of what is held.
    pub(super) fn restart(&mut self, now: Duration) {
        self.errors.clear();
        self.limit = (0.5 * self.held).max(1.0);
        self.overload.cut(now);
        self.enter(now, Phase::Start(Start::default()));
    }

    fn on_answered(&mut self, now: Duration, permit: Permit) {
        self.errors.on_good_answer(now);
        let latency = now.saturating_sub(permit.started);
        let seconds = latency.as_secs_f64();
        self.mean_latency = Some(self.mean_latency.map_or(seconds, |mean| 0.98 * mean + 0.02 * seconds));
        if permit.started >= self.measure.window_since {
            self.measure.window.add(latency);
        }
    }

    /// A fetch failed. Returns whether this looks like an outage.
    fn on_failed(&mut self, now: Duration, permit: Permit) -> bool {
        if let Some(level_before) = self.failures_come_with_more(permit) {
            self.too_much = Some(f64::from(permit.in_flight));
            self.hold(now, level_before);
            self.climb.back_off(now);
            self.errors.clear();
            return false;
        }
        let by_share = !matches!(self.phase, Phase::Relief(_));
        if self.errors.is_outage(by_share) {
            return true;
        }
        if self.phase == Phase::Hold && self.limit > 1.0 {
            self.seek_relief_if_worth_it(now);
        }
        false
    }

    /// Whether failures have come with a level that was just raised; if so, the level before.
    fn failures_come_with_more(&self, permit: Permit) -> Option<f64> {
        let before = match self.phase {
            Phase::Start(start) => start.level_before()?,
            Phase::Ramp(_) | Phase::Up(_) => self.held,
            Phase::Hold | Phase::Confirm | Phase::Down(_) | Phase::Relief(_) => return None,
        };
        let many = self.measure.failed >= 2 && self.errors.is_unusual(self.measure.share_failed(), 0.05);
        (many && self.errors.some_succeed() && f64::from(permit.in_flight) > before).then_some(before)
    }

    fn end_window_if_due(&mut self, now: Duration, paced: bool) {
        if now.saturating_sub(self.measure.window_since) < self.measure.window_length {
            return;
        }
        let window = self.measure.window;
        self.measure.all.merge(&window);
        let (phase, since) = (std::mem::discriminant(&self.phase), self.measure.since);
        match self.phase {
            Phase::Start(start) => self.judge_start(now, start),
            Phase::Hold => self.judge_hold(now, paced),
            Phase::Ramp(_) | Phase::Relief(_) => {}
            Phase::Up(up) => self.judge_up(now, up),
            Phase::Confirm => self.judge_confirm(now),
            Phase::Down(down) => self.judge_down(now, down),
        }
        if phase == std::mem::discriminant(&self.phase) && since == self.measure.since {
            self.measure.window = Sample::default();
            self.measure.window_since = now;
        }
        self.limits = std::mem::take(&mut self.measure.limits);
        self.measure.window_length = self.window_length();
    }

    /// The shortest doubling of the shortest window that three mean latencies fit into.
    fn window_length(&self) -> Duration {
        let least = 3.0 * self.mean_latency.unwrap_or_default();
        let mut length = SHORTEST_WINDOW;
        while length.as_secs_f64() < least && length < LONGEST_WINDOW {
            length *= 2;
        }
        length
    }

    fn enter(&mut self, now: Duration, phase: Phase) {
        self.phase = phase;
        self.measure = Measure::from(now, self.measure.window_length);
    }

    fn hold(&mut self, now: Duration, level: f64) {
        self.limit = level.clamp(1.0, self.most);
        self.held = self.limit;
        self.enter(now, Phase::Hold);
    }

    /// How long the present state has lasted.
    fn time_in_phase(&self, now: Duration) -> Duration {
        now.saturating_sub(self.measure.since)
    }

    /// Whether latency has risen with the level by too much to go on, `doubts` standard errors beyond doubt.
    fn rises_with_level(&self, before: &Sample, after: &Sample, distance: f64, doubts: f64) -> bool {
        let doubt = self.baseline.doubt_between(after, before);
        after.mean() - before.mean() > RISES_WITH_LEVEL * distance + doubts * doubt
    }
}

#[cfg(test)]
mod tests;
