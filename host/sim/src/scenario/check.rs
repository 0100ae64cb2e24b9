//! The allowed values of a scenario.

use std::path::PathBuf;
use std::time::Duration;

use super::{File, Scenario};
use crate::api::{Conditions, Plan};
use crate::bare::Work;

/// The longest scenario.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Why there is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {message}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's message.
        message: String,
    },
    /// A folder holds no scenario.
    #[error("{} contains no scenario: a scenario is a file whose name ends in .toml", .path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The text is not a scenario's.
    #[error("scenario {name:?}: {message}")]
    Unreadable {
        /// Which.
        name: String,
        /// The reader's message, with the line.
        message: String,
    },
    /// A value is not allowed.
    #[error("scenario {name:?}: {key} is {value}: it must be {allowed}")]
    NotAllowed {
        /// Which.
        name: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The allowed values.
        allowed: &'static str,
    },
}

impl ScenarioError {
    pub(super) fn unreadable(name: &str, error: &toml::de::Error) -> Self {
        Self::Unreadable { name: name.to_owned(), message: error.to_string().trim_end().to_owned() }
    }
}

/// Checks values and remembers where it is.
struct Check<'a> {
    name: &'a str,
    at: String,
}

impl Check<'_> {
    fn ensure(
        &self,
        key: &str,
        holds: bool,
        value: impl std::fmt::Debug,
        allowed: &'static str,
    ) -> Result<(), ScenarioError> {
        if holds {
            return Ok(());
        }
        Err(ScenarioError::NotAllowed {
            name: self.name.to_owned(),
            key: format!("{}{key}", self.at),
            value: format!("{value:?}"),
            allowed,
        })
    }

    fn time(&self, key: &str, time: Duration, allowed: &'static str) -> Result<(), ScenarioError> {
        self.ensure(key, !time.is_zero() && time <= LONGEST, time, allowed)
    }

    fn share(&self, key: &str, share: Option<f64>) -> Result<(), ScenarioError> {
        let share = share.unwrap_or_default();
        self.ensure(key, (0.0..=1.0).contains(&share), share, "0 to 1")
    }

    fn above_zero(&self, key: &str, number: Option<f64>) -> Result<(), ScenarioError> {
        let number = number.unwrap_or(1.0);
        self.ensure(key, number > 0.0 && number.is_finite(), number, "a number above 0")
    }

    fn conditions(&self, conditions: &Conditions) -> Result<(), ScenarioError> {
        if let Some(latency) = conditions.latency {
            self.time("latency.median", latency.median, "more than 0ms, at most 7d")?;
            self.ensure("latency.sigma", (0.0..=5.0).contains(&latency.sigma), latency.sigma, "0 to 5")?;
            let ordered = latency.shortest <= latency.longest;
            self.ensure("latency.longest", ordered, latency.longest, "latency.shortest or more")?;
        }
        let one_or_more = "1 or more";
        if let Some(cap) = conditions.concurrency {
            self.ensure("concurrency.limit", cap.limit > 0, cap.limit, one_or_more)?;
        }
        if let Some(workers) = conditions.workers {
            self.ensure("workers.count", workers.count > 0, workers.count, one_or_more)?;
        }
        if let Some(rate) = conditions.rate {
            self.above_zero("rate.per_second", Some(rate.per_second))?;
            self.ensure("rate.burst", rate.burst >= 1.0 && rate.burst.is_finite(), rate.burst, one_or_more)?;
        }
        if let Some(window) = conditions.window {
            self.ensure("window.calls", window.calls > 0, window.calls, one_or_more)?;
            self.time("window.every", window.every, "more than 0ms, at most 7d")?;
        }
        self.share("whims.share", conditions.whims.map(|whims| whims.share))?;
        if let Some(knee) = conditions.knee {
            self.ensure("knee.at", knee.at >= 1.0, knee.at, one_or_more)?;
            self.ensure("knee.power", (0.0..=10.0).contains(&knee.power), knee.power, "0 to 10")?;
        }
        if let Some(contention) = conditions.contention {
            self.share("contention.sigma", Some(contention.sigma))?;
            self.above_zero("contention.kappa", Some(contention.kappa))?;
        }
        if let Some(patience) = conditions.patience {
            self.time("patience.within", patience.within, "more than 0ms, at most 7d")?;
            self.time("patience.shut_out", patience.shut_out, "more than 0ms, at most 7d")?;
        }
        self.share("error_rate", conditions.error_rate)?;
        self.above_zero("slowdown", conditions.slowdown)
    }
}

pub(super) fn scenario(name: &str, file: File) -> Result<Scenario, ScenarioError> {
    let mut check = Check { name, at: String::new() };
    check.time("duration", file.duration, "more than 0ms, at most 7d")?;
    check.ensure("clients", (1..=100).contains(&file.clients), file.clients, "1 to 100")?;
    check.ensure("max_concurrency", (1..=1_000).contains(&file.max_concurrency), file.max_concurrency, "1 to 1000")?;
    check.ensure(
        "fetch_timeout",
        (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&file.fetch_timeout),
        file.fetch_timeout,
        "100ms to 10m",
    )?;
    check.ensure("arrival", (0.0..=10_000.0).contains(&file.arrival), file.arrival, "0 to 10000, in items a second")?;
    check.at = "mapping.".to_owned();
    check.ensure("max_batch", (1..=10_000).contains(&file.mapping.max_batch), file.mapping.max_batch, "1 to 10000")?;
    let fits = (1..=file.mapping.max_batch).contains(&file.mapping.start_batch);
    check.ensure("start_batch", fits, file.mapping.start_batch, "1 to max_batch")?;
    check.time("tick", file.mapping.tick, "more than 0ms, at most 7d")?;
    check.time("deadline", file.mapping.deadline, "more than 0ms, at most 7d")?;
    check.at = "api.".to_owned();
    check.conditions(&file.api)?;
    let mut changes: Vec<(Duration, Conditions)> = Vec::new();
    for (number, change) in file.changes.iter().enumerate() {
        check.at = format!("changes[{number}].");
        check.time("at", change.at, "more than 0ms, at most 7d")?;
        check.time("every", change.every.unwrap_or(file.duration), "more than 0ms, at most 7d")?;
        check.at += "api.";
        check.conditions(&change.api)?;
        let times = std::iter::successors(Some(change.at), |at| change.every.map(|every| *at + every));
        changes.extend(times.take_while(|at| *at < file.duration).map(|at| (at, change.api)));
    }
    changes.sort_by_key(|(at, _)| *at);
    Ok(Scenario {
        name: name.to_owned(),
        about: file.about,
        duration: file.duration,
        seed: file.seed,
        clients: file.clients,
        max_concurrency: file.max_concurrency,
        fetch_timeout: file.fetch_timeout,
        work: Work { backlog: file.backlog, per_second: file.arrival },
        mapping: file.mapping,
        plan: Plan::new(file.api, &changes),
    })
}
