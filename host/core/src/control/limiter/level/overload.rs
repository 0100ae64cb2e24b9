//! 429 without Retry-After: the API says that so many at a time are too many.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BACK_OFF, Level, Phase};
use crate::control::admission::Permit;

/// So many surprises within so long mean that somebody shares the API, and for so long it is taken to be so.
const SURPRISES: usize = 6;
const SURPRISES_WITHIN: Duration = Duration::from_secs(60);
const SHARED_FOR: Duration = Duration::from_secs(300);
/// What a level is multiplied by where somebody shares the API: who takes little back often, gets an equal share.
const BACK_OFF_IF_SHARED: f64 = 0.85;

/// What 429s have told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Overload {
    /// When the level was last lowered for one.
    cut: Option<Duration>,
    /// The last times that a level was too much which had been good.
    surprises: VecDeque<Duration>,
    shared_until: Option<Duration>,
}

impl Default for Overload {
    fn default() -> Self {
        Self { cut: None, surprises: VecDeque::with_capacity(SURPRISES + 1), shared_until: None }
    }
}

impl Overload {
    pub(super) fn cut(&mut self, now: Duration) {
        self.cut = Some(now);
    }

    pub(super) fn is_shared(&self, now: Duration) -> bool {
        self.shared_until.is_some_and(|until| now < until)
    }

    fn is_news(&self, permit: Permit) -> bool {
        self.cut.is_none_or(|cut| permit.started >= cut)
    }

    fn surprised(&mut self, now: Duration) {
        if self.surprises.len() >= SURPRISES {
            self.surprises.pop_front();
        }
        self.surprises.push_back(now);
        let first = self.surprises.front().copied().unwrap_or(now);
        if self.surprises.len() >= SURPRISES && now.saturating_sub(first) <= SURPRISES_WITHIN {
            self.shared_until = Some(now.saturating_add(SHARED_FOR));
        }
    }
}

impl Level {
    /// A fetch that started after the last cut met a 429; those before it belong to that cut.
    pub(super) fn overloaded(&mut self, now: Duration, permit: Permit) {
        if !self.overload.is_news(permit) {
            return;
        }
        let in_flight = f64::from(permit.in_flight);
        let shared = self.overload.is_shared(now);
        self.overload.cut(now);
        self.too_much = Some(in_flight);
        match self.phase {
            Phase::Start(_) => {
                self.hold_after_start(now, in_flight - 1.0);
                self.climb.after_start(now);
            }
            Phase::Ramp(_) | Phase::Up(_) if shared => {
                self.hold(now, BACK_OFF_IF_SHARED * self.held);
                self.climb.shared(now);
            }
            // The experiment is to blame, not the level it came from.
            Phase::Ramp(_) | Phase::Up(_) => {
                self.hold(now, self.held.max(in_flight - 1.0));
                self.climb.failed(now);
            }
            Phase::Hold | Phase::Confirm | Phase::Down(_) | Phase::Relief(_) => {
                self.overload.surprised(now);
                let factor = if shared { BACK_OFF_IF_SHARED } else { BACK_OFF };
                self.hold(now, factor * in_flight.min(self.limit));
                let two_latencies = (2.0 * self.mean_latency.unwrap_or_default()).clamp(0.5, 4.0);
                self.climb.reset_in(now, Duration::from_secs_f64(two_latencies));
                self.descent.shorten();
            }
        }
    }
}
