//! damper-aws from outside: against what stands in for AWS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod contract;
mod fake;
mod feed;
mod fixtures;
mod ledger;
mod letters;
mod lossy;
mod lost_answers;
mod mapping;
mod refusals;
mod secrets;
mod sink;
mod table;
