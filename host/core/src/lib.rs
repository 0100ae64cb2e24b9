//! Damper's core: the path of an item from a stream to the sink, the control loops, and the ports to the outside.
//!
//! It fetches each item of a provider's stream once a day, within the API's limits, and loses none. The same code runs
//! on one machine, in AWS Lambda and in a simulation.
//!
//! It contains no AWS, wasmtime, SQLite, command line or environment: those are behind five ports
//! ([`fetcher::Fetcher`], [`ledger::Ledger`], [`mapping::Mapping`], [`token_store::TokenStore`],
//! [`key_usage::KeyUsageStore`]) and `object_store`. It delivers no batches and schedules nothing: the caller passes
//! batches, the deadline and the clock.
//!
//! Begin with [`pipeline::Pipeline`], which processes a batch. Then read:
//!
//! - [`manifest::Manifest`]: a provider's limits, and how an operator makes them stricter.
//! - [`ledger`]: the states of an item; [`sink`]: the layout of the records in the object store.
//! - [`control`]: the decisions, without I/O: [`control::limiter`] (when a fetch may start), [`control::slots`] (how
//!   processes share `max_concurrency`), [`control::governor`] (batch size, and whether batches are delivered at all).
//! - [`operate`]: an operator's commands.
//! - `testing` (feature `testing`): ports in memory, faults, and the contract suites that every ledger, token store
//!   and store of key usage passes.

pub mod admin;
pub mod budget;
pub mod bundle;
pub mod clock;
pub mod control;
pub mod day;
pub mod dead_letter;
pub mod error_chain;
pub mod escape;
pub mod fetcher;
pub mod item;
pub mod key_usage;
pub mod ledger;
pub mod manifest;
pub mod mapping;
pub mod operate;
pub mod pipeline;
pub mod printable;
pub mod random;
pub mod record;
pub mod resume;
pub mod sink;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token_store;
