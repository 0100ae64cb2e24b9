//! The function in its surroundings, for end-to-end tests and benchmarks: the real `bootstrap`, built by itself,
//! between our event source mapping and control plane, ministack's DynamoDB, S3, Kinesis and Secrets Manager, and the
//! demo API over loopback.
//!
//! `make test` builds what this needs: `bootstrap` in `<target>/bootstrap`, and the components in
//! `<target>/components`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support fails by panicking"
)]

pub mod answers;
pub mod chaos;
pub mod deployment;
pub mod function_log;
pub mod package;
