//! AWS's behaviour, as LocalStack recorded it: localstack/localstack, tests/aws/services/lambda_/event_source_mapping/
//! test_lambda_integration_kinesis.py with its .snapshot.json, recorded on 25 November 2025. Each test names its
//! recording.
//!
//! Not here: test_kinesis_event_filtering_json_pattern (no filters are modelled), the SNS envelope of
//! test_kinesis_event_source_mapping_with_sns_on_failure_destination_config (the document inside is the one tested),
//! and test_kinesis_event_source_mapping_with_async_invocation (the same batches as trim_horizon, without a test of its
//! own).

use std::sync::Arc;
use std::time::Duration;

use damper_event_source::{
    Change, Clock, Condition, ControlPlane, Discarded, EventSource, Identity, MappingConfig, MemoryStream, Parts,
    StartingPosition, State, failure_document,
};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

use crate::script::{SHARD, STREAM, Script, data_of, parts, wait};

/// The document of SQS, SNS, and (without its payload) S3.
fn document_of(discarded: &Discarded) -> Value {
    failure_document(&Identity::new(STREAM, "damper"), discarded, false)
}

async fn discards_of(source: &EventSource, count: usize) -> Vec<Discarded> {
    wait(source, |view| view.discarded.len() >= count).await.discarded
}

/// test_create_kinesis_event_source_mapping: the event, field by field.
#[tokio::test]
async fn an_event_is_written_as_recorded() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    let arrived = clock.now();
    let sequence = stream.put(0, "test_0", "hello", arrived);
    let function = Script::new(|_| Ok("null".to_owned()));
    let source = EventSource::start(parts(&stream, &function, MappingConfig::default())).unwrap();
    wait(&source, |view| view.checkpoints.values().flatten().count() == 1).await;

    let event = function.events().remove(0);
    let timestamp = event["Records"][0]["kinesis"]["approximateArrivalTimestamp"].clone();
    let role = source.identity().role_arn.clone();
    assert_eq!(
        event,
        json!({ "Records": [{
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "test_0",
                "sequenceNumber": sequence.as_str(),
                "data": "aGVsbG8=",
                "approximateArrivalTimestamp": timestamp,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{SHARD}:{sequence}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": "eu-west-1",
            "eventSourceARN": STREAM,
        }] })
    );
    // "check if the timestamp has same amount of numbers before the comma as the current timestamp"
    let whole = timestamp.as_f64().unwrap();
    assert_eq!(whole.trunc() as i64, arrived.as_second());
}

/// test_create_kinesis_event_source_mapping_multiple_lambdas_single_kinesis_event_stream: each mapping has the whole
/// stream.
#[tokio::test]
async fn two_functions_on_one_stream_each_get_every_record() {
    let stream = Arc::new(MemoryStream::new(1));
    stream.put(0, "test_1", "hello", Clock::default().now());
    let functions = [(); 2].map(|()| Script::new(|_| Ok(String::new())));
    for function in &functions {
        let source = EventSource::start(parts(&stream, function, MappingConfig::default())).unwrap();
        wait(&source, |view| view.checkpoints.values().flatten().count() == 1).await;
        assert_eq!(function.data(), [["hello"]]);
    }
}

/// test_kinesis_event_source_trim_horizon: records from before the mapping, in order, in batches of ten.
#[tokio::test]
async fn trim_horizon_begins_with_what_was_there_before() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    let put = |batch: usize| {
        for index in 0..10 {
            stream.put(0, &format!("test_{batch}"), format!("{batch}/{index}"), clock.now());
        }
    };
    put(0);
    put(1);
    let function = Script::new(|_| Ok("null".to_owned()));
    let config = MappingConfig { batch_size: 10, ..MappingConfig::default() };
    let source = EventSource::start(parts(&stream, &function, config)).unwrap();
    put(3);
    wait(&source, |view| view.delivered == 30 && view.in_flight == 0).await;
    let expected: Vec<Vec<_>> =
        [0, 1, 3].map(|batch| (0..10).map(|index| format!("{batch}/{index}")).collect()).to_vec();
    assert_eq!(function.data(), expected);
}

