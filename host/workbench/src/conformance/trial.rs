//! One trial of the suite: what goes wrong in it.

use super::faults::FaultCase;
use crate::case::Fault;

/// One trial.
#[derive(Clone)]
pub(super) enum Trial {
    /// An exchange goes wrong.
    Fault(FaultCase, usize),
    /// The item has this id.
    Id(&'static str),
}

impl Trial {
    /// Whether only patience ends it.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Self::Fault(fault_case, _) if fault_case.answer.fault.is_some_and(Fault::is_endless))
    }
}
