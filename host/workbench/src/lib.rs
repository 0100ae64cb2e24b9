//! The provider author's workbench: a provider's cases run against its compiled component, in the engine, the limits and the
//! egress policy of production; the network alone is a test's ([`damper_plugins::TestEnvironment`]).
//!
//! What this is not: it knows no command line and no settings file, and it builds nothing.

mod bench;
pub mod bless;
pub mod case;
mod compare;
pub mod conformance;
mod difference;
mod network;
pub mod record;
pub mod replay;
pub mod report;
mod script;
mod secrets;

pub use bench::{Bench, BenchError};
pub use case::{Case, CaseError};
