//! End to end: the real `damper` against the real demo API over loopback, with the compiled components.
//!
//! `make test` builds what these need: `damper`, and the components in `target/components`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its tests do"
)]

mod bad_release;
mod clocks;
mod crashes;
mod disks;
mod earlier_state;
mod freezes;
mod guide;
mod hostile;
mod key_quotas;
mod kills;
mod local_setup;
mod orders;
mod reloading;
mod replay;
mod shim;
mod storage;
mod tokens;
mod two_runs;
mod vendors;
mod workbench;
