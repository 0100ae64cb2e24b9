//! A scenario: an API over time, the work, the mapping, and how long to look at it; as a TOML file.
//!
//! Unknown keys are an error, and an error names the key and what is allowed there. `host/sim/scenarios/` holds those that the
//! figures in docs/CONTROL.md are made of.

mod check;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

pub use check::ScenarioError;

use crate::api::{Conditions, Plan};
use crate::bare::Setting;
use crate::units::{duration, duration_if_any};
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

/// A scenario's file, before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    about: String,
    #[serde(deserialize_with = "duration")]
    duration: Duration,
    #[serde(default = "first")]
    seed: u64,
    #[serde(default = "one")]
    clients: u32,
    max_concurrency: u32,
    #[serde(deserialize_with = "duration")]
    fetch_timeout: Duration,
    /// Left out: more than can ever be fetched.
    backlog: Option<u64>,
    /// Items that come in every second.
    #[serde(default)]
    arrival: f64,
    #[serde(default)]
    mapping: Feeding,
    #[serde(default)]
    api: Conditions,
    #[serde(default)]
    changes: Vec<Change>,
}

/// A change of the API. It says when, and what is different from then on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(deserialize_with = "duration")]
    at: Duration,
    /// Left out: once. Given: again and again at this distance until the scenario's end.
    #[serde(default, deserialize_with = "duration_if_any")]
    every: Option<Duration>,
    api: Conditions,
}

impl Scenario {
    /// Read a scenario from its text; `name` is for people.
    ///
    /// # Errors
    /// If the text is no TOML, has an unknown key or lacks a needed one, or a value is not allowed.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text).map_err(|error| ScenarioError::unreadable(name, &error))?;
        check::scenario(name, file)
    }

    /// Read a scenario's file.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Scenario::parse`] says.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::File { path: path.to_owned(), message: error.to_string() })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&name, &text)
    }

    /// Read all scenarios of a folder, by name.
    ///
    /// # Errors
    /// If the folder or one of its files cannot be read, or as [`Scenario::parse`] says.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, ScenarioError> {
        let failed =
            |error: std::io::Error| ScenarioError::File { path: folder.to_owned(), message: error.to_string() };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(ScenarioError::Empty { path: folder.to_owned() });
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }

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

fn first() -> u64 {
    1
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests;
