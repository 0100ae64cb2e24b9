//! Two `damper run` on one database: one cap, one fetch for each item.

use damper_demo_api::{Latency, Settings};

use crate::local_setup::{LocalSetup, ids, text, wait};

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_and_a_kill_beside_them_never_pass_the_cap() {
    let latency = Latency { median_ms: 40.0, sigma: 0.4, max_ms: Some(400.0) };
    let settings = Settings { latency, keep_working: true, ..Settings::default() };
    let setup = LocalSetup::demo(settings, "max_concurrency = 8\nfetch_timeout = \"1s\"");
    setup.feed(ids("account", 3_000));
    let mut first = setup.start(&["run", "demo"]);
    let second = setup.start(&["run", "demo"]);
    setup.wait_for_api(|stats| stats.requests >= 300).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let third = setup.start(&["run", "demo"]);
    for child in [second, third] {
        let output = wait(child, &["run"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    setup.assert_all_ended(3_000).await;
    assert!(setup.api.stats().peak_in_flight <= 8, "{:?}", setup.api.stats());
    let again = setup.api.stats().extra_fetches_ok;
    // The items that the killed run had in flight, or fetched but not yet flushed: a chunk at the most.
    assert!(again <= 500 + 8, "{again} fetched twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_side_by_side_double_nothing() {
    let latency = Latency { median_ms: 10.0, ..Latency::default() };
    let setup = LocalSetup::demo(Settings { latency, ..Settings::default() }, "max_concurrency = 8");
    setup.feed(ids("account", 2_000));
    let runs = [setup.start(&["run", "demo"]), setup.start(&["run", "demo"])];
    for child in runs {
        let output = wait(child, &["run"]);
        assert!(output.status.success(), "{}", text(&output));
    }
    setup.assert_all_ended(2_000).await;
    assert_eq!(setup.api.stats().ids_fetched_more_than_once_ok, 0);
    assert!(setup.api.stats().peak_in_flight <= 8);
}
