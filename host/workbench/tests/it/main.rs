//! The workbench against compiled components, as `make components` makes them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its tests do"
)]

mod common;
mod documentation;
mod mutants;
mod strictness;
mod time;
mod tokens;
mod valuation;
