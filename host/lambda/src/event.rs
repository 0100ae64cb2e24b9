//! Parses the function's events: a batch of a stream, a tick, or a direct invocation for one record.

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use bytes::Bytes;
use damper_aws::kinesis::KinesisRecord;
use damper_core::item::{Item, ItemError, Params};
use jiff::Timestamp;
use serde::Deserialize;

/// An event, read.
#[derive(Debug)]
pub(crate) enum Event {
    /// Records of one shard of a provider's stream.
    Batch(Batch),
    /// The schedule's minute.
    Tick,
    /// One record, now.
    AdHoc {
        /// Of which provider.
        provider: String,
        /// Which record.
        item: Item,
    },
}

/// Records of one shard, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The provider, by the stream's name.
    pub(crate) provider: String,
    /// The records that Kinesis delivers; never empty.
    pub(crate) records: Vec<KinesisRecord>,
}

/// An event that cannot be read. The stream keeps its records and delivers them again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error(
        "the event is neither a Kinesis batch, nor a scheduled event, nor {{\"provider\": \"...\", \"id\": \"...\", \"params\": {{...}}}}: {0}"
    )]
    Unknown(String),
    #[error(
        "the batch comes from {0:?}, but the streams of providers are named {1}NAME: correct the mapping's source, or DAMPER_STREAM_PREFIX"
    )]
    AnotherStream(String, String),
    #[error(
        "the batch has records of two streams, {0:?} and {1:?}: invoke the function with the records of one stream"
    )]
    TwoStreams(String, String),
    #[error(transparent)]
    Item(#[from] ItemError),
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "Records", default)]
    records: Option<Vec<KinesisEventRecord>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    params: Params,
}

impl Event {
    /// Reads an event. `prefix` is what the names of the providers' streams begin with.
    ///
    /// # Errors
    /// If it is none of those that the function takes.
    pub(crate) fn parse(text: &str, prefix: &str) -> Result<Self, EventError> {
        let raw: RawEvent = serde_json::from_str(text).map_err(|error| EventError::Unknown(error.to_string()))?;
        match raw {
            RawEvent { records: Some(records), .. } => Ok(Self::Batch(Batch::of(records, prefix)?)),
            RawEvent { provider: Some(provider), id: Some(id), params, .. } => {
                Ok(Self::AdHoc { provider, item: Item::new(id, params)? })
            }
            // EventBridge's schedules are "aws.events", its scheduler's are what their target says: the template says the same.
            RawEvent { source: Some(source), .. } if matches!(source.as_str(), "aws.events" | "aws.scheduler") => {
                Ok(Self::Tick)
            }
            RawEvent { provider: Some(_), .. } => Err(EventError::Unknown("the id is missing".to_owned())),
            _ => Err(EventError::Unknown("it has none of the keys Records, source and provider".to_owned())),
        }
    }
}

impl Batch {
    fn of(records: Vec<KinesisEventRecord>, prefix: &str) -> Result<Self, EventError> {
        let arn = |record: &KinesisEventRecord| record.event_source_arn.clone().unwrap_or_default();
        let Some(first) = records.first().map(arn) else {
            return Err(EventError::Unknown("the batch is empty".to_owned()));
        };
        if let Some(other) = records.iter().map(arn).find(|other| *other != first) {
            return Err(EventError::TwoStreams(first, other));
        }
        let provider =
            provider_of(&first, prefix).ok_or_else(|| EventError::AnotherStream(first.clone(), prefix.to_owned()))?;
        let provider = provider.to_owned();
        let records = records.into_iter().map(parse_record).collect::<Result<_, _>>()?;
        Ok(Self { provider, records })
    }

    /// The batch's first sequence number.
    pub(crate) fn first(&self) -> Option<&str> {
        self.records.first().map(|record| record.sequence.as_str())
    }
}

