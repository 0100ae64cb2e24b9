//! The JSON that passes: the event of a batch, and the document of an on-failure destination.
//!
//! Shapes from Lambda's guide ("Using Lambda to process records from Amazon Kinesis Data Streams", "Retain discarded batch
//! records") and the recordings that `tests/it/recorded.rs` names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::mapping::Discarded;
use crate::record::Record;

/// The names of a mapping, its stream and its function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The mapping's UUID.
    pub uuid: String,
    /// The stream.
    pub stream_arn: String,
    /// The function, by its name.
    pub function_name: String,
    /// The region.
    pub region: String,
    /// The account: twelve digits.
    pub account: String,
    /// The function's role.
    pub role_arn: String,
}

impl Identity {
    /// A mapping of a stream and a function, with a new UUID; region and account are those of the stream's ARN.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, function_name: impl Into<String>) -> Self {
        let (stream_arn, function_name) = (stream_arn.into(), function_name.into());
        let part = |index: usize, or: &str| {
            stream_arn.split(':').nth(index).filter(|part| !part.is_empty()).unwrap_or(or).to_owned()
        };
        let (region, account) = (part(3, "us-east-1"), part(4, "123456789012"));
        let role_arn = format!("arn:aws:iam::{account}:role/{function_name}");
        Self { uuid: Uuid::new_v4().to_string(), stream_arn, function_name, region, account, role_arn }
    }

    /// The function's ARN.
    #[must_use]
    pub fn function_arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account, self.function_name)
    }

    /// The mapping's own ARN.
    #[must_use]
    pub fn mapping_arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:event-source-mapping:{}", self.region, self.account, self.uuid)
    }
}

/// The event that a batch is.
#[must_use]
pub fn event(identity: &Identity, shard: &str, records: &[Record]) -> Value {
    let records: Vec<_> = records.iter().map(|record| entry(identity, shard, record)).collect();
    json!({ "Records": records })
}

fn entry(identity: &Identity, shard: &str, record: &Record) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence.as_str(),
            "data": STANDARD.encode(&record.data),
            "approximateArrivalTimestamp": seconds(record.arrived),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{shard}:{}", record.sequence),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": identity.role_arn,
        "awsRegion": identity.region,
        "eventSourceARN": identity.stream_arn,
    })
}

/// Seconds since 1970 with three decimals, as a JSON number.
fn seconds(time: Timestamp) -> Value {
    let text = format!("{}.{:03}", time.as_second(), time.subsec_millisecond());
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The document that says what was discarded. `with_payload` adds the event itself: S3 gets it, SQS and SNS do not.
#[must_use]
pub fn failure_document(identity: &Identity, discarded: &Discarded, with_payload: bool) -> Value {
    let last = discarded.last.as_ref();
    let request_id = last.map_or_else(|| Uuid::new_v4().to_string(), |last| last.request_id.clone());
    let (first, end) = (discarded.records.first(), discarded.records.last());
    let mut document = json!({
        "requestContext": {
            "requestId": request_id,
            "functionArn": identity.function_arn(),
            "condition": discarded.condition.as_str(),
            "approximateInvokeCount": discarded.invoke_count,
        },
        "version": "1.0",
        "timestamp": iso(discarded.at),
        "KinesisBatchInfo": {
            "shardId": discarded.shard,
            "startSequenceNumber": first.map(|record| record.sequence.as_str()),
            "endSequenceNumber": end.map(|record| record.sequence.as_str()),
            "approximateArrivalOfFirstRecord": first.map(|record| iso(record.arrived)),
            "approximateArrivalOfLastRecord": end.map(|record| iso(record.arrived)),
            "batchSize": discarded.records.len(),
            "streamArn": identity.stream_arn,
        },
    });
    let Some(fields) = document.as_object_mut() else { return document };
    // As recorded: records that became too old come without the context of a response, even if there was one.
    if discarded.condition == crate::mapping::Condition::RetryAttemptsExhausted {
        let error = last.is_some_and(|last| last.unhandled).then_some("Unhandled");
        let context = json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": error });
        fields.insert("responseContext".to_owned(), context);
    }
    if with_payload {
        fields.insert("payload".to_owned(), event(identity, &discarded.shard, &discarded.records));
    }
    document
}

/// The name of that document in an S3 bucket: unique, and sorted by mapping, shard and time.
#[must_use]
pub fn failure_key(identity: &Identity, discarded: &Discarded) -> String {
    let at = discarded.at;
    format!(
        "aws/lambda/{}/{}/{}/{}-{}",
        identity.uuid,
        discarded.shard,
        at.strftime("%Y/%m/%d"),
        at.strftime("%Y-%m-%dT%H.%M.%S"),
        Uuid::new_v4()
    )
}

fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
