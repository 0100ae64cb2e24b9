//! A module of `host/aws`, compiled from its source: it needs nothing of AWS, and so the fuzz targets need not either.

#[allow(dead_code, unreachable_pub, reason = "a module of another crate")]
#[path = "../../../host/aws/src/kinesis/aggregated.rs"]
pub(crate) mod aggregated;
