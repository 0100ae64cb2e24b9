//! Waiting longer and longer, with jitter, for a bounded number of tries.

use std::time::Duration;

use damper_core::random::RandomSource;

/// How long the n-th wait may be at most: it doubles from the first to the longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// How many waits there are.
    pub(crate) waits: u32,
}

impl Backoff {
    /// A time between half of the n-th wait (counted from 0) and all of it; none after the last.
    pub(crate) fn wait(self, number: u32, chance: &RandomSource) -> Option<Duration> {
        if number >= self.waits {
            return None;
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(number));
        Some(doubled.min(self.longest).mul_f64(0.5 + chance.unit() / 2.0))
    }

    /// Sleeps the n-th wait. `false`: there is none any more.
    pub(crate) async fn sleep(self, number: u32, chance: &RandomSource) -> bool {
        let Some(wait) = self.wait(number, chance) else { return false };
        tokio::time::sleep(wait).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1), waits: 6 };
        let chance = RandomSource::from_seed(1);
        for (number, most) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1_000), (5, 1_000)] {
            let wait = backoff.wait(number, &chance).unwrap();
            assert!((most / 2..=most).contains(&(wait.as_millis() as u64)), "{number}: {wait:?}");
        }
        assert_eq!(backoff.wait(6, &chance), None);
    }
}
