//! The token bucket behind 429. Pure: time is passed in.

use std::time::{Duration, Instant};

use crate::settings::RateLimit;

/// Tokens, refilled at a steady rate up to the burst.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(limit: &RateLimit, now: Instant) -> Self {
        let burst = f64::from(limit.burst);
        Self { per_second: limit.per_second, burst, tokens: burst, filled: now }
    }

    /// Takes one token; without one, how long until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(&RateLimit { per_second: 2.0, burst: 3 }, start);
        assert!((0..3).all(|_| bucket.take(at(0)).is_ok()));
        assert_eq!(bucket.take(at(0)), Err(Duration::from_millis(500)));
        assert!(bucket.take(at(499)).is_err());
        assert_eq!(bucket.take(at(500)), Ok(()));
        assert!(bucket.take(at(501)).is_err());
    }

    #[test]
    fn a_long_pause_fills_no_more_than_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(&RateLimit { per_second: 100.0, burst: 2 }, start);
        let later = start + Duration::from_secs(3_600);
        let passed = (0..10).filter(|_| bucket.take(later).is_ok()).count();
        assert_eq!(passed, 2);
    }
}
