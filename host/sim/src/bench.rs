//! The figures of docs/CONTROL.md, each with its bound, Damper's result, and the peers' results.
//!
//! Each section is a table of its own, and can be printed alone.

mod chaos;
mod control_plane;
mod families;
mod inputs;
mod limiter;
mod outages;
mod pipeline;
mod published;
mod spread;

use crate::pipeline_run::PipelineRunError;

pub use inputs::Bench;

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
