//! Randomly drawn APIs that no algorithm is tuned on. They expose algorithms that do well on the named scenarios alone.
//!
//! A family's n-th API follows from n alone. Latencies lie between 50 ms and 3 s, with anything from little to much
//! noise.

use std::time::Duration;

use crate::api::conditions::{Cap, Contention, Knee, Latency, Workers};
use crate::api::{Conditions, Plan};
use crate::random::Random;
use crate::scenario::{Feeding, Scenario};
use crate::units::seconds;
use crate::work::Work;

/// A family of APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A hidden cap that answers 429, at 2 to 48 calls.
    HiddenCap,
    /// A pool of 2 to 48 workers.
    Workers,
    /// A knee at 4 to 40 calls, with a power of 1.2 to 2.5 beyond it.
    Knee,
    /// Contention by Gunther's law, with its best at 6 to 40 calls: a knee without a corner.
    Contention,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HiddenCap, Self::Workers, Self::Knee, Self::Contention];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HiddenCap => "hidden-cap",
            Self::Workers => "workers",
            Self::Knee => "knee",
            Self::Contention => "contention",
        }
    }

    /// Its first `count` APIs.
    #[must_use]
    pub fn draw(self, count: u64) -> Vec<Scenario> {
        (1..=count).map(|number| self.scenario(number)).collect()
    }

    fn scenario(self, number: u64) -> Scenario {
        let mut random = Random::new(number, 100 + self as u64);
        let latency = Latency {
            median: seconds(random.between_in_proportion(0.05, 3.0)),
            sigma: random.between(0.2, 1.0),
            shortest: Duration::ZERO,
            longest: Duration::from_secs(60),
        };
        let conditions = self.conditions(&mut random);
        Scenario {
            name: format!("{}-{number}", self.name()),
            about: String::new(),
            duration: Duration::from_secs(1_800),
            seed: number,
            clients: 1,
            max_concurrency: 64,
            fetch_timeout: Duration::from_secs(300),
            work: Work::ENDLESS,
            mapping: Feeding::default(),
            plan: Plan::new(Conditions { latency: Some(latency), ..conditions }, &[]),
        }
    }

    fn conditions(self, random: &mut Random) -> Conditions {
        let mut calls = |low, high| random.between_in_proportion(low, high).round();
        match self {
            Self::HiddenCap => {
                let cap = Cap { limit: whole(calls(2.0, 48.0)), retry_after: None, drops: false };
                Conditions { concurrency: Some(cap), ..Conditions::default() }
            }
            Self::Workers => {
                let workers = Workers { count: whole(calls(2.0, 48.0)) };
                Conditions { workers: Some(workers), ..Conditions::default() }
            }
            Self::Knee => {
                let at = calls(4.0, 40.0);
                let knee = Knee { at, power: random.between(1.2, 2.5) };
                Conditions { knee: Some(knee), ..Conditions::default() }
            }
            Self::Contention => {
                let best = calls(6.0, 40.0);
                let sigma = random.between(0.0, 0.05);
                let contention = Contention { sigma, kappa: (1.0 - sigma) / (best * best) };
                Conditions { contention: Some(contention), ..Conditions::default() }
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and between 1 and 100")]
fn whole(number: f64) -> u32 {
    number.clamp(1.0, 100.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_the_same_every_time_and_has_different_members() {
        for family in Family::ALL {
            let drawn = family.draw(20);
            assert_eq!(drawn, family.draw(20));
            let best: Vec<f64> =
                drawn.iter().map(|api| api.plan.at(Duration::ZERO).best_in_flight().unwrap()).collect();
            assert!(best.iter().all(|calls| (2.0..=48.0).contains(calls)), "{best:?}");
            assert!(best.windows(2).any(|pair| pair[0] != pair[1]), "{}", family.name());
        }
    }
}
