//! The driver on Kinesis as moto and ministack have it, through AWS's own SDK.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use damper_event_source::{
    Change, Clock, ControlPlane, EventSource, Identity, KinesisStream, MappingConfig, Parts, StartingPosition,
};
use damper_stand_ins::{StandIn, create_stream, sdk_config, unique};
use serde_json::{Value, json};

use crate::script::{Script, data_of, quick, wait};

const RECORDS: usize = 60;

async fn put(client: &Client, arn: &str, numbers: std::ops::Range<usize>) {
    let entry = |number: usize| {
        let data = Blob::new(number.to_string().into_bytes());
        PutRecordsRequestEntry::builder().data(data).partition_key(format!("key {number}")).build().unwrap()
    };
    let entries = numbers.map(entry).collect();
    client.put_records().stream_arn(arn).set_records(Some(entries)).send().await.unwrap();
}

fn distinct(function: &Script) -> BTreeSet<usize> {
    function.data().concat().iter().map(|data| data.parse().unwrap()).collect()
}

/// Every record once but for what a partial failure and a pause make come again; the pause begins where it stopped.
async fn drives(stand_in: &StandIn) {
    let client = Client::new(&sdk_config(stand_in.endpoint()));
    let arn = create_stream(&client, &unique("items"), 2).await;
    put(&client, &arn, 0..RECORDS).await;
    let failed_once = AtomicBool::new(false);
    let function = Script::new(move |event: &Value| {
        let Some(index) = data_of(event).iter().position(|data| data == "33") else { return Ok(String::new()) };
        if failed_once.swap(true, Ordering::SeqCst) {
            return Ok(String::new());
        }
        let identifier = &event["Records"][index]["kinesis"]["sequenceNumber"];
        Ok(json!({ "batchItemFailures": [{ "itemIdentifier": identifier }] }).to_string())
    });
    let config = MappingConfig { batch_size: 7, report_batch_item_failures: true, ..MappingConfig::default() };
    let kinesis = Arc::new(KinesisStream::new(client.clone(), &arn));
    let invoke: Arc<Script> = Arc::clone(&function);
    let parts = Parts { config, pace: quick(), ..Parts::new(Identity::new(&arn, "damper"), kinesis, invoke) };
    let plane = ControlPlane::start(Clock::default()).await.unwrap();
    let source = plane.create(parts).unwrap();

    wait(&source, |view| view.in_flight == 0 && distinct(&function).len() == RECORDS).await;
    let first = source.view();
    assert_eq!(first.troubles, Vec::<String>::new());
    assert_eq!(first.checkpoints.len(), 2);
    assert!(function.data().iter().all(|batch| batch.len() <= 7));
    let once_more = first.delivered - u64::try_from(RECORDS).unwrap();
    assert!((1..=7).contains(&once_more), "{once_more} records came again, of a batch of at most seven");

    source.update(&Change { enabled: Some(false), ..Change::default() }).unwrap();
    wait(&source, |view| !view.polls).await;
    put(&client, &arn, RECORDS..RECORDS + 20).await;
    assert_eq!(source.view().delivered, first.delivered);
    source.update(&Change { enabled: Some(true), ..Change::default() }).unwrap();
    let last = wait(&source, |view| view.in_flight == 0 && distinct(&function).len() == RECORDS + 20).await;
    assert_eq!(last.delivered, first.delivered + 20, "resumed from the checkpoint: nothing again");
}

/// LATEST leaves out what was there before.
async fn latest(stand_in: &StandIn) {
    let client = Client::new(&sdk_config(stand_in.endpoint()));
    let arn = create_stream(&client, &unique("items"), 2).await;
    put(&client, &arn, 0..10).await;
    // Arrival times are compared to the second at worst.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let function = Script::new(|_| Ok(String::new()));
    let config = MappingConfig { starting_position: StartingPosition::Latest, ..MappingConfig::default() };
    let kinesis = Arc::new(KinesisStream::new(client.clone(), &arn));
    let invoke: Arc<Script> = Arc::clone(&function);
    let parts = Parts { config, pace: quick(), ..Parts::new(Identity::new(&arn, "damper"), kinesis, invoke) };
    let source = EventSource::start(parts).unwrap();
    wait(&source, |view| view.polls).await;
    put(&client, &arn, 10..20).await;
    wait(&source, |view| view.in_flight == 0 && view.delivered >= 10).await;
    assert_eq!(distinct(&function), (10..20).collect());
}

#[tokio::test]
async fn drives_a_function_from_moto() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    drives(moto).await;
    latest(moto).await;
}

#[tokio::test]
async fn drives_a_function_from_ministack() {
    let Some(ministack) = damper_stand_ins::ministack() else { return };
    drives(ministack).await;
    latest(ministack).await;
}
