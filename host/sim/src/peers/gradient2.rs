//! Netflix's gradient: the limit follows the ratio of long-term to current latency.
//!
//! Source: Netflix/concurrency-limits, `limit/Gradient2Limit.java` and `limit/measurement/ExpAvgMeasurement.java`
//! (Apache-2.0), with its defaults: a long window of 600 answers, a tolerance of 1.5, smoothing 0.2, room for a queue
//! of 4. Refusals and timeouts are answers like others to it: it looks at latency alone.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, admit_below, initial, reading};

const LONG_WINDOW: u32 = 600;
const WARM_UP: u32 = 10;
const TOLERANCE: f64 = 1.5;
const SMOOTHING: f64 = 0.2;
const QUEUE: f64 = 4.0;

/// Netflix's Gradient2.
#[derive(Debug, Clone)]
pub struct Gradient2 {
    limit: f64,
    max: u32,
    long: Average,
    in_flight: InFlight,
}

impl Gradient2 {
    /// From the common beginning up to `max`. (Their defaults: from 20, 20 to 200.)
    #[must_use]
    pub fn new(max: u32) -> Self {
        let limit = f64::from(initial(max));
        Self { limit, max, long: Average::new(LONG_WINDOW, WARM_UP), in_flight: InFlight::default() }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded down, as in the source")]
    fn limit(&self) -> u32 {
        self.limit as u32
    }

    fn sample(&mut self, latency: f64, in_flight: u32) {
        let short = latency.max(1e-9);
        let long = self.long.add(short);
        // Load is over: come down faster than the average would.
        if long / short > 2.0 {
            self.long.value *= 0.95;
        }
        if f64::from(in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * long / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        let smoothed = self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING;
        self.limit = smoothed.min(f64::from(self.max)).max(1.0);
    }
}

/// A mean at first, later an exponential average.
#[derive(Debug, Clone)]
struct Average {
    value: f64,
    sum: f64,
    count: u32,
    warm_up: u32,
    weight: f64,
}

impl Average {
    fn new(window: u32, warm_up: u32) -> Self {
        Self { value: 0.0, sum: 0.0, count: 0, warm_up, weight: 2.0 / (f64::from(window) + 1.0) }
    }

    fn add(&mut self, sample: f64) -> f64 {
        if self.count < self.warm_up {
            self.count += 1;
            self.sum += sample;
            self.value = self.sum / f64::from(self.count);
        } else {
            self.value = self.value * (1.0 - self.weight) + sample * self.weight;
        }
        self.value
    }
}

impl ConcurrencyLimiter for Gradient2 {
    fn admit(&mut self, _now: Duration, in_flight: u32) -> Admission {
        admit_below(self.limit(), in_flight)
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, now: Duration, permit: Permit, _outcome: Outcome) {
        self.in_flight.end_call();
        self.sample((now - permit.started).as_secs_f64(), permit.in_flight);
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.in_flight.end_call();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        reading(self.limit(), "gradient2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The figures of their ExpAvgMeasurementTest.
    #[test]
    fn netflix_warm_up() {
        let mut average = Average::new(100, 10);
        let expected = [10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0, 13.5, 14.0, 14.5];
        for (sample, expected) in (10_u32..).zip(expected) {
            assert!((average.add(f64::from(sample)) - expected).abs() < 0.01);
        }
        assert!((average.add(100.0) - 16.2).abs() < 0.1);
    }

    #[test]
    fn with_steady_latency_the_limit_grows_by_a_fifth_of_the_queue_an_answer() {
        let mut gradient = Gradient2 { limit: 20.0, ..Gradient2::new(200) };
        gradient.sample(0.1, 20);
        assert!((gradient.limit - 20.8).abs() < 1e-9);
        gradient.sample(0.1, 10);
        assert!((gradient.limit - 20.8).abs() < 1e-9, "what is not used does not grow");
    }

    #[test]
    fn one_outlier_takes_no_more_than_a_tenth() {
        let mut gradient = Gradient2 { limit: 100.0, ..Gradient2::new(200) };
        (0..20).for_each(|_| gradient.sample(0.1, 0));
        gradient.sample(60.0, 100);
        assert!((gradient.limit - (80.0 + 0.2 * 54.0)).abs() < 1e-6, "{}", gradient.limit);
    }
}
