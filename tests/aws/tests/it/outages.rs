//! An API that is down, or asks for a long pause: the breaker, the mapping and the tick. The tests do not wait for long
//! times; they start another process whose clock is ahead.

use std::time::Duration;

use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_demo_api::{Latency, Settings};
use damper_event_source::{EventSource, Lags, State};
use jiff::SignedDuration;
use serde_json::json;

use crate::deployment::{DeploymentOptions, PATIENCE, TestDeployment};
use crate::function_log;

const ITEMS: usize = 200;
/// More requests than one invocation has time to send to a control plane that throttles.
const THROTTLED: u32 = 20;

fn ids() -> Vec<String> {
    (0..ITEMS).map(|number| format!("item-{number:03}")).collect()
}

fn usual_api() -> Settings {
    Settings { latency: Latency { median_ms: 40.0, sigma: 0.2, max_ms: None }, ..Settings::default() }
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// A deployment whose API has failed in the middle of its items, so that the breaker has opened.
async fn in_an_outage() -> Option<(TestDeployment, EventSource)> {
    let wanted =
        DeploymentOptions { api: usual_api(), timeout: Duration::from_secs(12), ..DeploymentOptions::default() };
    let deployment = TestDeployment::new(wanted).await?;
    deployment.feed(ids()).await;
    let source = deployment.create_mapping();
    deployment.wait_for_api(|stats| stats.ids_fetched_ok >= 30).await;
    deployment.api.control(&json!({ "outage": { "mode": "error" } })).unwrap();
    deployment.wait_for_log("WARN", "the breaker opens").await;
    Some((deployment, source))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_opens_the_breaker_disables_the_mapping_and_ends_with_a_tick() {
    let Some((deployment, source)) = in_an_outage().await else { return };
    let is_open = async |deployment: &TestDeployment| {
        matches!(deployment.control().await.breaker, ProviderStop::Open { by: OpenedBy::Breaker, .. })
    };
    deployment.wait_until(is_open).await;
    assert_eq!(deployment.plane.calls().disable, 0, "an outage of seconds leaves the mapping alone");

    // A quarter of an hour later it is still down.
    deployment.restart(minutes(16));
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    assert_eq!(deployment.plane.calls().disable, 1);
    let during = deployment.api.stats().requests;

    // A tick tries again, with few: the API is still down.
    deployment.restart(minutes(27));
    let tick = deployment.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(1), &json!(0)), "{tick}\n{}", deployment.transcript());
    deployment.wait_for_api(|stats| stats.requests > during).await;
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let tried = deployment.api.stats().requests - during;
    assert!(tried <= 20, "an API that is down is only tried: {tried} requests");

    // It is back: the next tick finds out, and all is fetched.
    deployment.api.control(&json!({ "outage": null })).unwrap();
    deployment.restart(minutes(38));
    deployment.tick().await;
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
    assert!(deployment.letters().await.is_empty(), "an outage turns no good item into a dead letter");
    assert_eq!(deployment.control().await.breaker, ProviderStop::Closed);
    let calls = deployment.plane.calls();
    assert_eq!((calls.disable, calls.enable), (2, 2), "{calls:?}");
    let lines = deployment.lines();
    assert!(function_log::has(&lines, "INFO", "the breaker closes"));
    assert!(
        function_log::metrics(&lines).iter().any(|document| document["BreakerState"] == 2),
        "the dashboard shows it open"
    );
    function_log::assert_well_formed(&lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_throttles_and_refuses_is_asked_until_the_mapping_is_disabled() {
    let Some((deployment, source)) = in_an_outage().await else { return };

    // Others use Lambda's 15 requests a second up, for longer than one invocation asks; then a change is under way.
    deployment.plane.throttle_next(THROTTLED);
    deployment.plane.refuse_next(1);
    deployment.restart(minutes(16));
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let calls = deployment.plane.calls();
    assert_eq!((calls.throttled, calls.refused), (u64::from(THROTTLED), 1), "{calls:?}");
    assert_eq!(calls.disable, 2, "the one that was refused, and the one that holds: {calls:?}");
    let lines = deployment.lines();
    for why in ["it did not answer within 3s", "still changing"] {
        assert!(function_log::has(&lines, "WARN", why), "{why}\n{}", deployment.transcript());
    }

    // The API is back, and the tick that would resume it meets the same.
    deployment.api.control(&json!({ "outage": null })).unwrap();
    deployment.plane.refuse_next(1);
    deployment.restart(minutes(27));
    let tick = deployment.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(0), &json!(1)), "{tick}\n{}", deployment.transcript());
    deployment.restart(minutes(28));
    let tick = deployment.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(1), &json!(0)), "{tick}\n{}", deployment.transcript());
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
    assert!(deployment.letters().await.is_empty());
    // None was killed at its timeout, and each says from where on to go on.
    for answered in deployment.batch_answers() {
        answered.first_unfinished();
    }
    function_log::assert_well_formed(&deployment.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_retry_after_disables_the_mapping_and_strays_fetch_nothing() {
    let lags = Lags { disable: Duration::from_secs(2), stray: Duration::from_secs(60), ..Lags::default() };
    let wanted =
        DeploymentOptions { api: usual_api(), timeout: Duration::from_secs(10), lags, ..DeploymentOptions::default() };
    let Some(deployment) = TestDeployment::new(wanted).await else { return };
    deployment.feed(ids()).await;
    // One request every 1,000 s, after a burst of thirty.
    deployment.api.control(&json!({ "rate_limit": { "per_second": 0.001, "burst": 30 } })).unwrap();
    let source = deployment.create_mapping();
    source.wait_for(PATIENCE, |view| view.state == State::Disabling).await.unwrap();
    let calls = deployment.plane.calls();
    assert_eq!((calls.disable, calls.enable), (1, 0), "{calls:?}");
    // Requests that were sent before the answer came have ended; every later delivery is gated.
    deployment.clock.advance(Duration::from_secs(3));
    let (requests, invocations) = (deployment.api.stats().requests, source.view().invocations);
    source.wait_for(PATIENCE, |view| view.invocations > invocations).await.unwrap();
    assert_eq!(source.view().state, State::Disabled, "a stray invocation");
    assert_eq!(deployment.api.stats().requests, requests, "which fetches nothing");
    deployment.clock.advance(Duration::from_secs(60));
    source.wait_for(PATIENCE, |view| !view.polls && view.in_flight == 0).await.unwrap();

    // The time has come.
    deployment.api.control(&json!({ "rate_limit": null })).unwrap();
    deployment.restart(minutes(25));
    let tick = deployment.tick().await;
    assert_eq!(tick["changed"], 1, "{tick}\n{}", deployment.transcript());
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ids());
    assert!(deployment.letters().await.is_empty());
    function_log::assert_well_formed(&deployment.lines());
}
