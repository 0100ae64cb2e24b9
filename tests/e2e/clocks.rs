//! Clocks that are set: back by an hour, forward while requests are in flight, a week ahead.

use std::time::Duration;

use damper_demo_api::{Latency, Settings};
use serde_json::json;

use crate::house::{House, ids, text, wait};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Enough that the work goes on after the steps.
const FED: usize = 1_500;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn usual_api() -> Settings {
    Settings { latency: Latency { median_ms: 20.0, ..Latency::default() }, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_by_an_hour_between_two_runs_stops_nothing() {
    let house = House::demo(usual_api(), "").shimmed();
    house.shim().step_forward(HOUR);
    house.feed(ids("before", 300));
    house.drain();
    house.shim().step_back(HOUR);
    house.feed(ids("after", 300));
    let second = house.start(&["run", "demo"]);
    let fetched = house.api.wait_for(Duration::from_secs(30), |stats| stats.ids_fetched_ok >= 600).await;
    if let Err(stats) = fetched {
        let mut second = second;
        second.kill().unwrap();
        panic!("nothing is fetched any more: {stats:?}");
    }
    let output = wait(second, &["run"]);
    assert!(output.status.success(), "{}", text(&output));
    house.assert_all_ended(600).await;
    assert_eq!(house.stored_once().len(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_forward_under_two_runs_passes_no_cap() {
    let latency = Latency { median_ms: 30.0, sigma: 0.2, max_ms: Some(200.0) };
    let settings = Settings { latency, keep_working: true, ..Settings::default() };
    let house = House::demo(settings, "").shimmed();
    house.feed(ids("account", FED));
    let runs = [house.start(&["run", "demo"]), house.start(&["run", "demo"])];
    // The limiter has found that the API bears the whole cap; then the API is slow.
    house.api_saw(|stats| stats.peak_in_flight >= 15 && stats.requests >= 300).await;
    house.api.control(&json!({ "latency": { "median_ms": 900.0, "max_ms": 1_600.0 } })).unwrap();
    for requests in [30, 60] {
        let before = house.api.stats().requests;
        house.api_saw(|stats| stats.requests >= before + requests).await;
        house.shim().step_forward(Duration::from_secs(40));
    }
    let before = house.api.stats().requests;
    house.api_saw(|stats| stats.requests >= before + 60).await;
    house.api.control(&json!({ "latency": { "median_ms": 30.0 } })).unwrap();
    for child in runs {
        // A claim's lease is shorter than a step: one process may have been taken for dead by the other, and goes on as another worker.
        let output = wait(child, &["run"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    house.assert_all_ended(FED as u64).await;
    let stats = house.api.stats();
    assert!(stats.peak_in_flight <= 16, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_week_ahead_opens_the_breaker_and_empties_nothing() {
    let house = House::demo(usual_api(), "").shimmed();
    house.feed(ids("account", 500));
    house.shim().step_forward(WEEK);
    let output = house.run(&["run", "demo"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(house.letters().await.is_empty(), "{} items were given up on", house.letters().await.len());
    // The clock is right again, and an operator has seen it.
    house.shim().step_back(WEEK);
    let resumed = house.run(&["resume", "demo"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    house.drain();
    house.assert_all_ended(500).await;
    assert_eq!(house.stored_once().len(), 500);
}
