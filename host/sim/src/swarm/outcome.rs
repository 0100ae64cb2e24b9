//! The outcome of a run of a case.

use std::time::Duration;

use damper_core::testing::faults::TraceLine;

use crate::swarm::invariants::Violation;

/// The result of a case.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// The trace of the run, if one was requested.
    pub trace: Vec<TraceLine>,
    /// When it ended, from its beginning.
    pub ended: Duration,
    /// Calls of ports.
    pub calls: u64,
    /// Requests at the APIs.
    pub requests: u64,
}
