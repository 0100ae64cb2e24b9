//! Clocks that are set: back by an hour, forward while requests are in flight, a week ahead.

use std::time::Duration;

use damper_demo_api::{Latency, Settings};
use serde_json::json;

use crate::local_setup::{LocalSetup, ids, text, wait};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Enough that the work goes on after the steps.
const FED: usize = 1_500;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn usual_api() -> Settings {
    Settings { latency: Latency { median_ms: 20.0, ..Latency::default() }, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_by_an_hour_between_two_runs_stops_nothing() {
    let setup = LocalSetup::demo(usual_api(), "").with_shim();
    setup.shim().step_forward(HOUR);
    setup.feed(ids("before", 300));
    setup.drain();
    setup.shim().step_back(HOUR);
    setup.feed(ids("after", 300));
    let second = setup.start(&["run", "demo"]);
    let fetched = setup.api.wait_for(Duration::from_secs(30), |stats| stats.ids_fetched_ok >= 600).await;
    if let Err(stats) = fetched {
        let mut second = second;
        second.kill().unwrap();
        panic!("nothing is fetched any more: {stats:?}");
    }
    let output = wait(second, &["run"]);
    assert!(output.status.success(), "{}", text(&output));
    setup.assert_all_ended(600).await;
    assert_eq!(setup.stored_ids_once().len(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_put_forward_under_two_runs_passes_no_cap() {
    let latency = Latency { median_ms: 30.0, sigma: 0.2, max_ms: Some(200.0) };
    let settings = Settings { latency, keep_working: true, ..Settings::default() };
    let setup = LocalSetup::demo(settings, "").with_shim();
    setup.feed(ids("account", FED));
    let runs = [setup.start(&["run", "demo"]), setup.start(&["run", "demo"])];
    // The limiter has found that the API bears the whole cap; then the API is slow.
    setup.wait_for_api(|stats| stats.peak_in_flight >= 15 && stats.requests >= 300).await;
    setup.api.control(&json!({ "latency": { "median_ms": 900.0, "max_ms": 1_600.0 } })).unwrap();
    for requests in [30, 60] {
        let before = setup.api.stats().requests;
        setup.wait_for_api(|stats| stats.requests >= before + requests).await;
        setup.shim().step_forward(Duration::from_secs(40));
    }
    let before = setup.api.stats().requests;
    setup.wait_for_api(|stats| stats.requests >= before + 60).await;
    setup.api.control(&json!({ "latency": { "median_ms": 30.0 } })).unwrap();
    for child in runs {
        // A claim's lease is shorter than a step: one process may have been taken for dead by the other, and goes on as
        // another worker.
        let output = wait(child, &["run"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    setup.assert_all_ended(FED as u64).await;
    let stats = setup.api.stats();
    assert!(stats.peak_in_flight <= 16, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_week_ahead_opens_the_breaker_and_empties_nothing() {
    let setup = LocalSetup::demo(usual_api(), "").with_shim();
    setup.feed(ids("account", 500));
    setup.shim().step_forward(WEEK);
    let output = setup.run(&["run", "demo"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(setup.letters().await.is_empty(), "{} items were given up on", setup.letters().await.len());
    // The clock is right again, and an operator has seen it.
    setup.shim().step_back(WEEK);
    let resumed = setup.run(&["resume", "demo"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    setup.drain();
    setup.assert_all_ended(500).await;
    assert_eq!(setup.stored_ids_once().len(), 500);
}
