//! Damper's core: the path of an item from a stream to the sink, the control loops, and the ports to the outside.
//!
//! It knows no AWS, no wasmtime, no SQLite, no command line and no environment: those stand behind three ports
//! ([`fetcher::Fetcher`], [`ledger::Ledger`], [`mapping::Mapping`]) and `object_store`.

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
pub mod ledger;
pub mod manifest;
pub mod mapping;
pub mod operate;
pub mod pipeline;
pub mod printable;
pub mod random;
pub mod record;
pub mod sink;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
