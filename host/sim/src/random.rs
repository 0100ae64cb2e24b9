//! Chance, by seed: the same seed and stream give the same draws on every run, and streams do not disturb each other.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// A stream of draws. `rand_chacha` promises the same values in every release.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream number `stream` of a seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Anything from 0 up to but not including 1.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // No draw where there is no chance, so that a model without errors does not depend on there being an error
        // rate.
        probability > 0.0 && self.unit() < probability
    }

    /// Anything between two numbers, evenly.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Anything between two positive numbers, evenly over their logarithms.
    pub fn between_in_proportion(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Normal, with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, stream: u64) -> Vec<f64> {
        let mut random = Random::new(seed, stream);
        (0..5).map(|_| random.unit()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_draws_and_streams_differ() {
        assert_eq!(draws(7, 1), draws(7, 1));
        assert_ne!(draws(7, 1), draws(7, 2));
        assert_ne!(draws(7, 1), draws(8, 1));
    }

    #[test]
    fn draws_fall_where_they_should() {
        let mut random = Random::new(1, 0);
        let proportional: Vec<f64> = (0..2_000).map(|_| random.between_in_proportion(1.0, 100.0)).collect();
        assert!(proportional.iter().all(|draw| (1.0..100.0).contains(draw)));
        let below_ten = proportional.iter().filter(|draw| **draw < 10.0).count();
        assert!((900..1_100).contains(&below_ten), "half lie below the geometric mean: {below_ten}");
        assert!(!random.chance(0.0) && random.chance(1.0));
    }
}
