//! The plugin host against a component that misbehaves and an API on loopback that does too.
//!
//! The component is `tests/fixtures/providers/hostile`, as `make components` builds it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its tests do"
)]

mod answers;
mod budgets;
mod calls;
mod common;
mod credentials;
mod egress;
mod engine;
mod hostile;
mod languages;
mod package;
mod program;
mod released;
mod structure;
mod test_environment;
