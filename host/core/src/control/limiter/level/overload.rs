//! 429 without Retry-After: the API says that so many at a time are too many.
//!
//! An API that only we use refuses at the same number each time. If that number moves, or a level is refused that was
//! good, other clients use the API, and the limit is contested:
//!
//! ```text
//!            429 in HOLD, or at another number than the last;         nothing of the kind for a minute,
//!            for a trial, the 429 that ends START                     or 15 s of the trial
//!   OURS ------------------------------------------------> CONTESTED ----------------------------------> OURS
//!    a look up that is refused: back to the level          equal steps up; a refused one gives up a share of the level
//! ```
//!
//! Only the client that looks up is refused: the other keeps its share. If looking up cost nothing, shares would stay
//! as they were at first. All give up in proportion and take in equal steps, so that the larger loses more than it gets
//! and shares become equal (Chiu and Jain, "Analysis of the increase and decrease algorithms", 1989).

use std::collections::VecDeque;
use std::time::Duration;

use super::BACK_OFF;
use super::state::{Level, Overload, Phase};
use crate::control::admission::Permit;
use crate::control::rebase::Rebase;

/// The number of surprises, and the time within which they mean that the API is shared; and how long it counts as
/// shared.
const SURPRISES: usize = 6;
const SURPRISES_WITHIN: Duration = Duration::from_secs(60);
const SHARED_FOR: Duration = Duration::from_secs(300);
/// The factor by which a level is lowered if the API is shared: many small steps back lead to equal shares.
const BACK_OFF_IF_SHARED: f64 = 0.85;
/// A limit that has moved by this share of itself, and by one at least, is no longer the same.
const MOVED: f64 = 0.1;
/// How long a limit that moved counts as contested.
const CONTESTED_FOR: Duration = Duration::from_secs(60);
/// How long the limit counts as contested after START met a 429: clients that start at the same time may have met it at
/// any share.
const SUSPECTED_FOR: Duration = Duration::from_secs(15);
/// The factor by which a level is lowered after a refused look up, if the limit is contested.
const GIVE_UP: f64 = 0.93;

impl Default for Overload {
    fn default() -> Self {
        let surprises = VecDeque::with_capacity(SURPRISES + 1);
        Self { cut: None, surprises, shared_until: None, refused_at: None, contested_until: None }
    }
}

impl Overload {
    pub(super) fn cut(&mut self, now: Duration) {
        self.cut = Some(now);
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.cut.iter_mut().chain(&mut self.surprises).for_each(|past| rebase.past(past));
        self.shared_until.iter_mut().for_each(|until| rebase.ahead(until, SHARED_FOR));
        self.contested_until.iter_mut().for_each(|until| rebase.ahead(until, CONTESTED_FOR));
    }

    pub(super) fn is_shared(&self, now: Duration) -> bool {
        self.shared_until.is_some_and(|until| now < until)
    }

    /// Whether other clients seem to use the API: shared, or only suspected to be.
    pub(super) fn is_contested(&self, now: Duration) -> bool {
        self.is_shared(now) || self.contested_until.is_some_and(|until| now < until)
    }

    fn is_news(&self, permit: Permit) -> bool {
        self.cut.is_none_or(|cut| permit.started >= cut)
    }

    /// A fetch was refused with so many in flight.
    fn on_refused(&mut self, now: Duration, in_flight: f64) {
        let before = self.refused_at.replace(in_flight);
        if before.is_some_and(|before| (in_flight - before).abs() >= (MOVED * before).max(1.0)) {
            self.mark_contested(now, CONTESTED_FOR);
        }
    }

    /// For so long, or longer if it is already known to be so.
    pub(super) fn mark_contested(&mut self, now: Duration, span: Duration) {
        self.contested_until = self.contested_until.max(Some(now.saturating_add(span)));
    }

    fn on_surprise(&mut self, now: Duration) {
        self.mark_contested(now, CONTESTED_FOR);
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
    pub(super) fn on_overload(&mut self, now: Duration, permit: Permit) {
        if !self.overload.is_news(permit) {
            return;
        }
        let in_flight = f64::from(permit.in_flight);
        let shared = self.overload.is_shared(now);
        self.overload.cut(now);
        self.overload.on_refused(now, in_flight);
        self.too_much = Some(in_flight);
        match self.phase {
            Phase::Start(_) => {
                self.hold_after_start(now, in_flight - 1.0);
                self.climb.after_start(now);
                self.overload.mark_contested(now, SUSPECTED_FOR);
            }
            Phase::Ramp(_) | Phase::Up(_) if shared => {
                self.hold(now, BACK_OFF_IF_SHARED * self.held);
                self.climb.on_shared(now);
            }
            Phase::Ramp(_) | Phase::Up(_) if self.overload.is_contested(now) => {
                self.hold(now, GIVE_UP * self.held);
                self.climb.on_contested(now);
            }
            // The experiment is to blame, not the level it came from.
            Phase::Ramp(_) | Phase::Up(_) => {
                self.hold(now, self.held.max(in_flight - 1.0));
                self.climb.back_off(now);
            }
            Phase::Hold | Phase::Confirm | Phase::Down(_) | Phase::Relief(_) => {
                self.overload.on_surprise(now);
                let factor = if shared { BACK_OFF_IF_SHARED } else { BACK_OFF };
                self.hold(now, factor * in_flight.min(self.limit));
                let two_latencies = (2.0 * self.mean_latency.unwrap_or_default()).clamp(0.5, 4.0);
                self.climb.reset_in(now, Duration::from_secs_f64(two_latencies));
                self.descent.shorten();
            }
        }
    }
}
