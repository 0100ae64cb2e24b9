//! The circuit breaker: stops requests to an API that only fails, and probes it until it works again.
//!
//! ```text
//!            an outage is seen                        the pause is over
//!   CLOSED --------------------> OPEN (1 s ... 30 s) -------------------> HALF-OPEN
//!     ^                            ^                                       |  |
//!     |                            +---------------------------------------+  |
//!     |                              a probe fails: the pause doubles         |
//!     +-----------------------------------------------------------------------+
//!                          three probes in a row succeed
//! ```
//!
//! In HALF-OPEN one fetch at a time may start, the probe. Fetches that were sent before the opening do not count. Pure:
//! it does not detect outages (`limiter::errors` does) and does not limit how many are in flight afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::admission::{BreakerStatus, Permit};
use crate::control::rebase::Rebase;

/// The first pause of an outage.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of an outage.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The number of probes in a row that have to succeed.
const GOOD_PROBES: u32 = 3;
/// A probe without a result after this time is lost: its process died. Longer than any manifest's timeout.
const PROBE_IS_LOST: Duration = Duration::from_secs(15 * 60);

/// Closed, open or half-open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Breaker {
    /// Fetches may start.
    Closed {
        /// Since when, if it was ever open.
        #[serde(default)]
        since: Option<Duration>,
    },
    /// None may start.
    Open {
        /// Since when the API has been failing.
        since: Duration,
        /// When a probe may start.
        until: Duration,
        /// How long this pause is.
        pause: Duration,
    },
    /// One at a time may start.
    HalfOpen {
        /// Since when the API has been failing.
        since: Duration,
        /// How long the last pause was.
        pause: Duration,
        /// How many probes have succeeded in a row.
        #[serde(default)]
        good: u32,
        /// When the probe in flight started.
        #[serde(default)]
        probe: Option<Duration>,
    },
}

/// Whether a fetch may start, as far as the breaker goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerPermit {
    /// It may.
    Free,
    /// It may, alone, as the probe.
    Probe,
    /// A probe is in flight.
    AfterProbe,
    /// Not before this time.
    NotBefore(Duration),
}

/// The effect of a finished fetch on the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerTransition {
    /// The breaker is closed: the caller evaluates the result.
    WasClosed,
    /// The result changes nothing.
    None,
    /// It was the last good probe: the breaker has just closed.
    JustClosed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { since: None }
    }
}

impl Breaker {
    /// Whether a fetch may start at `now` beside `in_flight` others. If none is in flight, a probe without a result is
    /// lost.
    pub fn admit(&mut self, now: Duration, in_flight: u32) -> BreakerPermit {
        if let Self::Open { since, until, pause } = *self {
            if now < until {
                return BreakerPermit::NotBefore(until);
            }
            *self = Self::HalfOpen { since, pause, good: 0, probe: None };
        }
        match self {
            Self::HalfOpen { probe: Some(started), .. }
                if in_flight > 0 && now.saturating_sub(*started) < PROBE_IS_LOST =>
            {
                BreakerPermit::AfterProbe
            }
            Self::HalfOpen { probe, .. } => {
                *probe = None;
                BreakerPermit::Probe
            }
            Self::Closed { .. } | Self::Open { .. } => BreakerPermit::Free,
        }
    }

    /// A fetch has started.
    pub fn on_started(&mut self, now: Duration) {
        if let Self::HalfOpen { probe, .. } = self {
            *probe = Some(now);
        }
    }

    /// A fetch has ended, well or not.
    pub fn on_ended(&mut self, now: Duration, permit: Permit, well: bool) -> BreakerTransition {
        match self {
            // Fetches that were sent before the outage ended do not count.
            Self::Closed { since } if !well && since.is_some_and(|since| permit.started < since) => {
                BreakerTransition::None
            }
            Self::Closed { .. } => BreakerTransition::WasClosed,
            Self::HalfOpen { good, probe, .. } if *probe == Some(permit.started) && well => {
                *probe = None;
                *good = good.saturating_add(1);
                if *good < GOOD_PROBES {
                    return BreakerTransition::None;
                }
                *self = Self::Closed { since: Some(now) };
                BreakerTransition::JustClosed
            }
            Self::HalfOpen { probe, .. } if *probe == Some(permit.started) => {
                self.trip(now);
                BreakerTransition::None
            }
            Self::HalfOpen { .. } | Self::Open { .. } => BreakerTransition::None,
        }
    }

    /// A fetch has ended without a result: if it was the probe, another may be sent.
    pub fn on_discarded(&mut self, permit: Permit) {
        if let Self::HalfOpen { probe, .. } = self
            && *probe == Some(permit.started)
        {
            *probe = None;
        }
    }