fn parse_record(record: KinesisEventRecord) -> Result<KinesisRecord, EventError> {
    let kinesis = record.kinesis;
    let sequence = kinesis.sequence_number;
    if sequence.is_empty() {
        return Err(EventError::Unknown("a record has no sequence number".to_owned()));
    }
    let arrived = kinesis.approximate_arrival_timestamp.timestamp_millis();
    let arrived = Timestamp::from_millisecond(arrived).map_err(|error| EventError::Unknown(error.to_string()))?;
    Ok(KinesisRecord { sequence, arrived, data: Bytes::from(kinesis.data.0) })
}

/// The provider whose stream has this ARN, `arn:aws:kinesis:REGION:ACCOUNT:stream/PREFIXNAME`.
fn provider_of<'a>(arn: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, stream) = arn.rsplit_once(":stream/")?;
    stream.strip_prefix(prefix).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:kinesis:eu-west-2:123456789012:stream/damper-gleif";

    fn record(sequence: &str, arn: &str) -> serde_json::Value {
        serde_json::json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "p", "sequenceNumber": sequence,
                "data": "eyJpZCI6ImEifQ==", "approximateArrivalTimestamp": 1_545_084_650.987
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-000000000006:{sequence}"),
            "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::123456789012:role/x",
            "awsRegion": "eu-west-2", "eventSourceARN": arn
        })
    }

    fn parse(event: &serde_json::Value) -> Result<Event, EventError> {
        Event::parse(&event.to_string(), "damper-")
    }

    #[test]
    fn a_batch_names_its_provider_by_its_stream() {
        let Event::Batch(batch) =
            parse(&serde_json::json!({ "Records": [record("1", ARN), record("2", ARN)] })).unwrap()
        else {
            panic!("no batch")
        };
        assert_eq!((batch.provider.as_str(), batch.first(), batch.records.len()), ("gleif", Some("1"), 2));
        let first = &batch.records[0];
        assert_eq!(
            (&first.data[..], first.arrived.to_string()),
            (&br#"{"id":"a"}"#[..], "2018-12-17T22:10:50.987Z".into())
        );
    }

    #[test]
    fn a_schedule_is_a_tick_and_a_person_asks_for_a_record() {
        let tick = serde_json::json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        assert!(matches!(parse(&tick).unwrap(), Event::Tick));
        let ad_hoc = serde_json::json!({ "provider": "gleif", "id": "x", "params": { "lang": "en" } });
        let Event::AdHoc { provider, item } = parse(&ad_hoc).unwrap() else { panic!("no ad-hoc fetch") };
        assert_eq!((provider.as_str(), item.id.as_str(), item.params["lang"].as_str()), ("gleif", "x", "en"));
    }

    #[test]
    fn what_is_none_of_these_is_told_what_they_look_like() {
        let message = |event: serde_json::Value| parse(&event).unwrap_err().to_string();
        assert!(message(serde_json::json!({})).contains("\"provider\": \"...\""));
        assert!(message(serde_json::json!({ "Records": [] })).contains("empty"));
        assert!(message(serde_json::json!({ "provider": "gleif" })).contains("the id is missing"));
        assert!(message(serde_json::json!({ "provider": "gleif", "id": "" })).contains("the id is empty"));
        let others = "arn:aws:kinesis:eu-west-2:123456789012:stream/clicks";
        assert!(message(serde_json::json!({ "Records": [record("1", others)] })).contains("stream/clicks"));
        let two = serde_json::json!({ "Records": [record("1", ARN), record("2", others)] });
        assert!(message(two).contains("of one stream"));
        assert!(message(serde_json::json!({ "Records": [record("", ARN)] })).contains("no sequence number"));
    }

    proptest! {
        #[test]
        fn no_event_panics(text in ".{0,200}") {
            let _ = Event::parse(&text, "damper-");
        }

        #[test]
        fn a_prefix_alone_is_no_provider(prefix in "[a-z-]{0,6}", name in "[a-z]{0,6}") {
            let arn = format!("arn:aws:kinesis:r:1:stream/{prefix}{name}");
            let expected = (!name.is_empty()).then_some(name.as_str());
            prop_assert_eq!(provider_of(&arn, &prefix), expected);
        }
    }
}
