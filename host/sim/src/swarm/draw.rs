//! Draws a case from a seed: a cluster, and a random subset of all kinds of faults.

mod any;
mod themes;

use crate::random::Random;
use crate::swarm::case::{Case, Setup};
use crate::swarm::draw::any::SETUP;

/// Which stream of a seed the faults are drawn from.
const FAULTS: u64 = 101;
/// The stream that says whether a seed is about what came later to the swarm, so that all other seeds stayed what they
/// were.
const LATER_THEMES: u64 = 102;

impl Case {
    /// The case of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed, SETUP);
        let setup = match Random::new(seed, LATER_THEMES).unit() {
            draw if draw < 0.015 => themes::week_ahead_setup(random),
            draw if draw < 0.03 => themes::gaps_setup(random),
            draw if draw < 0.045 => themes::lost_answers_setup(random),
            draw if draw < 0.06 => themes::leaps_setup(random),
            draw if draw < 0.075 => themes::sealed_setup(random),
            _ => Self::setup(random),
        };
        let plan = themes::plan(&mut Random::new(seed, FAULTS), &setup);
        Self { seed, setup, plan }
    }

    fn setup(random: &mut Random) -> Setup {
        match random.unit() {
            draw if draw < 0.05 => themes::pace_setup(random),
            draw if draw < 0.08 => themes::sharing_setup(random),
            draw if draw < 0.12 => themes::midnight_setup(random),
            draw if draw < 0.14 => themes::moved_west_setup(random),
            draw if draw < 0.18 => themes::set_back_setup(random),
            draw if draw < 0.20 => themes::waiting_setup(random),
            _ => any::setup(random),
        }
    }
}
