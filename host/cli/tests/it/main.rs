//! The command line as people and scripts meet it: what it says, where, and with which exit code. Nothing is fetched
//! here; that is `tests/e2e` of the workspace.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test helpers fail by panicking")]

mod aws;
mod aws_stack;
mod bad_input;
mod compiling;
mod contract;
mod doctor;
mod feeding;
mod fetching;
mod hardening;
mod help;
mod locking;
mod looking;
mod package;
mod registry;
mod scaffold;
mod simulating;
mod test_dir;
mod testing;
mod vendors;
