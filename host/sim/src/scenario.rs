//! A scenario: an API over time, the work, the mapping, and how long to look at it; as a TOML file.
//!
//! Unknown keys are an error, and an error names the key and what is allowed there. `host/sim/scenarios/` holds those
//! that the figures in docs/CONTROL.md are made of.

mod check;
mod file;
mod read;

use std::time::Duration;

use serde::Deserialize;

pub use check::ScenarioError;

use crate::api::Plan;
use crate::bare::Setting;
use crate::units::duration;
use crate::work::Work;

/// A scenario, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name: its file's name without `.toml`.
    pub name: String,
    /// Its purpose, in a sentence.
    pub about: String,
    /// How long it is looked at.
    pub duration: Duration,
    /// The seed, unless the caller asks for another one.
    pub seed: u64,
    /// How many clients share the API, each with an algorithm of its own.
    pub clients: u32,
    /// The most requests in flight of one client.
    pub max_concurrency: u32,
    /// How long a client waits for an answer.
    pub fetch_timeout: Duration,
    /// The work of each client.
    pub work: Work,
    /// How batches are fed.
    pub mapping: Feeding,
    /// The API.
    pub plan: Plan,
}

/// How the simulated mapping feeds batches, in a run of the whole pipeline.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Feeding {
    /// How long a change of the mapping takes to apply; AWS says minutes, and one or two are usual.
    #[serde(deserialize_with = "duration")]
    pub lag: Duration,
    /// Items in the first batches; by default as many as in a manifest that says nothing.
    pub start_batch: u32,
    /// Items in a batch at most.
    pub max_batch: u32,
    /// The governor's tick.
    #[serde(deserialize_with = "duration")]
    pub tick: Duration,
    /// How long one invocation may take; AWS Lambda's limit is 15 minutes.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Whether entries whose items wait for long are parked in the ledger, as in AWS; else they hold their batch.
    pub parking: bool,
}

impl Default for Feeding {
    fn default() -> Self {
        Self {
            lag: Duration::from_secs(60),
            start_batch: 500,
            max_batch: 10_000,
            tick: Duration::from_secs(600),
            deadline: Duration::from_secs(900),
            parking: false,
        }
    }
}

impl Scenario {
    /// The setting for the limiter alone.
    #[must_use]
    pub fn setting(&self, seed: u64) -> Setting {
        Setting {
            plan: self.plan.clone(),
            duration: self.duration,
            max_in_flight: self.max_concurrency,
            timeout: self.fetch_timeout,
            work: self.work,
            seed,
        }
    }
}

#[cfg(test)]
mod tests;
