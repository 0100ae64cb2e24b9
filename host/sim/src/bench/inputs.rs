//! The inputs of the figures.

use crate::algorithm::Algorithm;
use crate::scenario::Scenario;

/// The inputs of the figures.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The thirteen named scenarios.
    pub thirteen: Vec<Scenario>,
    /// Others: long outages, known weak spots.
    pub more: Vec<Scenario>,
    /// The columns, Damper first.
    pub algorithms: Vec<Algorithm>,
    /// The seeds; figures are means over them, and the worst.
    pub seeds: Vec<u64>,
}

impl Bench {
    /// A scenario by name.
    pub(super) fn scenario(&self, name: &str) -> Option<&Scenario> {
        self.thirteen.iter().chain(&self.more).find(|scenario| scenario.name == name)
    }
}
