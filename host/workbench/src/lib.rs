//! The provider author's workbench: a provider's cases run against its compiled component, with the engine, the limits
//! and the egress policy of production. Only the network is simulated ([`damper_plugins::TestEnvironment`]).
//!
//! Begin with [`Case`], an item with its exchanges and the expected outcome, and [`CaseRunner::run`]. Then:
//! [`CaseRunner::conform`] derives the faults of an API from one good case ([`conformance`]); [`record`] makes a case
//! of a real fetch, and [`replay`] one of a dead letter; [`bless`] writes new expectations; [`report`] is for CI
//! servers. [`contract`] compares two versions of the interface between host and provider.
//!
//! The workbench has no command line, reads no settings file, and builds nothing. It says nothing of an API's pace:
//! that is for `damper-sim`.

pub mod bless;
pub mod case;
mod case_runner;
mod compare;
pub mod conformance;
pub mod contract;
mod difference;
mod network;
pub mod record;
pub mod replay;
pub mod report;
mod script;
mod secrets;

pub use case::{Case, CaseError};
pub use case_runner::{CaseRunner, CaseRunnerError};