/// test_disable_kinesis_event_source_mapping: what is put after it is disabled for sure is not delivered.
#[tokio::test]
async fn a_disabled_mapping_delivers_nothing() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    let function = Script::new(|_| Ok("null".to_owned()));
    let config =
        MappingConfig { batch_size: 10, starting_position: StartingPosition::Latest, ..MappingConfig::default() };
    let source = EventSource::start(parts(&stream, &function, config.clone())).unwrap();
    stream.put(0, "test", "before", clock.now());
    wait(&source, |view| view.delivered == 1 && view.in_flight == 0).await;

    source.update(&Change { enabled: Some(false), ..Change::default() }).unwrap();
    wait(&source, |view| view.state == State::Disabled && !view.polls).await;
    stream.put(0, "test", "while disabled", clock.now());
    // Another mapping had all the time to deliver it.
    let other = Script::new(|_| Ok("null".to_owned()));
    let config = MappingConfig { starting_position: StartingPosition::TrimHorizon, ..config };
    let witness = EventSource::start(parts(&stream, &other, config)).unwrap();
    wait(&witness, |view| view.delivered == 2 && view.in_flight == 0).await;
    assert_eq!(function.data(), [["before"]]);

    // AWS.md: resumed from the same place.
    source.update(&Change { enabled: Some(true), ..Change::default() }).unwrap();
    wait(&source, |view| view.delivered == 2 && view.in_flight == 0).await;
    assert_eq!(function.data(), [["before"], ["while disabled"]]);
}

