//! Damper's AWS adapters: what the pipeline's ports are in AWS. The ledger is a DynamoDB table, the mapping is Lambda's API,
//! records and dead letters lie in S3, items come through Kinesis, secrets from Secrets Manager.
//!
//! What this is not: it decides nothing (the pipeline and the control loops do), and it reads no environment but through the
//! standard configuration of AWS's SDK.
