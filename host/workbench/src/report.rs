//! The results of a run: for a person, for a script (JSON), and for a CI server (JUnit XML).

mod junit;
mod notes;

use std::path::PathBuf;
use std::time::Duration;

use damper_core::manifest::Limits;
use damper_core::record::{Failure, Fetched};
use serde::Serialize;

pub use junit::junit;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The problem, in a sentence.
    pub what: String,
    /// More of it: a difference, a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), detail: None }
    }

    pub(crate) fn with(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// The resources that a case used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// From the call's beginning to its end, in milliseconds.
    pub duration_ms: f64,
    /// How long the component computed, in milliseconds by the clock.
    pub computed_ms: f64,
    /// How long it slept, in milliseconds: it waited, and not for a response.
    pub slept_ms: f64,
    /// The instructions that ran; none if the call did not come to its end by itself.
    pub instructions: Option<u64>,
    /// The most memory of the instance, in bytes.
    pub peak_memory_bytes: u64,
    /// Requests at the API, redirects included.
    pub requests: u32,
    /// Bodies sent, in bytes.
    pub sent_bytes: u64,
    /// Bodies received, in bytes, decompressed.
    pub received_bytes: u64,
    /// The largest of these.
    pub largest_response_bytes: u64,
}

/// Figures as shares of their limits: 1 is all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Shares {
    /// Of `fetch_timeout`.
    pub duration: f64,
    /// Of `memory`.
    pub memory: f64,
    /// Of `response_bytes`, by the largest answer.
    pub response: f64,
}

impl Figures {
    /// The figures of a call together with those of the calls before it.
    pub(crate) fn after(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        Self {
            duration_ms: before.duration_ms + self.duration_ms,
            computed_ms: before.computed_ms + self.computed_ms,
            slept_ms: before.slept_ms + self.slept_ms,
            instructions: before.instructions.zip(self.instructions).map(|(before, after)| before + after),
            peak_memory_bytes: before.peak_memory_bytes.max(self.peak_memory_bytes),
            requests: before.requests + self.requests,
            sent_bytes: before.sent_bytes + self.sent_bytes,
            received_bytes: before.received_bytes + self.received_bytes,
            largest_response_bytes: before.largest_response_bytes.max(self.largest_response_bytes),
        }
    }

    /// Remarks on how the component spends its time, in sentences; none if there is nothing to mend.
    #[must_use]
    pub fn notes(&self, limits: &Limits) -> Vec<String> {
        notes::notes(self, limits.fetch_timeout)
    }

    /// The figures as shares of a manifest's limits.
    #[must_use]
    pub fn shares(&self, limits: &Limits) -> Shares {
        let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Shares {
            duration: of(self.duration_ms, limits.fetch_timeout.as_secs_f64() * 1_000.0),
            memory: of(self.peak_memory_bytes as f64, limits.memory_bytes as f64),
            response: of(self.largest_response_bytes as f64, limits.response_bytes as f64),
        }
    }
}

/// The result of one case.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// The case's name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The problems; none: it passed.
    pub problems: Vec<Problem>,
    /// The record or the failure of the last call; none if the provider did not load, or an earlier call was not as
    /// expected.
    pub outcome: Option<Result<Fetched, Failure>>,
    /// The resources that it used.
    pub figures: Figures,
    /// As shares of the limits.
    pub shares: Shares,
    /// Remarks on a case that may have passed, see [`Figures::notes`].
    pub notes: Vec<String>,
    /// The provider's log lines, a JSON string each.
    pub log: Vec<String>,
}

impl CaseReport {
    /// Whether all was as expected.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The results of a run of cases.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The provider.
    pub provider: String,
    /// Its version.
    pub version: String,
    /// Its component.
    pub digest: String,
    /// The cases, in the order in which they were given.
    pub cases: Vec<CaseReport>,
    /// The whole run.
    pub duration: Duration,
}

impl RunReport {
    /// How many cases failed.
    #[must_use]
    pub fn failure_count(&self) -> usize {
        self.cases.iter().filter(|case| !case.has_passed()).count()
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let cases: Vec<_> = self
            .cases
            .iter()
            .map(|case| {
                serde_json::json!({
                    "name": case.name, "path": case.path, "passed": case.has_passed(), "problems": case.problems,
                    "figures": case.figures, "shares": case.shares, "notes": case.notes, "log": case.log,
                })
            })
            .collect();
        serde_json::json!({
            "provider": self.provider, "version": self.version, "digest": self.digest, "cases": cases,
            "passed": self.cases.len() - self.failure_count(), "failed": self.failure_count(),
            "duration_ms": self.duration.as_secs_f64() * 1_000.0,
        })
    }
}
