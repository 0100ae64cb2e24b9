//! The fast loop: how many fetches may be in flight now, and when the next may start.
//!
//! A composition of small machines, each of which can say no:
//!
//! ```text
//!   admit:  hard cap -> breaker -> gate -> level -> stall -> learned rate -> manifest's rate -> Now
//!              |           |         |       |        |           |               |
//!              |        OPEN,     Retry-  at most   nothing    after Retry-    requests a
//!              |        HALF-OPEN After   so many   comes back After           second
//!              v
//!        AfterCompletion, or At the time when it is worth asking again
//!
//!   completed:  Retry-After -> gate, rate | 429 -> level | failures -> breaker, level | latency -> level
//! ```
//!
//! - `level`: the experiments that find how many the API bears; START, HOLD, RAMP, UP, CONFIRM, DOWN, RELIEF
//! - `latency`, `errors`: what it goes by
//! - `retry_after`: the gate and the learned rate; `cause`: whether there is a rate behind refusals
//! - `stall`: stop while nothing comes back
//! - [`crate::control::breaker`]: keep away from an API that only fails
//! - [`crate::control::pacer`]: keep a rate
//!
//! It is pure and takes the same decisions from the same events; [`Limiter::snapshot`] holds all of its state, so that a
//! process that starts goes on where another stopped. Time is a `Duration` since an epoch that the caller chooses and keeps.

mod cause;
mod errors;
mod latency;
mod level;
mod retry_after;
mod stall;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::control::admission::{Admission, Admit, Outcome, Permit, Reading};
use crate::control::breaker::{Breaker, Heard, Passage};
use crate::control::pacer::Pacer;
use crate::control::rebase::Rebase;
use level::{End, Level};
use retry_after::{About, RetryAfter};
use stall::Stall;

/// The longest Retry-After that is believed; a longer one is cut to this.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// When to ask again where nothing may ever start: the hard cap is none.
const NEVER: Duration = Duration::from_secs(3600);
/// How far ahead the requests of a fetch that sent many can have put the manifest's rate, as far as a saved state is believed:
/// the longest time that a fetch may take.
const LONGEST_DEBT: Duration = Duration::from_secs(600);

/// What a limiter must keep to.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterConfig {
    /// The most requests in flight.
    pub max_in_flight: u32,
    /// The most requests sent in a second.
    pub requests_per_second: Option<f64>,
}

/// Decides when a fetch may start. One per provider and process.
#[derive(Debug, Clone)]
pub struct Limiter {
    max_in_flight: u32,
    requests_per_second: Option<f64>,
    state: State,
}

/// All that a limiter knows, to be kept and given to [`Limiter::restore`]. Instants in it are of the limiter's epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot(State);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Beside how many others the last fetch was admitted.
    beside: u32,
    breaker: Breaker,
    level: Level,
    retry_after: RetryAfter,
    stall: Stall,
    /// Keeps the manifest's rate.
    pacer: Pacer,
}

impl Limiter {
    /// A limiter that knows nothing of the API yet.
    #[must_use]
    pub fn new(config: LimiterConfig) -> Self {
        Self::restore(config, Snapshot::default())
    }

    /// A limiter that goes on where another one was; the configuration may have changed since.
    #[must_use]
    pub fn restore(config: LimiterConfig, snapshot: Snapshot) -> Self {
        let LimiterConfig { max_in_flight, requests_per_second } = config;
        let Snapshot(mut state) = snapshot;
        state.level = state.level.under(max_in_flight);
        state.retry_after = state.retry_after.repaired();
        state.pacer.set_rate(requests_per_second);
        Self { max_in_flight, requests_per_second, state }
    }

    /// The same with a snapshot that a process of another time has saved.
    #[must_use]
    pub fn restore_rebased(config: LimiterConfig, snapshot: Snapshot, rebase: &Rebase) -> Self {
        let Snapshot(mut state) = snapshot;
        state.rebase(rebase);
        Self::restore(config, Snapshot(state))
    }

