//! Runs providers on one machine: a worker for each drains its stream into the output folder.
//!
//! - [`RunContext`]: the database, the output folder and the marks that all providers of a run share.
//! - [`Worker`]: one provider at work, until there is an [`Outcome`].
//! - [`Slot`]: a part of the limits, for one fetch beside a run.
//! - [`fetching_policy`]: the files that a process needs which fetches.
//! - [`share_tokens`], [`count_keys`]: the store of tokens and the counts of keys, for a host of components.
//! - [`record_crashes`]: earlier runs that died while a component ran.
//!
//! Not here: which providers run, what damper.lock allows them, and anything that prints.

mod context;
mod crashes;
mod error;
mod outcome;
mod rate;
mod rights;
mod slot;
mod tally;
mod worker;

pub use context::{RunContext, count_keys, share_tokens};
pub use crashes::record_crashes;
pub use error::RunError;
pub use outcome::{Outcome, Stop};
pub use rate::EndRate;
pub use rights::fetching_policy;
pub use slot::{Slot, SlotNotice};
pub use tally::RunTotals;
pub use worker::{FetchNotice, Worker};
