//! Randomness: jitter and the names of owners. In simulations it is seeded, so that the same seed gives the same bytes.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The source of random numbers.
#[derive(Debug, Clone, Default)]
pub enum RandomSource {
    /// The machine's own.
    #[default]
    System,
    /// A sequence from a seed, shared by all clones.
    Seeded(Arc<Mutex<StdRng>>),
}

impl RandomSource {
    /// The sequence of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number from 0 to 1, 1 not included.
    #[must_use]
    pub fn unit(&self) -> f64 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).random(),
        }
    }

    /// 128 random bits.
    #[must_use]
    pub fn bits(&self) -> u128 {
        match self {
            Self::System => rand::random(),
            Self::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).random(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let draw = |random: &RandomSource| (random.unit(), random.bits());
        let (one, other) = (RandomSource::from_seed(7), RandomSource::from_seed(7));
        assert_eq!((draw(&one), draw(&one)), (draw(&other), draw(&other)));
        assert_ne!(draw(&one), draw(&RandomSource::from_seed(8)));
        assert!((0.0..1.0).contains(&RandomSource::System.unit()));
    }
}