    /// All that it knows.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.state.clone())
    }

    /// See [`Admit::admit`]. Asked again after any completion, and at the time that an `At` names.
    pub fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        self.state.beside = in_flight;
        if in_flight >= self.max_in_flight {
            return if in_flight == 0 { Admission::At(now.saturating_add(NEVER)) } else { Admission::AfterCompletion };
        }
        let state = &mut self.state;
        let passage = state.breaker.ask(now, in_flight);
        if let Passage::NotBefore(until) = passage {
            return Admission::At(until);
        }
        if let Some(gate) = state.retry_after.gate(now) {
            return Admission::At(gate);
        }
        match passage {
            Passage::Free => {
                if let Some(later) = state.admit_freely(now, in_flight) {
                    return later;
                }
            }
            Passage::AfterProbe => return Admission::AfterCompletion,
            Passage::Probe | Passage::NotBefore(_) => {}
        }
        state.pacer.next(now).map_or(Admission::Now, Admission::At)
    }

    /// See [`Admit::started`].
    pub fn started(&mut self, now: Duration) -> Permit {
        let state = &mut self.state;
        state.breaker.started(now);
        state.stall.started(now, state.beside == 0);
        state.retry_after.started(now);
        state.pacer.started(now);
        Permit { started: now, in_flight: state.beside.saturating_add(1) }
    }

    /// See [`Admit::sent_more`]. A learned rate is one of fetches and needs no making up.
    pub fn sent_more(&mut self, now: Duration, requests: u32) {
        self.state.pacer.started_more(now, requests);
    }

    /// See [`Admit::completed`].
    pub fn completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        let state = &mut self.state;
        state.stall.ended(now);
        if let Outcome::Throttled { retry_after: Some(wait) } = outcome
            && (!state.breaker.is_closed() || state.retry_after.binds_all(wait))
        {
            state.retry_after.close_gate(now, wait);
        }
        // While it is closed, a 429 is the answer of an API that works.
        let well = match outcome {
            Outcome::Ok => true,
            Outcome::Throttled { .. } => state.breaker.is_closed(),
            Outcome::Failed | Outcome::TimedOut => false,
        };
        match state.breaker.ended(now, permit, well) {
            Heard::Passed => state.learn(now, permit, outcome),
            Heard::Nothing => {}
            Heard::Closed => state.level.restart(now),
        }
    }

    /// See [`Admit::forgotten`].
    pub fn forgotten(&mut self, now: Duration, permit: Permit) {
        self.state.stall.ended(now);
        self.state.breaker.forgotten(permit);
    }

    /// See [`Admit::reading`].
    #[must_use]
    pub fn reading(&self, now: Duration) -> Reading {
        use crate::control::admission::BreakerReading as Breaker;

        let state = &self.state;
        let breaker = state.breaker.reading();
        let (limit, phase) = match breaker {
            Breaker::Closed => (state.level.limit(), state.level.name()),
            Breaker::Open { .. } => (0, "open"),
            Breaker::HalfOpen { .. } => (1, "half-open"),
        };
        let rate = match (state.retry_after.rate(), self.requests_per_second) {
            (Some(learned), Some(demanded)) => Some(learned.min(demanded)),
            (learned, demanded) => learned.or(demanded),
        };
        Reading { limit, breaker, gate: state.retry_after.gate(now), rate, phase }
    }
}

impl State {
    fn rebase(&mut self, rebase: &Rebase) {
        self.breaker.rebase(rebase);
        self.level.rebase(rebase);
        self.retry_after.rebase(rebase);
        self.stall.rebase(rebase);
        self.pacer.rebase(rebase, LONGEST_DEBT);
    }

    /// What there is to say beside the hard cap, the gate and the manifest's rate, where the breaker is closed. `None`: nothing.
    fn admit_freely(&mut self, now: Duration, in_flight: u32) -> Option<Admission> {
        self.level.advance(now, self.is_paced());
        self.retry_after.advance(now);
        if in_flight >= self.level.limit() {
            self.level.had_to_wait();
            return Some(Admission::AfterCompletion);
        }
        self.stall.until(now, in_flight).or_else(|| self.retry_after.next(now)).map(Admission::At)
    }

    /// Learn from an end that the breaker let pass.
    fn learn(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        let end = match outcome {
            Outcome::Ok => {
                self.retry_after.good(permit);
                End::Good
            }
            Outcome::Throttled { retry_after: None } => End::Overload,
            Outcome::Throttled { retry_after: Some(wait) } => match self.retry_after.learn(now, permit, wait) {
                About::Number => {
                    self.level.keep_in_mind();
                    End::Overload
                }
                About::Rate => {
                    self.level.keep_in_mind();
                    End::OverRate
                }
                About::Chance => {
                    self.level.give_back(now);
                    End::OverRate
                }
                About::Nothing => End::OverRate,
            },
            Outcome::Failed | Outcome::TimedOut => End::Failed,
        };
        let paced = self.is_paced();
        if self.level.ended(now, permit, end, paced) {
            self.level.outage();
            self.breaker.trip(now);
        }
    }

    fn is_paced(&self) -> bool {
        self.retry_after.rate().is_some()
    }
}

impl Admit for Limiter {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        Self::admit(self, now, in_flight)
    }

    fn started(&mut self, now: Duration) -> Permit {
        Self::started(self, now)
    }

    fn sent_more(&mut self, now: Duration, requests: u32) {
        Self::sent_more(self, now, requests);
    }

    fn completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        Self::completed(self, now, permit, outcome);
    }

    fn forgotten(&mut self, now: Duration, permit: Permit) {
        Self::forgotten(self, now, permit);
    }

    fn reading(&self, now: Duration) -> Reading {
        Self::reading(self, now)
    }

    fn save(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self.snapshot()).ok()
    }

    fn load(&mut self, saved: &serde_json::Value, rebase: &Rebase) -> bool {
        let Ok(snapshot) = Snapshot::deserialize(saved) else { return false };
        let (max_in_flight, requests_per_second) = (self.max_in_flight, self.requests_per_second);
        *self = Self::restore_rebased(LimiterConfig { max_in_flight, requests_per_second }, snapshot, rebase);
        true
    }
}

#[cfg(test)]
mod tests;
