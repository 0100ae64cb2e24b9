//! The function end to end: the real `bootstrap`, built by itself, between our event source mapping and control plane,
//! ministack's DynamoDB, S3, Kinesis and Secrets Manager, and the demo API over loopback; and the packaged zip in
//! stacks of its templates.
//!
//! `make test` builds what these need: `bootstrap` in `<target>/bootstrap`, and the components in `target/components`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its tests do"
)]

mod batches;
mod chaos;
mod crashes;
mod days;
mod deployed;
mod direct;
mod emulator;
mod links;
mod outages;
mod roles;
mod secrets;
mod stacks;
mod startup;
mod troubles;

use damper_aws_tests::{deployment, function_log, package};
