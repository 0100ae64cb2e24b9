//! The event source mapping, the Runtime API and the control plane: each against what AWS does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its tests do"
)]

mod control_plane;
mod driver;
mod lifecycle;
mod machine;
mod properties;
mod recorded;
mod runtime;
mod script;
mod stand_ins;
