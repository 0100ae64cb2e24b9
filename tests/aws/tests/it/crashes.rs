//! Invocations that end in the middle: killed, timed out, or too short for their batch.

use std::process::Command;
use std::time::Duration;

use damper_demo_api::{Latency, Settings};
use damper_event_source::Outcome;
use jiff::SignedDuration;
use serde_json::json;

use crate::house::{House, PATIENCE, Wanted};
use crate::said;

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
async fn assert_once_in_the_sink(house: &House) {
    assert_eq!(house.stored().await, ids());
    assert!(house.letters().await.is_empty());
    let stats = house.api.stats();
    assert!(stats.peak_in_flight <= 16, "{stats:?}");
    said::assert_well_formed(&house.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_invocation_loses_and_doubles_nothing() {
    let Some(house) = House::new(Wanted { api: slow_api(), ..Wanted::default() }).await else { return };
    house.feed(ids()).await;
    let source = house.map();
    house.api_saw(|stats| stats.requests >= 40).await;
    let killed = house.function();
    // Whoever comes next comes after the leases of the dead one.
    house.restart(AFTER_THE_LEASE);
    killed.kill_running();
    house.drained(&source).await;
    let ends = killed.invocations();
    assert!(matches!(ends.last().unwrap().outcome, Outcome::Exited(_)), "{ends:?}");
    assert_once_in_the_sink(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_invocation_had_stored_is_recovered_without_a_fetch() {
    let Some(house) = House::new(Wanted { api: slow_api(), ..Wanted::default() }).await else { return };
    house.feed(ids()).await;
    let source = house.map();
    // A chunk is five seconds old when it is stored; the kill comes with the first one.
    house.until(async |house| !house.sink().await.is_empty()).await;
    let killed = house.function();
    house.restart(AFTER_THE_LEASE);
    killed.kill_running();
    let before = house.stored().await;
    house.drained(&source).await;
    assert_once_in_the_sink(&house).await;
    let log = house.api.log();
    for id in before {
        assert_eq!(log.iter().filter(|line| line.id == id).count(), 1, "{id} was in the sink and fetched again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_hangs_is_timed_out_and_its_batch_delivered_again() {
    let wanted = Wanted { api: slow_api(), timeout: Duration::from_secs(12), ..Wanted::default() };
    let Some(house) = House::new(wanted).await else { return };
    // What tells the process's number.
    house.invoke(&json!({ "provider": "demo", "id": "first" })).await.unwrap();
    let hung = house.function();
    let process = hung.invocations()[0].process;
    house.feed(ids()).await;
    let source = house.map();
    house.api_saw(|stats| stats.requests >= 20).await;
    house.restart(AFTER_THE_LEASE);
    assert!(Command::new("kill").args(["-STOP", &process.to_string()]).status().unwrap().success());
    source.wait_for(PATIENCE, |view| view.function_errors >= 1).await.unwrap();
    assert_eq!(hung.invocations().last().unwrap().outcome, Outcome::TimedOut);
    house.drained(&source).await;
    let stored = house.stored().await;
    assert_eq!((stored.len(), &stored[0][..]), (ITEMS + 1, "first"));
    assert_eq!(stored[1..], ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_too_large_for_an_invocation_is_left_in_time_and_gone_on_with() {
    let api = Settings { latency: Latency { median_ms: 400.0, sigma: 0.0, max_ms: None }, ..Settings::default() };
    let settings = "limits.max_concurrency = 6".to_owned();
    let timeout = Duration::from_secs(12);
    let Some(house) = House::new(Wanted { api, settings, timeout, batch_size: 500, ..Wanted::default() }).await else {
        return;
    };
    house.feed(ids()).await;
    let source = house.map();
    house.drained(&source).await;
    let answered = house.answered();
    assert!(answered.len() >= 2 && answered[0].from().is_some(), "the first one had to leave some: {answered:?}");
    assert_eq!(answered.last().unwrap().from(), None);
    let invocations = house.function().invocations();
    assert!(invocations.iter().all(|invocation| invocation.outcome == Outcome::Answered), "{invocations:?}");
    assert_once_in_the_sink(&house).await;
    assert_eq!(house.api.stats().extra_fetches_ok, 0);
}
