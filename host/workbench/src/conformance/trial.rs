//! One trial of the suite: what goes wrong in it.

use super::faults::FaultCase;
use crate::case::{Case, Exchange, Expect, Fault};
use crate::case_runner::CallState;

/// A call of the good case, which trials change.
pub(super) struct GoodCall {
    /// Which of the case's calls, from 1, where it has several.
    pub(super) number: Option<usize>,
    /// The case with this call alone.
    pub(super) case: Case,
    /// The exchanges of the calls before it: a provider may place an order once more.
    pub(super) earlier: Vec<Exchange>,
    /// The state after the calls before it.
    pub(super) state: CallState,
}

impl GoodCall {
    /// Whether it is the call that gets the record.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.case.last.expect, Expect::Record(_))
    }
}

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
