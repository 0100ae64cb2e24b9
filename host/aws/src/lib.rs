//! Damper's AWS adapters: the implementations of the pipeline's ports.
//!
//! - [`AwsClients`]: the one place that makes clients, from AWS's standard configuration.
//! - [`DynamoLedger`]: the ledger in a DynamoDB table; [`ledger::schema`] has every item on one screen.
//! - [`LambdaMapping`]: the event source mappings of a function.
//! - [`kinesis`]: feeding a stream, and reading what a batch holds.
//! - [`sink`]: the bucket for records; [`dead_letters`]: the items given up on, beside them.
//! - [`secrets`]: credentials from Secrets Manager.
//! - [`backend`]: a deployment, as an operator sees and changes it.
//! - [`deployment`]: the names of all these, as a deployed function tells them.
//!
//! This crate takes no control decisions (the pipeline and the control loops do), and it reads the environment only through the
//! standard configuration of AWS's SDK.

pub mod backend;
mod backoff;
mod clients;
pub mod dead_letters;
pub mod deployment;
pub mod kinesis;
pub mod ledger;
pub mod mapping;
pub mod secrets;
pub mod sink;

pub use clients::AwsClients;
pub use dead_letters::{Letters, StoredLetter};
pub use deployment::Deployment;
pub use ledger::{DynamoLedger, Units};
pub use mapping::LambdaMapping;