/// test_kinesis_report_batch_item_failures: three records, the last of which fails; the checkpoint moves to it, what
/// was before it is not delivered again, and what is left is a batch with a budget of its own (five deliveries, count
/// 4).
#[tokio::test]
async fn a_partial_failure_makes_a_new_batch_of_the_rest() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    let sequences: Vec<_> = (0..6)
        .map(|index| {
            stream.put(0, &format!("test_{index}"), json!({ "should_fail": index == 5 }).to_string(), clock.now())
        })
        .collect();
    let function = Script::new(|event| {
        let records = event["Records"].as_array().unwrap();
        let failed: Vec<_> = records
            .iter()
            .zip(data_of(event))
            .filter(|(_, data)| data.contains("true"))
            .map(|(record, _)| json!({ "itemIdentifier": record["kinesis"]["sequenceNumber"] }))
            .collect();
        Ok(json!({ "batchItemFailures": failed }).to_string())
    });
    let config = MappingConfig {
        batch_size: 3,
        batching_window: Duration::from_secs(1),
        report_batch_item_failures: true,
        maximum_retry_attempts: Some(3),
        ..MappingConfig::default()
    };
    let source = EventSource::start(parts(&stream, &function, config)).unwrap();
    let discarded = discards_of(&source, 1).await.remove(0);

    let deliveries = function.data().concat();
    assert_eq!(deliveries.iter().filter(|data| data.contains("false")).count(), 5);
    assert_eq!(deliveries.iter().filter(|data| data.contains("true")).count(), 5);
    let document = document_of(&discarded);
    assert_eq!(document["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(document["requestContext"]["approximateInvokeCount"], 4);
    assert_eq!(document["KinesisBatchInfo"]["batchSize"], 1);
    assert_eq!(document["KinesisBatchInfo"]["startSequenceNumber"], sequences[5].as_str());
    assert_eq!(document["KinesisBatchInfo"]["endSequenceNumber"], sequences[5].as_str());
    assert_eq!(document["responseContext"]["functionError"], Value::Null);
}

/// test_kinesis_report_batch_item_failure_scenarios[...]: each is delivered three times (two retries) and discarded.
#[tokio::test]
async fn what_fails_a_batch_whole() {
    let scenarios: [(&str, Result<&str, &str>, Value); 6] = [
        ("item_identifier_not_present_failure", Ok(r#"{"batchItemFailures":[{"itemIdentifier":123}]}"#), Value::Null),
        ("empty_string_item_identifier_failure", Ok(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#), Value::Null),
        ("null_item_identifier_failure", Ok(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#), Value::Null),
        ("invalid_key_foo_failure", Ok(r#"{"batchItemFailures":[{"foo":123}]}"#), Value::Null),
        ("invalid_key_foo_null_value_failure", Ok(r#"{"batchItemFailures":[{"foo":null}]}"#), Value::Null),
        ("unhandled_exception_in_function", Err("ZeroDivisionError: division by zero"), json!("Unhandled")),
    ];
    for (name, answer, function_error) in scenarios {
        let stream = Arc::new(MemoryStream::new(1));
        let sequence = stream.put(0, "test", "hello", Clock::default().now());
        let function = Script::new(move |_| answer.map(str::to_owned).map_err(str::to_owned));
        let config = MappingConfig {
            batch_size: 1,
            report_batch_item_failures: true,
            maximum_retry_attempts: Some(2),
            ..MappingConfig::default()
        };
        let source = EventSource::start(parts(&stream, &function, config)).unwrap();
        let discarded = discards_of(&source, 1).await.remove(0);
        assert_eq!(function.data(), [["hello"], ["hello"], ["hello"]], "{name}");
        let document = document_of(&discarded);
        let expected = json!({
            "requestContext": {
                "requestId": "request-3",
                "functionArn": "arn:aws:lambda:eu-west-1:111111111111:function:damper",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 3,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": function_error },
            "version": "1.0",
            "timestamp": document["timestamp"],
            "KinesisBatchInfo": {
                "shardId": SHARD,
                "startSequenceNumber": sequence.as_str(),
                "endSequenceNumber": sequence.as_str(),
                "approximateArrivalOfFirstRecord": document["KinesisBatchInfo"]["approximateArrivalOfFirstRecord"],
                "approximateArrivalOfLastRecord": document["KinesisBatchInfo"]["approximateArrivalOfLastRecord"],
                "batchSize": 1,
                "streamArn": STREAM,
            },
        });
        assert_eq!(document, expected, "{name}");
        // Given up on is done with: the checkpoint is behind it.
        assert_eq!(source.view().checkpoints[SHARD].as_deref(), Some(sequence.as_str()), "{name}");
    }
}

/// test_kinesis_report_batch_item_success_scenarios[...] and test_kinesis_empty_provided: delivered once.
#[tokio::test]
async fn what_is_a_success() {
    let scenarios = [
        ("empty_string_success", r#""""#),
        ("empty_list_success", "[]"),
        ("null_success", "null"),
        ("empty_dict_success", "{}"),
        ("empty_batch_item_failure_success", r#"{"batchItemFailures":[]}"#),
        ("null_batch_item_failure_success", r#"{"batchItemFailures":null}"#),
        ("test_kinesis_empty_provided", ""),
    ];
    for (name, answer) in scenarios {
        let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
        stream.put(0, "test", "hello", clock.now());
        let function = Script::new(|_| Ok(answer.to_owned()));
        let config = MappingConfig {
            batch_size: 1,
            report_batch_item_failures: true,
            maximum_retry_attempts: Some(2),
            ..MappingConfig::default()
        };
        let source = EventSource::start(parts(&stream, &function, config)).unwrap();
        wait(&source, |view| view.checkpoints.values().flatten().count() == 1).await;
        // A retry would come before the next record.
        let last = stream.put(0, "test", "next", clock.now());
        let view =
            wait(&source, |view| view.checkpoints.get(SHARD).cloned().flatten().as_deref() == Some(last.as_str()))
                .await;
        assert_eq!(function.data(), [["hello"], ["next"]], "{name}");
        assert_eq!((view.last_result, view.state, view.discarded.len()), ("OK", State::Enabled, 0), "{name}");
    }
}

/// test_kinesis_event_source_mapping_with_s3_on_failure_destination: the document with its payload, and its key.
#[tokio::test]
async fn s3_gets_the_payload_under_a_key_of_mapping_shard_and_time() {
    let stream = Arc::new(MemoryStream::new(1));
    let sequence = stream.put(0, "custom", r#"{"input": "hello"}"#, Clock::default().now());
    let function = Script::new(|_| Err("Exception: raised".to_owned()));
    let config = MappingConfig { batch_size: 1, maximum_retry_attempts: Some(1), ..MappingConfig::default() };
    let bucket = Arc::new(InMemory::new());
    let on_failure: Option<Arc<dyn ObjectStore>> = Some(Arc::clone(&bucket) as _);
    let source = EventSource::start(Parts { on_failure, ..parts(&stream, &function, config) }).unwrap();
    discards_of(&source, 1).await;

    let objects: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let [object] = objects.as_slice() else { panic!("not one object: {objects:?}") };
    let bytes = bucket.get(&object.location).await.unwrap().bytes().await.unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(document["responseContext"]["functionError"], "Unhandled");
    assert_eq!(document["payload"], function.events()[0]);
    assert_eq!(document["KinesisBatchInfo"]["startSequenceNumber"], sequence.as_str());
    let timestamp = document["timestamp"].as_str().unwrap();
    let (day, second) = (timestamp[..10].replace('-', "/"), timestamp[..19].replace(':', "."));
    let start = format!("aws/lambda/{}/{SHARD}/{day}/{second}-", source.identity().uuid);
    assert!(object.location.as_ref().starts_with(&start), "{} does not start with {start}", object.location);
}

/// test_kinesis_event_source_mapping_with_on_failure_destination_config and ..._with_sns_...: one retry, count 2.
#[tokio::test]
async fn an_error_spends_the_budget() {
    let stream = Arc::new(MemoryStream::new(1));
    stream.put(0, "custom", "x", Clock::default().now());
    let function = Script::new(|_| Err("Exception: raised".to_owned()));
    let config = MappingConfig { batch_size: 1, maximum_retry_attempts: Some(1), ..MappingConfig::default() };
    let source = EventSource::start(parts(&stream, &function, config)).unwrap();
    let discarded = discards_of(&source, 1).await.remove(0);
    let document = document_of(&discarded);
    assert_eq!(document["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(
        document["responseContext"],
        json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" })
    );
    assert_eq!(document.get("payload"), None);
}

/// test_kinesis_maximum_record_age_exceeded[expire-before-ingestion]: never invoked, count 1, no response context.
#[tokio::test]
async fn a_record_that_is_too_old_is_not_delivered() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    stream.put(0, "test", "stream-data", clock.now());
    clock.advance(Duration::from_secs(80));
    let function = Script::new(|_| Err("told to".to_owned()));
    let config = MappingConfig {
        batch_size: 1,
        maximum_retry_attempts: Some(0),
        maximum_record_age: Some(Duration::from_secs(60)),
        ..MappingConfig::default()
    };
    let source = EventSource::start(Parts { clock, ..parts(&stream, &function, config) }).unwrap();
    let discarded = discards_of(&source, 1).await.remove(0);
    let document = document_of(&discarded);
    assert_eq!(document["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(document["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(document.get("responseContext"), None);
    assert_eq!(function.events().len(), 0);
}

/// test_kinesis_maximum_record_age_exceeded[expire-while-retrying]: retried without end until it is too old; the count
/// includes the invocation that it did not get.
#[tokio::test]
async fn a_record_is_retried_until_it_is_too_old() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    stream.put(0, "test", "stream-data", clock.now());
    let function = Script::new(|_| Err("told to".to_owned()));
    let config =
        MappingConfig { batch_size: 1, maximum_record_age: Some(Duration::from_secs(60)), ..MappingConfig::default() };
    let source = EventSource::start(Parts { clock: clock.clone(), ..parts(&stream, &function, config) }).unwrap();
    wait(&source, |view| view.function_errors == 7).await;
    clock.advance(Duration::from_secs(61));
    let discarded = discards_of(&source, 1).await.remove(0);
    assert_eq!(discarded.condition, Condition::RecordAgeExceeded);
    assert_eq!(usize::try_from(discarded.invoke_count).unwrap(), function.events().len() + 1);
    assert_eq!(document_of(&discarded).get("responseContext"), None);
}

/// test_kinesis_maximum_record_age_exceeded_discard_records: only the old one of six is discarded; the others are
/// delivered.
#[tokio::test]
async fn only_the_records_that_are_too_old_are_discarded() {
    let (stream, clock) = (Arc::new(MemoryStream::new(1)), Clock::default());
    stream.put(0, "test", "stream-data", clock.now());
    clock.advance(Duration::from_secs(80));
    for index in 1..=5 {
        stream.put(0, "test", format!("stream-data-{index}"), clock.now());
    }
    let function = Script::new(|_| Ok("null".to_owned()));
    let config = MappingConfig {
        batch_size: 10,
        maximum_retry_attempts: Some(0),
        maximum_record_age: Some(Duration::from_secs(60)),
        ..MappingConfig::default()
    };
    let source = EventSource::start(Parts { clock, ..parts(&stream, &function, config) }).unwrap();
    let view = wait(&source, |view| view.delivered == 5 && view.in_flight == 0).await;
    let [discarded] = view.discarded.as_slice() else { panic!("not one: {:?}", view.discarded) };
    assert_eq!(document_of(discarded)["KinesisBatchInfo"]["batchSize"], 1);
    assert_eq!(discarded.invoke_count, 1);
    let expected: Vec<_> = (1..=5).map(|index| format!("stream-data-{index}")).collect();
    assert_eq!(function.data(), [expected]);
}

/// test_duplicate_event_source_mappings: one mapping for one stream and function; another function may have its own.
#[tokio::test]
async fn a_second_mapping_of_the_same_stream_and_function_is_refused() {
    let stream = Arc::new(MemoryStream::new(1));
    let function = Script::new(|_| Ok("null".to_owned()));
    let plane = ControlPlane::start(Clock::default()).await.unwrap();
    let first = plane.create(parts(&stream, &function, MappingConfig::default())).unwrap();
    let refused = plane.create(parts(&stream, &function, MappingConfig::default())).err().unwrap();
    assert_eq!(
        refused,
        format!(
            "ResourceConflictException: The event source arn (\" {STREAM} \") and function (\" damper \") provided mapping \
             already exists. Please update or delete the existing mapping with UUID {}",
            first.identity().uuid
        )
    );
    let other =
        Parts { identity: Identity::new(STREAM, "other"), ..parts(&stream, &function, MappingConfig::default()) };
    assert!(plane.create(other).is_ok());
}
