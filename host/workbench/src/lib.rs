//! The provider author's workbench: a provider's cases run against its compiled component, in the engine, the limits and the
//! egress policy of production; the network alone is a test's ([`damper_plugins::Rehearsal`]).
//!
//! What this is not: it knows no command line and no settings file, and it builds nothing.

mod bench;
pub mod case;
mod compare;
mod difference;
mod network;
pub mod report;
mod script;
mod secrets;

pub use bench::{Bench, BenchError};
pub use case::{Case, CaseError};
