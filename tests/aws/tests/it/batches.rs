//! Batches of a stream, in quiet times: each item ends once, and nothing is asked that need not be.

use std::collections::BTreeMap;

use bytes::Bytes;
use damper_core::dead_letter::Reason;
use damper_demo_api::{Latency, Settings};
use serde_json::json;

use crate::deployment::{DeploymentOptions, TestDeployment};
use crate::function_log;

/// A good API on another continent.
fn usual_api() -> Settings {
    Settings { latency: Latency { median_ms: 10.0, sigma: 0.3, max_ms: Some(200.0) }, ..Settings::default() }
}

/// Items of one stream: `count` good ones, every tenth of them fed twice, and what can be wrong with one.
fn entries(count: usize) -> Vec<Bytes> {
    let item = |id: &str| Bytes::from(json!({ "id": id }).to_string());
    let mut entries: Vec<_> = (0..count).map(|number| item(&format!("item-{number:05}"))).collect();
    let again: Vec<_> = entries.iter().step_by(10).cloned().collect();
    entries.extend(again);
    entries.insert(count / 4, Bytes::from_static(b"{\"id\": \xff"));
    entries.insert(count / 3, item("poison-1"));
    entries.insert(count / 2, item("unknown-1"));
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_ends_once_with_duplicates_an_unparsable_entry_and_a_poison_record() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: usual_api(), batch_size: 1_000, ..DeploymentOptions::default() })
            .await
    else {
        return;
    };
    const GOOD: usize = 5_000;
    deployment.feed_raw(entries(GOOD)).await;
    let source = deployment.create_mapping();
    let view = deployment.wait_until_drained(&source).await;
    assert!(view.discarded.is_empty() && view.troubles.is_empty(), "{view:?}");

    // The sink has each good item once, and the API was asked once for each.
    let expected: Vec<_> = (0..GOOD).map(|number| format!("item-{number:05}")).collect();
    assert_eq!(deployment.stored_ids().await, expected);
    let stats = deployment.api.stats();
    assert_eq!((stats.ids_fetched_ok, stats.extra_fetches_ok), (GOOD as u64, 0), "{stats:?}");
    assert!(stats.peak_in_flight <= 16, "{stats:?}");

    // Each item that cannot be fetched is kept whole, once.
    let letters = deployment.letters().await;
    let died: BTreeMap<_, _> =
        letters.iter().map(|stored| (&stored.letter.payload[..], stored.letter.reason)).collect();
    let expected = [
        (&b"{\"id\": \xff"[..], Reason::Unreadable),
        (&br#"{"id":"poison-1"}"#[..], Reason::AttemptsSpent),
        (&br#"{"id":"unknown-1"}"#[..], Reason::NotFound),
    ];
    assert_eq!((letters.len(), died), (3, BTreeMap::from(expected)));

    // Every answer says from where on; and the last one that all is done.
    let answered = deployment.batch_answers();
    assert_eq!(answered.last().unwrap().first_unfinished(), None);
    for answered in &answered {
        answered.first_unfinished();
    }
    let lines = deployment.lines();
    function_log::assert_well_formed(&lines);
    assert_eq!(function_log::sum(&lines, "Fetched"), GOOD as u64);
    assert_eq!(function_log::sum(&lines, "DeadLetters"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_quiet_times_the_control_plane_is_asked_at_most_for_one_batch_size() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: usual_api(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let source = deployment.create_mapping();
    let round = |round: usize| (0..100).map(move |number| format!("item-{round}-{number}"));
    deployment.feed(round(0)).await;
    deployment.wait_until_drained(&source).await;
    let first = deployment.plane.calls();
    assert!(first.list <= 1 && first.resize <= 1, "{first:?}");

    for number in 1..=4 {
        deployment.feed(round(number)).await;
        deployment.wait_until_drained(&source).await;
    }
    let calls = deployment.plane.calls();
    assert_eq!((calls.enable, calls.disable, calls.refused, calls.throttled), (0, 0, 0, 0), "{calls:?}");
    assert!(calls.resize <= 1, "one change of the batch size in two minutes: {calls:?}");
    // The process that changed it looks once whether the change has come.
    assert!(calls.list + calls.get <= 2, "{calls:?}");
    assert_eq!(deployment.stored_ids().await.len(), 500);
    assert_eq!(deployment.function().cold_starts(), 1, "one process served all");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_share_the_hard_cap() {
    let api = Settings { latency: Latency { median_ms: 60.0, sigma: 0.2, max_ms: None }, ..Settings::default() };
    let settings = "limits.max_concurrency = 4".to_owned();
    let Some(deployment) = TestDeployment::new(DeploymentOptions {
        api,
        settings,
        shards: 2,
        batch_size: 60,
        ..DeploymentOptions::default()
    })
    .await
    else {
        return;
    };
    let mut ids: Vec<_> = (0..240).map(|number| format!("item-{number:03}")).collect();
    deployment.feed(&ids).await;
    let source = deployment.create_mapping();
    let view = deployment.wait_until_drained(&source).await;
    assert_eq!(view.checkpoints.len(), 2, "both shards had items: {view:?}");
    ids.sort();
    assert_eq!(deployment.stored_ids().await, ids);
    let stats = deployment.api.stats();
    assert_eq!(stats.extra_fetches_ok, 0, "{stats:?}");
    assert!(stats.peak_in_flight <= 4, "never more than max_concurrency, over both processes: {stats:?}");
    assert!(deployment.function().cold_starts() >= 2, "the shards were worked on side by side");
    function_log::assert_well_formed(&deployment.lines());
}
