//! For tests, here and in other crates: a ledger in memory, a scripted fetcher, a store that fails by a plan, and the
//! contract suite for ledgers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support fails by panicking"
)]

pub mod contract;
pub mod faults;
pub mod mapping;
pub mod memory;
pub mod scripted;
pub mod store;
