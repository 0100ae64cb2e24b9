//! The figures of docs/CONTROL.md, each with its bound, Damper's result, and the peers' results.
//!
//! Each section is a table of its own, and can be printed alone.

mod chaos;
mod control_plane;
mod families;
mod limiter;
mod outages;
mod pipeline;
mod published;

use crate::algorithm::Algorithm;
use crate::pipeline_run::PipelineRunError;
use crate::scenario::Scenario;
use crate::units::number;

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

/// Some figures that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Their subject.
    pub title: &'static str,
    /// Measure, and write them down.
    pub run: fn(&Bench) -> Result<String, PipelineRunError>,
}

/// All sections, the quick ones first.
pub const SECTIONS: [Section; 8] = [
    Section { title: "Scenarios that Vector's authors published", run: published::run },
    Section { title: "The limiter alone, thirteen scenarios", run: limiter::run },
    Section { title: "Outages, steps, two clients, invocations", run: outages::run },
    Section { title: "Chaos: refusals and failures at random, the whole pipeline", run: chaos::run },
    Section { title: "APIs drawn at random, the limiter alone", run: families::run },
    Section { title: "The limiter alone, elsewhere", run: limiter::run_more },
    Section { title: "What is asked of the control plane, mean of all seeds (worst)", run: control_plane::run },
    Section { title: "The whole pipeline, with batches and a slow mapping", run: pipeline::run },
];

impl Bench {
    /// A scenario by name.
    fn scenario(&self, name: &str) -> Option<&Scenario> {
        self.thirteen.iter().chain(&self.more).find(|scenario| scenario.name == name)
    }
}

/// Means of what is measured once for each seed; the worst is the largest.
#[derive(Debug, Clone, Default)]
struct Spread(Vec<f64>);

impl Spread {
    fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / number(self.0.len().max(1) as u64)
    }

    /// `mean (worst)`, the larger the worse.
    fn larger_is_worse(&self, digits: usize) -> String {
        let worst = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.digits$} ({worst:.digits$})", self.mean())
    }

    /// `mean (worst)`, the smaller the worse.
    fn smaller_is_worse(&self, digits: usize) -> String {
        let worst = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        format!("{:.digits$} ({worst:.digits$})", self.mean())
    }
}
