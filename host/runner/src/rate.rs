//! How fast entries end, over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long the rate is taken.
const RATE_SPAN: Duration = Duration::from_secs(10);

/// A rate from counts that only grow.
#[derive(Debug, Default)]
pub struct EndRate {
    /// How many had ended, and when.
    samples: VecDeque<(Instant, u64)>,
}

impl EndRate {
    /// Takes a count. Returns whether it differs from the count before, or is the first.
    pub fn sample(&mut self, now: Instant, count: u64) -> bool {
        let is_news = self.samples.back().is_none_or(|(_, before)| *before != count);
        self.samples.push_back((now, count));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_SPAN)
        {
            self.samples.pop_front();
        }
        is_news
    }

    /// Ends per second; 0 before there are two counts.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let (Some((begun, before)), Some((now, after))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = now.duration_since(*begun).as_secs_f64();
        if seconds > 0.0 { after.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_seconds() {
        let (mut rate, start) = (EndRate::default(), Instant::now());
        assert!(rate.sample(start, 0));
        assert!((rate.per_second()).abs() < f64::EPSILON);
        for second in 1..=20 {
            assert!(rate.sample(start + Duration::from_secs(second), if second > 10 { 10 * second } else { second }));
        }
        assert!((rate.per_second() - 19.0).abs() < f64::EPSILON, "{}", rate.per_second());
        assert!(!rate.sample(start + Duration::from_secs(21), 200));
    }
}
