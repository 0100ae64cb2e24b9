//! Faulty deployments: they write a clear log line, their answers lose no item, and after the repair the work goes on.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use damper_core::clock::WallClock;
use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_core::mapping::Mapping;
use damper_event_source::{Identity, Outcome, Record, SequenceNumber, State};
use serde_json::{Value, json};

use crate::deployment::{DeploymentOptions, PATIENCE, TestDeployment};
use crate::function_log;
use crate::package::{add_demo, demo_code};

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
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { timeout: SHORT, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let answer = deployment.invoke(&batch_of(&deployment.stream_of("nobody"))).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "4711" }] }));
    let lines = deployment.lines();
    assert!(function_log::has(&lines, "ERROR", "nobody is not in this package"), "{}", deployment.transcript());
    let waited = deployment.function().invocations()[0].took;
    assert!(waited >= Duration::from_secs(5), "redelivery is at once, and would spin: {waited:?}");
    function_log::assert_well_formed(&lines);

    // A stream that is none of ours is an error: the whole batch is kept.
    let error = deployment.invoke(&batch_of("clicks")).await.unwrap_err();
    assert!(error.contains("stream/clicks") && error.contains("DAMPER_STREAM_PREFIX"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_the_function_loses_nothing() {
    let environment = vec![("DAMPER_TABLE", "there-is-none".to_owned())];
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { environment, timeout: SHORT, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    source.wait_for(PATIENCE, |view| view.invocations >= 2).await.unwrap();
    let first = &deployment.batch_answers()[0];
    assert_eq!(first.first_unfinished(), first.batch.first().map(String::as_str));
    assert_eq!(deployment.api.stats().requests, 0, "nothing is fetched that cannot be claimed");
    let lines = deployment.lines();
    assert!(function_log::has(&lines, "ERROR", "there-is-none"), "{}", deployment.transcript());
    function_log::assert_well_formed(&lines);

    deployment.restart_with("DAMPER_TABLE", deployment.table());
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_leaves_the_providers_of_others_alone() {
    let environment = vec![("DAMPER_PROVIDERS", "demo-2".to_owned())];
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { environment, timeout: SHORT, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    add_demo(deployment.package.path(), "hosts = \"manifest\"", &[("\"demo\"", "\"demo-2\"")]);
    assert_eq!(deployment.tick().await["providers"], 1);
    let error = deployment.invoke(&json!({ "provider": "demo", "id": "a" })).await.unwrap_err();
    assert!(error.contains("demo has a function of its own"), "{error}");
    // Its stream is still mapped to this function: the items wait for the other one, and nobody has to resume anything.
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    source.wait_for(PATIENCE, |view| view.invocations >= 2).await.unwrap();
    assert_eq!(deployment.api.stats().requests, 0);
    deployment.restart_with("DAMPER_PROVIDERS", "");
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_code_stops_the_provider_until_it_is_mended_and_resumed() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { timeout: SHORT, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let code = demo_code(deployment.package.path());
    let whole = fs::read(&code).unwrap();
    fs::write(&code, &whole[..whole.len() / 2]).unwrap();
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let control = deployment.control().await;
    let ProviderStop::Open { by: OpenedBy::Config, reason, .. } = &control.breaker else { panic!("{control:?}") };
    assert!(reason.contains("has changed since it was packaged"), "{reason}");
    for answered in deployment.batch_answers() {
        assert_eq!(answered.first_unfinished(), answered.batch.first().map(String::as_str));
    }
    assert!(
        function_log::has(&deployment.lines(), "ERROR", "has changed since it was packaged"),
        "{}",
        deployment.transcript()
    );
    // A person has to mend it: no tick goes on by itself.
    assert_eq!(deployment.tick().await["changed"], 0);

    fs::write(&code, whole).unwrap();
    deployment.restart(jiff::SignedDuration::ZERO);
    let mapping = deployment.mapping();
    deployment.resume(&mapping).await;
    assert!(mapping.read("demo").await.unwrap().enabled);
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
    assert!(deployment.letters().await.is_empty(), "no attempt was counted");
    function_log::assert_well_formed(&deployment.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_settings_says_which_one_is_missing() {
    let environment = vec![("DAMPER_BUCKET", String::new())];
    let Some(deployment) = TestDeployment::new(DeploymentOptions { environment, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let error = deployment.invoke(&json!({ "provider": "demo", "id": "a" })).await.unwrap_err();
    assert!(error.contains("exited before its first event"), "{error}");
    deployment.wait_for_log("ERROR", "DAMPER_BUCKET is not set").await;
    function_log::assert_well_formed(&deployment.lines());
    assert!(matches!(deployment.function().invocations()[0].outcome, Outcome::Failed(_)));
}