    /// Open, or stay open for twice as long.
    pub fn trip(&mut self, now: Duration) {
        let (since, pause) = match *self {
            Self::Closed { .. } => (now, FIRST_PAUSE),
            Self::HalfOpen { since, pause, .. } => (since, (pause * 2).min(LONGEST_PAUSE)),
            Self::Open { since, pause, .. } => (since, pause),
        };
        *self = Self::Open { since, until: now.saturating_add(pause), pause };
    }

    /// Move its instants to the time of the process that has read it. No pause is longer than the longest.
    pub(crate) fn rebase(&mut self, rebase: &Rebase) {
        match self {
            Self::Closed { since } => since.iter_mut().for_each(|since| rebase.past(since)),
            Self::Open { since, until, pause } => {
                rebase.past(since);
                *pause = (*pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                rebase.ahead(until, LONGEST_PAUSE);
            }
            Self::HalfOpen { since, pause, probe, .. } => {
                rebase.past(since);
                *pause = (*pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                probe.iter_mut().for_each(|probe| rebase.past(probe));
            }
        }
    }

    /// Whether fetches may start freely.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// The state, for display.
    #[must_use]
    pub fn status(&self) -> BreakerStatus {
        match *self {
            Self::Closed { .. } => BreakerStatus::Closed,
            Self::Open { since, until, .. } => BreakerStatus::Open { since, until },
            Self::HalfOpen { since, .. } => BreakerStatus::HalfOpen { since },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn permit(milliseconds: u64) -> Permit {
        Permit { started: at(milliseconds), in_flight: 1 }
    }

    /// A breaker that tripped at 0 and has just let its first probe start, at 1 s.
    fn probing() -> Breaker {
        let mut breaker = Breaker::default();
        breaker.trip(at(0));
        assert_eq!(breaker.admit(at(999), 5), BreakerPermit::NotBefore(at(1_000)));
        assert_eq!(breaker.admit(at(1_000), 5), BreakerPermit::Probe);
        breaker.on_started(at(1_000));
        breaker
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut breaker = probing();
        assert_eq!(breaker.admit(at(1_500), 1), BreakerPermit::AfterProbe);
        assert_eq!(breaker.on_ended(at(1_600), permit(1_000), true), BreakerTransition::None);
        assert_eq!(breaker.admit(at(1_600), 0), BreakerPermit::Probe);
    }

    #[test]
    fn three_good_probes_close_it() {
        let mut breaker = probing();
        for (number, started) in [1_000, 2_000, 3_000].into_iter().enumerate() {
            breaker.admit(at(started), 0);
            breaker.on_started(at(started));
            let transition = breaker.on_ended(at(started + 100), permit(started), true);
            assert_eq!(transition, if number == 2 { BreakerTransition::JustClosed } else { BreakerTransition::None });
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_half_a_minute() {
        let mut breaker = probing();
        let mut now = at(1_000);
        for seconds in [2, 4, 8, 16, 30, 30] {
            breaker.on_ended(now, Permit { started: now, in_flight: 1 }, false);
            let until = now + Duration::from_secs(seconds);
            assert_eq!(breaker.status(), BreakerStatus::Open { since: at(0), until });
            now = until;
            assert_eq!(breaker.admit(now, 0), BreakerPermit::Probe);
            breaker.on_started(now);
        }
    }

    #[test]
    fn what_was_sent_before_the_outage_neither_closes_nor_opens_it() {
        let mut breaker = probing();
        for well in [true, true, true, false] {
            assert_eq!(breaker.on_ended(at(1_100), permit(0), well), BreakerTransition::None);
        }
        assert_eq!(breaker.status(), BreakerStatus::HalfOpen { since: at(0) });
        assert_eq!(breaker.admit(at(1_200), 1), BreakerPermit::AfterProbe, "the probe is still out");
    }

    #[test]
    fn a_forgotten_or_lost_probe_makes_room_for_another() {
        let mut breaker = probing();
        breaker.on_discarded(permit(0));
        assert_eq!(breaker.admit(at(1_500), 1), BreakerPermit::AfterProbe);
        breaker.on_discarded(permit(1_000));
        assert_eq!(breaker.admit(at(1_500), 1), BreakerPermit::Probe);
        breaker.on_started(at(1_500));
        assert_eq!(breaker.admit(at(2_000), 0), BreakerPermit::Probe, "nothing is in flight");
        breaker.on_started(at(2_000));
        assert_eq!(breaker.admit(at(2_000) + PROBE_IS_LOST, 3), BreakerPermit::Probe);
    }

    #[test]
    fn failures_of_before_the_closing_are_not_the_apis_of_today() {
        let mut breaker = Breaker::Closed { since: Some(at(5_000)) };
        assert_eq!(breaker.on_ended(at(6_000), permit(4_000), false), BreakerTransition::None);
        assert_eq!(breaker.on_ended(at(6_000), permit(4_000), true), BreakerTransition::WasClosed);
        assert_eq!(breaker.on_ended(at(6_000), permit(5_000), false), BreakerTransition::WasClosed);
    }
}
