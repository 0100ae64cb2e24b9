//! Invocations that end in the middle: killed, timed out, or too short for their batch.

use std::process::Command;
use std::time::Duration;

use damper_demo_api::{Latency, Settings};
use damper_event_source::Outcome;
use jiff::SignedDuration;
use serde_json::json;

use crate::deployment::{DeploymentOptions, PATIENCE, TestDeployment};
use crate::function_log;

/// Longer than a claim's lease: fetch timeout, chunk age, flush and margin are 18 s.
const AFTER_THE_LEASE: SignedDuration = SignedDuration::from_secs(30);
const ITEMS: usize = 120;

fn slow_api() -> Settings {
    Settings { latency: Latency { median_ms: 150.0, sigma: 0.2, max_ms: None }, ..Settings::default() }
}

fn ids() -> Vec<String> {
    (0..ITEMS).map(|number| format!("item-{number:03}")).collect()
}

/// Everything ended, and nothing twice, though the API may have been asked again for what had not been stored.
async fn assert_once_in_the_sink(deployment: &TestDeployment) {
    assert_eq!(deployment.stored_ids().await, ids());
    assert!(deployment.letters().await.is_empty());
    let stats = deployment.api.stats();
    assert!(stats.peak_in_flight <= 16, "{stats:?}");
    function_log::assert_well_formed(&deployment.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_invocation_loses_and_doubles_nothing() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: slow_api(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    deployment.wait_for_api(|stats| stats.requests >= 40).await;
    let killed = deployment.function();
    // The next process comes after the leases of the dead one.
    deployment.restart(AFTER_THE_LEASE);
    killed.kill_running();
    deployment.wait_until_drained(&source).await;
    let ends = killed.invocations();
    assert!(matches!(ends.last().unwrap().outcome, Outcome::Exited(_)), "{ends:?}");
    assert_once_in_the_sink(&deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_invocation_had_stored_is_recovered_without_a_fetch() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: slow_api(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    // A chunk is five seconds old when it is stored; the kill comes with the first one.
    deployment.wait_until(async |deployment| !deployment.sink().await.is_empty()).await;
    let killed = deployment.function();
    deployment.restart(AFTER_THE_LEASE);
    killed.kill_running();
    let before = deployment.stored_ids().await;
    deployment.wait_until_drained(&source).await;
    assert_once_in_the_sink(&deployment).await;
    let log = deployment.api.log();
    for id in before {
        assert_eq!(log.iter().filter(|line| line.id == id).count(), 1, "{id} was in the sink and fetched again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_hangs_is_timed_out_and_its_batch_delivered_again() {
    let wanted =
        DeploymentOptions { api: slow_api(), timeout: Duration::from_secs(12), ..DeploymentOptions::default() };
    let Some(deployment) = TestDeployment::new(wanted).await else { return };
    // This invocation logs the process's number.
    deployment.invoke(&json!({ "provider": "demo", "id": "first" })).await.unwrap();
    let hung = deployment.function();
    let process = hung.invocations()[0].process;
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    deployment.wait_for_api(|stats| stats.requests >= 20).await;
    deployment.restart(AFTER_THE_LEASE);
    assert!(Command::new("kill").args(["-STOP", &process.to_string()]).status().unwrap().success());
    source.wait_for(PATIENCE, |view| view.function_errors >= 1).await.unwrap();
    assert_eq!(hung.invocations().last().unwrap().outcome, Outcome::TimedOut);
    deployment.wait_until_drained(&source).await;
    let stored = deployment.stored_ids().await;
    assert_eq!((stored.len(), &stored[0][..]), (ITEMS + 1, "first"));
    assert_eq!(stored[1..], ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_too_large_for_an_invocation_is_left_in_time_and_gone_on_with() {
    let api = Settings { latency: Latency { median_ms: 400.0, sigma: 0.0, max_ms: None }, ..Settings::default() };
    let settings = "limits.max_concurrency = 6".to_owned();
    let timeout = Duration::from_secs(12);
    let Some(deployment) = TestDeployment::new(DeploymentOptions {
        api,
        settings,
        timeout,
        batch_size: 500,
        ..DeploymentOptions::default()
    })
    .await
    else {
        return;
    };
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    deployment.wait_until_drained(&source).await;
    let answered = deployment.batch_answers();
    assert!(
        answered.len() >= 2 && answered[0].first_unfinished().is_some(),
        "the first one had to leave some: {answered:?}"
    );
    assert_eq!(answered.last().unwrap().first_unfinished(), None);
    let invocations = deployment.function().invocations();
    assert!(invocations.iter().all(|invocation| invocation.outcome == Outcome::Answered), "{invocations:?}");
    assert_once_in_the_sink(&deployment).await;
    assert_eq!(deployment.api.stats().extra_fetches_ok, 0);
}
