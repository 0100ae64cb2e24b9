//! damper-local from outside: against real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod contract;
mod database;
mod export;
mod folder;
mod items;
mod key_usage;
mod stream;
mod tokens;
