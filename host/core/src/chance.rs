//! Chance: jitter and the names of owners. In simulations it is seeded, so that the same seed gives the same bytes.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Where random numbers come from.
#[derive(Debug, Clone, Default)]
pub enum Chance {
    /// The machine's own.
    #[default]
    System,
    /// A sequence that its seed decides, shared by all clones.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    /// The sequence of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
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
        let draw = |chance: &Chance| (chance.unit(), chance.bits());
        let (one, other) = (Chance::seeded(7), Chance::seeded(7));
        assert_eq!((draw(&one), draw(&one)), (draw(&other), draw(&other)));
        assert_ne!(draw(&one), draw(&Chance::seeded(8)));
        assert!((0.0..1.0).contains(&Chance::System.unit()));
    }
}
