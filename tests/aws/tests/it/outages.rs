//! An API that is down, or wants to be left alone: the breaker, the mapping and the tick. Long times are not waited for: another
//! process takes over whose clock is ahead.

use std::time::Duration;

use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_demo_api::{Latency, Settings};
use damper_event_source::{EventSource, Lags, State};
use jiff::SignedDuration;
use serde_json::json;

use crate::house::{House, PATIENCE, Wanted};
use crate::said;

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

/// A house whose API has failed in the middle of its items, so that the breaker has opened.
async fn in_an_outage() -> Option<(House, EventSource)> {
    let wanted = Wanted { api: usual_api(), timeout: Duration::from_secs(12), ..Wanted::default() };
    let house = House::new(wanted).await?;
    house.feed(ids()).await;
    let source = house.map();
    house.api_saw(|stats| stats.ids_fetched_ok >= 30).await;
    house.api.control(&json!({ "outage": { "mode": "error" } })).unwrap();
    house.logged("WARN", "the breaker opens").await;
    Some((house, source))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_opens_the_breaker_disables_the_mapping_and_ends_with_a_tick() {
    let Some((house, source)) = in_an_outage().await else { return };
    let is_open =
        async |house: &House| matches!(house.control().await.breaker, ProviderStop::Open { by: OpenedBy::Breaker, .. });
    house.until(is_open).await;
    assert_eq!(house.plane.calls().disable, 0, "an outage of seconds leaves the mapping alone");

    // A quarter of an hour later it is still down.
    house.restart(minutes(16));
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    assert_eq!(house.plane.calls().disable, 1);
    let during = house.api.stats().requests;

    // A tick tries again, with few: the API is still down.
    house.restart(minutes(27));
    let tick = house.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(1), &json!(0)), "{tick}\n{}", house.transcript());
    house.api_saw(|stats| stats.requests > during).await;
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let tried = house.api.stats().requests - during;
    assert!(tried <= 20, "an API that is down is only tried: {tried} requests");

    // It is back: the next tick finds out, and all is fetched.
    house.api.control(&json!({ "outage": null })).unwrap();
    house.restart(minutes(38));
    house.tick().await;
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
    assert!(house.letters().await.is_empty(), "an outage turns no good item into a dead letter");
    assert_eq!(house.control().await.breaker, ProviderStop::Closed);
    let calls = house.plane.calls();
    assert_eq!((calls.disable, calls.enable), (2, 2), "{calls:?}");
    let lines = house.lines();
    assert!(said::has(&lines, "INFO", "the breaker closes"));
    assert!(said::metrics(&lines).iter().any(|document| document["BreakerState"] == 2), "the dashboard shows it open");
    said::assert_well_formed(&lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_throttles_and_refuses_is_asked_until_the_mapping_is_disabled() {
    let Some((house, source)) = in_an_outage().await else { return };

    // Others use Lambda's 15 requests a second up, for longer than one invocation asks; then a change is under way.
    house.plane.throttle_next(THROTTLED);
    house.plane.refuse_next(1);
    house.restart(minutes(16));
    source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await.unwrap();
    let calls = house.plane.calls();
    assert_eq!((calls.throttled, calls.refused), (u64::from(THROTTLED), 1), "{calls:?}");
    assert_eq!(calls.disable, 2, "the one that was refused, and the one that holds: {calls:?}");
    let lines = house.lines();
    for why in ["it took more than 3s", "still changing"] {
        assert!(said::has(&lines, "WARN", why), "{why}\n{}", house.transcript());
    }

    // The API is back, and the tick that would resume it meets the same.
    house.api.control(&json!({ "outage": null })).unwrap();
    house.plane.refuse_next(1);
    house.restart(minutes(27));
    let tick = house.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(0), &json!(1)), "{tick}\n{}", house.transcript());
    house.restart(minutes(28));
    let tick = house.tick().await;
    assert_eq!((&tick["changed"], &tick["failed"]), (&json!(1), &json!(0)), "{tick}\n{}", house.transcript());
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
    assert!(house.letters().await.is_empty());
    // None was killed at its timeout, and each says from where on to go on.
    for answered in house.answered() {
        answered.from();
    }
    said::assert_well_formed(&house.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_retry_after_disables_the_mapping_and_strays_fetch_nothing() {
    let lags = Lags { disable: Duration::from_secs(2), stray: Duration::from_secs(60), ..Lags::default() };
    let wanted = Wanted { api: usual_api(), timeout: Duration::from_secs(10), lags, ..Wanted::default() };
    let Some(house) = House::new(wanted).await else { return };
    house.feed(ids()).await;
    // One request every 1,000 s, after a burst of thirty.
    house.api.control(&json!({ "rate_limit": { "per_second": 0.001, "burst": 30 } })).unwrap();
    let source = house.map();
    source.wait_for(PATIENCE, |view| view.state == State::Disabling).await.unwrap();
    let calls = house.plane.calls();
    assert_eq!((calls.disable, calls.enable), (1, 0), "{calls:?}");
    // What was sent before the answer came has ended; whatever is delivered from now on is gated.
    house.clock.advance(Duration::from_secs(3));
    let (requests, invocations) = (house.api.stats().requests, source.view().invocations);
    source.wait_for(PATIENCE, |view| view.invocations > invocations).await.unwrap();
    assert_eq!(source.view().state, State::Disabled, "a stray invocation");
    assert_eq!(house.api.stats().requests, requests, "which fetches nothing");
    house.clock.advance(Duration::from_secs(60));
    source.wait_for(PATIENCE, |view| !view.polls && view.in_flight == 0).await.unwrap();

    // The time has come.
    house.api.control(&json!({ "rate_limit": null })).unwrap();
    house.restart(minutes(25));
    let tick = house.tick().await;
    assert_eq!(tick["changed"], 1, "{tick}\n{}", house.transcript());
    house.drained(&source).await;
    assert_eq!(house.stored().await, ids());
    assert!(house.letters().await.is_empty());
    said::assert_well_formed(&house.lines());
}
