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
//! - `level`: the experiments that find how many in flight the API can handle; START, HOLD, RAMP, UP, CONFIRM, DOWN,
//!   RELIEF
//! - `latency`, `errors`: what it goes by
//! - `retry_after`: the gate and the learned rate; `cause`: whether there is a rate behind refusals
//! - `stall`: stop while nothing comes back
//! - [`crate::control::breaker`]: keep away from an API that only fails
//! - [`crate::control::pacer`]: keep a rate
//!
//! It is pure and takes the same decisions from the same events; [`Limiter::state`] holds all of its state, so that a
//! process that starts goes on where another stopped. Time is a `Duration` since an epoch that the caller chooses and
//! keeps.

mod cause;
mod errors;
mod latency;
mod level;
mod retry_after;
mod stall;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};
use crate::control::breaker::{Breaker, BreakerPermit, BreakerTransition};
use crate::control::pacer::Pacer;
use crate::control::rebase::Rebase;
use level::{FetchEnd, Level};
pub(crate) use retry_after::LONGEST_RETRY_AFTER;
use retry_after::{About, RetryAfter};
use stall::Stall;

/// When to ask again if nothing may ever start: the hard cap is 0.
const NEVER: Duration = Duration::from_secs(3600);
/// How far ahead the requests of a fetch that sent many can have put the manifest's rate, as far as a saved state is
/// believed: the longest time that a fetch may take.
const LONGEST_DEBT: Duration = Duration::from_secs(600);

/// The bounds of a limiter.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterConfig {
    /// The most requests in flight.
    pub max_in_flight: u32,
    /// The most requests sent in a second.
    pub requests_per_second: Option<f64>,
}

/// Decides when a fetch may start. One per provider and process.
///
/// ```
/// use std::time::Duration;
/// use damper_core::control::limiter::{Admission, Limiter, LimiterConfig, Outcome};
///
/// let ms = Duration::from_millis; // since an epoch of the caller
/// let mut limiter = Limiter::new(LimiterConfig { max_in_flight: 4, requests_per_second: Some(2.0) });
///
/// // It begins with one fetch in flight and raises that while the API gets no slower.
/// assert_eq!(limiter.admit(ms(0), 0), Admission::Now);
/// let permit = limiter.on_started(ms(0));
/// assert_eq!(limiter.admit(ms(0), 1), Admission::AfterCompletion);
/// limiter.on_completed(ms(200), permit, Outcome::Ok);
///
/// // Two a second: the next one starts half a second after the first.
/// assert!(matches!(limiter.admit(ms(200), 0), Admission::At(at) if at >= ms(500)));
/// let permit = limiter.on_started(ms(600));
///
/// // A 429 with `Retry-After: 30` stops all fetches for 30 s.
/// limiter.on_completed(ms(700), permit, Outcome::Throttled { retry_after: Some(ms(30_000)) });
/// assert_eq!(limiter.admit(ms(1_000), 0), Admission::At(ms(30_700)));
/// ```
#[derive(Debug, Clone)]
pub struct Limiter {
    max_in_flight: u32,
    requests_per_second: Option<f64>,
    state: State,
}

