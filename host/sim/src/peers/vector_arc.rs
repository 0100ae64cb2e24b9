//! Vector's adaptive request concurrency.
//!
//! Source: vectordotdev/vector, `src/sinks/util/adaptive_concurrency/controller.rs` and
//! `lib/vector-common/src/stats/mod.rs` (MPL-2.0), with the defaults of `adaptive_concurrency/mod.rs`. Once per average
//! round trip: one more where the limit was reached and the mean is no longer than the past; nine tenths where there
//! was back pressure, or where the mean is longer by 2.5 deviations. Only good answers are measured; what Vector's HTTP
//! sinks retry (429, 5xx, timeouts) is back pressure.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, admit_below, initial, reading};
use crate::units::seconds;

/// The settings that Vector's users may change; the defaults are Vector's.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The limit at first.
    pub initial: u32,
    /// The limit at most.
    pub max: u32,
    /// The factor of the limit after back pressure.
    pub decrease_ratio: f64,
    /// The weight of a new measurement.
    pub ewma_alpha: f64,
    /// How many deviations more are no anomaly.
    pub deviations: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { initial: 1, max: 200, decrease_ratio: 0.9, ewma_alpha: 0.4, deviations: 2.5 }
    }
}

/// Vector's ARC.
#[derive(Debug, Clone)]
pub struct VectorArc {
    settings: Settings,
    limit: u32,
    in_flight: InFlight,
    past: Option<Past>,
    next_update: Duration,
    current: Mean,
    back_pressure: bool,
    reached_limit: bool,
}

/// Past round trips: an exponential average, and the variance around it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Past {
    mean: f64,
    variance: f64,
}

impl Past {
    fn with(self, point: f64, alpha: f64) -> Self {
        let difference = point - self.mean;
        let increment = alpha * difference;
        Self { mean: self.mean + increment, variance: (1.0 - alpha) * difference.mul_add(increment, self.variance) }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, point: f64) {
        self.sum += point;
        self.count += 1;
    }

    /// Rounded to microseconds, as Vector's tests have it: where all are the same, so is their mean.
    fn average(self) -> Option<f64> {
        (self.count > 0).then(|| (self.sum / f64::from(self.count) * 1e6).round() / 1e6)
    }
}

impl VectorArc {
    /// With Vector's defaults, from the common beginning up to `max`.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self::with(Settings { initial: initial(max), max, ..Settings::default() })
    }

    /// With these settings.
    #[must_use]
    pub fn with(settings: Settings) -> Self {
        Self {
            settings,
            limit: settings.initial,
            in_flight: InFlight::default(),
            past: None,
            next_update: Duration::ZERO,
            current: Mean::default(),
            back_pressure: false,
            reached_limit: false,
        }
    }

    fn update(&mut self, now: Duration) {
        let current = self.current.average();
        let Some(past) = self.past else {
            if let Some(current) = current {
                self.past = Some(Past { mean: current, variance: 0.0 });
                self.next_update = now + seconds(current);
            }
            return;
        };
        if now < self.next_update {
            return;
        }
        self.adjust(past, current);
        let past = current.map_or(past, |current| past.with(current, self.settings.ewma_alpha));
        self.past = Some(past);
        self.next_update = now + seconds(past.mean);
        self.current = Mean::default();
        (self.back_pressure, self.reached_limit) = (false, false);
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, as in the source")]
    fn adjust(&mut self, past: Past, current: Option<f64>) {
        let threshold = past.variance.sqrt() * self.settings.deviations;
        let grows = self.reached_limit && !self.back_pressure && current.is_some_and(|current| current <= past.mean);
        if self.limit < self.settings.max && grows {
            self.limit += 1;
        } else if self.limit > 1 && (self.back_pressure || current.unwrap_or(0.0) >= past.mean + threshold) {
            self.limit = ((f64::from(self.limit) * self.settings.decrease_ratio) as u32).max(1);
        }
    }
}

impl ConcurrencyLimiter for VectorArc {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit, in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        let permit = self.in_flight.start_call(now);
        self.reached_limit |= permit.in_flight >= self.limit;
        permit
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        self.in_flight.end_call();
        if outcome == Outcome::Ok {
            self.current.add((now - permit.started).as_secs_f64());
        } else {
            self.back_pressure = true;
        }
        self.update(now);
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        reading(self.limit, "arc")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector's own unit tests run with a decrease of a half.
    fn arc() -> VectorArc {
        VectorArc::with(Settings { decrease_ratio: 0.5, ..Settings::default() })
    }

    /// Makes a number of calls in parallel, each answered after a second.
    fn round(arc: &mut VectorArc, now: &mut Duration, calls: u32, outcome: Outcome) {
        let permits: Vec<_> = (0..calls).map(|_| arc.on_started(*now)).collect();
        *now += Duration::from_secs(1);
        for permit in permits {
            arc.on_completed(*now, permit, outcome);
        }
    }

    // The figures of the tests in vector's `service.rs`.
    #[test]
    fn vector_increases_limit() {
        let (mut arc, mut now) = (arc(), Duration::ZERO);
        let mut limits = vec![arc.limit];
        for _ in 0..2 {
            round(&mut arc, &mut now, 1, Outcome::Ok);
            limits.push(arc.limit);
        }
        assert_eq!(limits, [1, 1, 2]);
    }

    #[test]
    fn vector_handles_deferral() {
        let (mut arc, mut now) = (arc(), Duration::ZERO);
        round(&mut arc, &mut now, 1, Outcome::Ok);
        round(&mut arc, &mut now, 1, Outcome::Ok);
        assert_eq!(arc.limit, 2);
        round(&mut arc, &mut now, 1, Outcome::Failed);
        assert_eq!(arc.limit, 1);
    }

    #[test]
    fn vector_rapid_decrease() {
        let (mut arc, mut now) = (arc(), Duration::ZERO);
        for calls in [1, 1, 2, 3] {
            assert_eq!(arc.limit, calls);
            round(&mut arc, &mut now, calls, Outcome::Ok);
        }
        assert_eq!(arc.limit, 4);
        round(&mut arc, &mut now, 1, Outcome::Failed);
        assert_eq!(arc.limit, 2);
    }
}
