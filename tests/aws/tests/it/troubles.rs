//! What is wrong with a deployment: a clear log line, the answer that loses nothing, and once it is mended all goes on.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use damper_core::clock::WallClock;
use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_core::mapping::Mapping;
use damper_event_source::{Identity, Outcome, Record, SequenceNumber, State};
use serde_json::{Value, json};

use crate::house::{House, PATIENCE, Wanted};
use crate::package::{add_demo, demo_code};
use crate::said;

/// Enough for one fetch; what cannot be worked at waits for its end.
const SHORT: Duration = Duration::from_secs(10);

fn ids() -> Vec<String> {
    (0..30).map(|number| format!("item-{number:02}")).collect()
}

/// A batch of one item, `a`, of a stream.
pub(crate) fn batch_of(stream: &str) -> Value {
    let record = Record {
        sequence: SequenceNumber::new("4711"),
        partition_key: "p".to_owned(),
        data: Bytes::from_static(br#"{"id":"a"}"#),
        arrived: WallClock::System.now(),
    };
    let identity = Identity::new(format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"), "damper");
    damper_event_source::event(&identity, "shardId-000000000000", &[record])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_an_unknown_provider_keeps_its_records() {
    let Some(house) = House::new(Wanted { timeout: SHORT, ..Wanted::default() }).await else { return };
    let answer = house.invoke(&batch_of(&house.stream_of("nobody"))).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "4711" }] }));
    let lines = house.lines();
    assert!(said::has(&lines, "ERROR", "nobody is not in this package"), "{}", house.transcript());
    let waited = house.function().invocations()[0].took;
    assert!(waited >= Duration::from_secs(5), "redelivery is at once, and would spin: {waited:?}");
    said::assert_well_formed(&lines);

    // A stream that is none of ours is an error: the whole batch is kept.
    let error = house.invoke(&batch_of("clicks")).await.unwrap_err();
    assert!(error.contains("stream/clicks") && error.contains("DAMPER_STREAM_PREFIX"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_the_function_loses_nothing() {
    let environment = vec![("DAMPER_TABLE", "there-is-none".to_owned())];
    let Some(house) = House::new(Wanted { environment, timeout: SHORT, ..Wanted::default() }).await else { return };
    house.feed(ids()).await;
    let source = house.map();
    source.wait_for(PATIENCE, |view| view.invocations >= 2).await.unwrap();
    let first = &house.answered()[0];
    assert_eq!(first.from(), first.batch.first().map(String::as_str));
    assert_eq!(house.api.stats().requests, 0, "nothing is fetched that cannot be claimed");
    let lines = house.lines();
    assert!(said::has(&lines, "ERROR", "there-is-none"), "{}", house.transcript());
    said::assert_well_formed(&lines);

    house.restart_with("DAMPER_TABLE", house.table());
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_leaves_the_providers_of_others_alone() {
    let environment = vec![("DAMPER_PROVIDERS", "demo-2".to_owned())];
    let Some(house) = House::new(Wanted { environment, timeout: SHORT, ..Wanted::default() }).await else { return };
    add_demo(house.package.path(), "hosts = \"manifest\"", &[("\"demo\"", "\"demo-2\"")]);
    assert_eq!(house.tick().await["providers"], 1);
    let error = house.invoke(&json!({ "provider": "demo", "id": "a" })).await.unwrap_err();
    assert!(error.contains("demo has a function of its own"), "{error}");
    // Its stream is still mapped to this function: the items wait for the other one, and nobody has to resume anything.
    house.feed(ids()).await;
    let source = house.map();
    source.wait_for(PATIENCE, |view| view.invocations >= 2).await.unwrap();
    assert_eq!(house.api.stats().requests, 0);
    house.restart_with("DAMPER_PROVIDERS", "");
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_code_stops_the_provider_until_it_is_mended_and_resumed() {
    let Some(house) = House::new(Wanted { timeout: SHORT, ..Wanted::default() }).await else { return };
    let code = demo_code(house.package.path());
    let whole = fs::read(&code).unwrap();
    fs::write(&code, &whole[..whole.len() / 2]).unwrap();
    house.feed(ids()).await;
    let source = house.map();
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let control = house.control().await;
    let ProviderStop::Open { by: OpenedBy::Config, reason, .. } = &control.breaker else { panic!("{control:?}") };
    assert!(reason.contains("not what was packaged"), "{reason}");
    for answered in house.answered() {
        assert_eq!(answered.from(), answered.batch.first().map(String::as_str));
    }
    assert!(said::has(&house.lines(), "ERROR", "not what was packaged"), "{}", house.transcript());
    // A person has to mend it: no tick goes on by itself.
    assert_eq!(house.tick().await["changed"], 0);

    fs::write(&code, whole).unwrap();
    house.restart(jiff::SignedDuration::ZERO);
    let mapping = house.mapping();
    house.resume(&mapping).await;
    assert!(mapping.read("demo").await.unwrap().enabled);
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
    assert!(house.letters().await.is_empty(), "no attempt was counted");
    said::assert_well_formed(&house.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_settings_says_which_one_is_missing() {
    let environment = vec![("DAMPER_BUCKET", String::new())];
    let Some(house) = House::new(Wanted { environment, ..Wanted::default() }).await else { return };
    let error = house.invoke(&json!({ "provider": "demo", "id": "a" })).await.unwrap_err();
    assert!(error.contains("exited before its first event"), "{error}");
    house.logged("ERROR", "DAMPER_BUCKET is not set").await;
    said::assert_well_formed(&house.lines());
    assert!(matches!(house.function().invocations()[0].outcome, Outcome::Failed(_)));
}
