//! The results of the suite.

use std::time::Duration;

use damper_core::record::{Failure, Fetched};
use serde::Serialize;

use super::trial::{GoodCall, Trial};
use crate::case::kind_name;
use crate::report::Problem;

/// The verdict on one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Worth a look.
    Warned,
    /// Not as it should be.
    Failed,
}

/// One check of the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of the check.
    pub name: String,
    /// The exchange that went wrong, from 1, where the case has several.
    pub exchange: Option<usize>,
    /// The outcome, in a word.
    pub came: String,
    /// The verdict.
    pub status: Status,
    /// Why it is not passed.
    pub problems: Vec<Problem>,
}

/// The results of the suite.
#[derive(Debug, Clone)]
pub struct Conformance {
    /// The provider.
    pub provider: String,
    /// Its version.
    pub version: String,
    /// Its component.
    pub digest: String,
    /// The good case.
    pub case: String,
    /// Every check.
    pub checks: Vec<Check>,
    /// The whole suite.
    pub duration: Duration,
}

impl Conformance {
    /// How many checks failed.
    #[must_use]
    pub fn failure_count(&self) -> usize {
        self.checks.iter().filter(|check| check.status == Status::Failed).count()
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "provider": self.provider, "version": self.version, "digest": self.digest, "case": self.case,
            "checks": self.checks, "passed": self.failure_count() == 0, "failed": self.failure_count(),
            "duration_ms": self.duration.as_secs_f64() * 1_000.0,
        })
    }
}

impl Check {
    pub(super) fn new(trial: &Trial, target: &GoodCall) -> Self {
        let exchanges = target.case.last.exchanges.len();
        let (name, exchange) = match trial {
            Trial::Fault(fault_case, index) => (fault_case.name.to_owned(), (exchanges > 1).then_some(index + 1)),
            Trial::Id(id) => (format!("id {id:?}"), None),
        };
        let name = target.number.map_or_else(|| name.clone(), |number| format!("call {number}: {name}"));
        Self { name, exchange, came: String::new(), status: Status::Passed, problems: Vec::new() }
    }

    /// A rule that holds.
    pub(super) fn rule(name: &str, came: String) -> Self {
        Self { name: name.to_owned(), exchange: None, came, status: Status::Passed, problems: Vec::new() }
    }

    pub(super) fn with_failure(self, problems: Vec<Problem>) -> Self {
        Self { status: Status::Failed, problems, ..self }
    }

    pub(super) fn with_warning(self, why: String) -> Self {
        Self { status: Status::Warned, problems: vec![Problem::new(why)], ..self }
    }

    pub(super) fn with_verdict(self, outcome: &Result<Fetched, Failure>, problems: Vec<Problem>) -> Self {
        let wait =
            |failure: &Failure| failure.retry_after.map(|wait| format!(", again after {wait:?}")).unwrap_or_default();
        let came = match outcome {
            Ok(_) => "record".to_owned(),
            Err(failure) => format!("{}{}", kind_name(&failure.kind), wait(failure)),
        };
        let status = if problems.is_empty() { Status::Passed } else { Status::Failed };
        Self { came, status, problems, ..self }
    }
}
