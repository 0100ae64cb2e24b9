//! Damper's AWS adapters: the implementations of the pipeline's ports, for the Lambda function and for `damper --aws`.
//!
//! Begin with [`AwsClients`]; the others take its clients or its configuration:
//!
//! - [`AwsClients`]: the one place that makes clients, from AWS's standard configuration.
//! - [`DynamoLedger`]: the ledger in a DynamoDB table; [`ledger::schema`] has every item on one screen.
//! - [`LambdaMapping`]: the event source mappings of a function.
//! - [`kinesis`]: feeding a stream, and the entries of a batch.
//! - [`sink`]: the bucket for records; [`dead_letters`]: the dead letters in the same bucket.
//! - [`secrets`]: credentials from Secrets Manager.
//! - [`backend`]: a deployment, as an operator sees and changes it.
//! - [`deployment`]: the names of a deployment's resources, read from the deployed function.
//!
//! This crate takes no control decisions (the pipeline and the control loops do), it creates no resources
//! (CloudFormation does), and it reads the environment only through the standard configuration of AWS's SDK.

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
