//! For tests, here and in other crates: a ledger, a token store and a store of key usage in memory, a scripted fetcher,
//! a store that fails by a plan, and the contract suites for ledgers and these stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support fails by panicking"
)]

pub mod contract;
pub mod faults;
pub mod key_usage;
pub mod key_usage_contract;
pub mod mapping;
pub mod memory;
pub mod scripted;
pub mod store;
pub mod token_contract;
pub mod tokens;