/// A limiter's whole state, to be stored and given to [`Limiter::restore`]. Instants in it are of the limiter's epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LimiterState(State);

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
    /// A limiter without a learned state.
    #[must_use]
    pub fn new(config: LimiterConfig) -> Self {
        Self::restore(config, LimiterState::default())
    }

    /// A limiter that resumes from a saved state; the configuration may have changed since.
    #[must_use]
    pub fn restore(config: LimiterConfig, saved: LimiterState) -> Self {
        let LimiterConfig { max_in_flight, requests_per_second } = config;
        let LimiterState(mut state) = saved;
        state.level = state.level.under(max_in_flight);
        state.retry_after = state.retry_after.repair();
        state.pacer.set_rate(requests_per_second);
        Self { max_in_flight, requests_per_second, state }
    }

    /// The same with a state that a process with another time base has saved.
    #[must_use]
    pub fn restore_rebased(config: LimiterConfig, saved: LimiterState, rebase: &Rebase) -> Self {
        let LimiterState(mut state) = saved;
        state.rebase(rebase);
        Self::restore(config, LimiterState(state))
    }

    /// Its whole state.
    #[must_use]
    pub fn state(&self) -> LimiterState {
        LimiterState(self.state.clone())
    }

    /// See [`ConcurrencyLimiter::admit`]. Called again after any completion, and at the time that an `At` names.
    pub fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        self.state.beside = in_flight;
        if in_flight >= self.max_in_flight {
            return if in_flight == 0 { Admission::At(now.saturating_add(NEVER)) } else { Admission::AfterCompletion };
        }
        let state = &mut self.state;
        let breaker_permit = state.breaker.admit(now, in_flight);
        if let BreakerPermit::NotBefore(until) = breaker_permit {
            return Admission::At(until);
        }
        if let Some(gate) = state.retry_after.gate(now) {
            return Admission::At(gate);
        }
        match breaker_permit {
            BreakerPermit::Free => {
                if let Some(later) = state.admit_freely(now, in_flight) {
                    return later;
                }
            }
            BreakerPermit::AfterProbe => return Admission::AfterCompletion,
            BreakerPermit::Probe | BreakerPermit::NotBefore(_) => {}
        }
        state.pacer.next(now).map_or(Admission::Now, Admission::At)
    }

    /// See [`ConcurrencyLimiter::on_started`].
    pub fn on_started(&mut self, now: Duration) -> Permit {
        let state = &mut self.state;
        state.breaker.on_started(now);
        state.stall.on_started(now, state.beside == 0);
        state.retry_after.on_started(now);
        state.pacer.on_started(now);
        Permit { started: now, in_flight: state.beside.saturating_add(1) }
    }

    /// See [`ConcurrencyLimiter::on_extra_requests`]. A learned rate is one of fetches and needs no making up.
    pub fn on_extra_requests(&mut self, now: Duration, requests: u32) {
        self.state.pacer.on_extra_started(now, requests);
    }

    /// See [`ConcurrencyLimiter::on_completed`].
    pub fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        let state = &mut self.state;
        state.stall.on_ended(now);
        if let Outcome::Throttled { retry_after: Some(wait) } = outcome
            && (!state.breaker.is_closed() || state.retry_after.binds_all(wait))
        {
            state.retry_after.close_gate(now, wait);
        }
        // While the breaker is closed, a 429 shows an API that works.
        let well = match outcome {
            Outcome::Ok => true,
            Outcome::Throttled { .. } => state.breaker.is_closed(),
            Outcome::Failed | Outcome::TimedOut => false,
        };
        match state.breaker.on_ended(now, permit, well) {
            BreakerTransition::WasClosed => state.learn(now, permit, outcome),
            BreakerTransition::None => {}
            BreakerTransition::JustClosed => state.level.restart(now),
        }
    }

    /// See [`ConcurrencyLimiter::on_discarded`].
    pub fn on_discarded(&mut self, now: Duration, permit: Permit) {
        self.state.stall.on_ended(now);
        self.state.breaker.on_discarded(permit);
    }

    /// See [`ConcurrencyLimiter::snapshot`].
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> LimiterSnapshot {
        use crate::control::admission::BreakerStatus as Breaker;

        let state = &self.state;
        let breaker = state.breaker.status();
        let (limit, phase) = match breaker {
            Breaker::Closed => (state.level.limit(), state.level.name()),
            Breaker::Open { .. } => (0, "open"),
            Breaker::HalfOpen { .. } => (1, "half-open"),
        };
        let rate = match (state.retry_after.rate(), self.requests_per_second) {
            (Some(learned), Some(demanded)) => Some(learned.min(demanded)),
            (learned, demanded) => learned.or(demanded),
        };
        LimiterSnapshot { limit, breaker, gate: state.retry_after.gate(now), rate, phase }
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

    /// The checks besides the hard cap, the gate and the manifest's rate, if the breaker is closed. `None`: the fetch
    /// may start.
    fn admit_freely(&mut self, now: Duration, in_flight: u32) -> Option<Admission> {
        self.level.advance(now, self.is_paced());
        self.retry_after.advance(now);
        if in_flight >= self.level.limit() {
            self.level.on_wait();
            return Some(Admission::AfterCompletion);
        }
        self.stall.until(now, in_flight).or_else(|| self.retry_after.next(now)).map(Admission::At)
    }

    /// Learn from a result that the breaker did not consume.
    fn learn(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        let end = match outcome {
            Outcome::Ok => {
                self.retry_after.on_good_answer(permit);
                FetchEnd::Good
            }
            Outcome::Throttled { retry_after: None } => FetchEnd::Overload,
            Outcome::Throttled { retry_after: Some(wait) } => match self.retry_after.learn(now, permit, wait) {
                About::Number => {
                    self.level.keep_in_mind();
                    FetchEnd::Overload
                }
                About::Rate => {
                    self.level.keep_in_mind();
                    FetchEnd::OverRate
                }
                About::Chance => {
                    self.level.give_back(now);
                    FetchEnd::OverRate
                }
                About::Nothing => FetchEnd::OverRate,
            },
            Outcome::Failed | Outcome::TimedOut => FetchEnd::Failed,
        };
        let paced = self.is_paced();
        if self.level.on_ended(now, permit, end, paced) {
            self.level.on_outage();
            self.breaker.trip(now);
        }
    }

    fn is_paced(&self) -> bool {
        self.retry_after.rate().is_some()
    }
}

impl ConcurrencyLimiter for Limiter {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        Self::admit(self, now, in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        Self::on_started(self, now)
    }

    fn on_extra_requests(&mut self, now: Duration, requests: u32) {
        Self::on_extra_requests(self, now, requests);
    }

    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        Self::on_completed(self, now, permit, outcome);
    }

    fn on_discarded(&mut self, now: Duration, permit: Permit) {
        Self::on_discarded(self, now, permit);
    }

    fn snapshot(&self, now: Duration) -> LimiterSnapshot {
        Self::snapshot(self, now)
    }

    fn save(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self.state()).ok()
    }

    fn load(&mut self, saved: &serde_json::Value, rebase: &Rebase) -> bool {
        let Ok(saved) = LimiterState::deserialize(saved) else { return false };
        let (max_in_flight, requests_per_second) = (self.max_in_flight, self.requests_per_second);
        *self = Self::restore_rebased(LimiterConfig { max_in_flight, requests_per_second }, saved, rebase);
        true
    }
}

#[cfg(test)]
mod tests;
