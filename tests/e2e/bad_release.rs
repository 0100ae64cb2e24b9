//! A moved path, an expired key, a component that traps: the breaker opens, nothing is given up on, and it goes on
//! after the mend.

use damper_demo_api::Settings;
use serde_json::json;

use crate::local_setup::{LocalSetup, ids, text};

/// Run into the breaker: exit code 3, the reason told, at most twenty items touched, no dead letters.
async fn run_into_breaker(setup: &LocalSetup, provider: &str, reason: &str) {
    let output = setup.run(&["run", provider]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains(reason), "{said}");
    assert!(said.contains(&format!("damper resume {provider}")), "{said}");
    assert!(setup.api.stats().requests <= 20, "{:?}", setup.api.stats());
    assert!(setup.letters().await.is_empty());
    assert_eq!(setup.counts().await.pending, setup.counts().await.fed);
    // It stays closed until somebody says otherwise.
    let before = setup.api.stats().requests;
    assert_eq!(setup.run(&["run", provider]).status.code(), Some(3));
    assert_eq!(setup.api.stats().requests, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_path_empties_nothing() {
    let setup = LocalSetup::demo(Settings { moved: true, ..Settings::default() }, "");
    setup.feed(ids("account", 800));
    run_into_breaker(&setup, "demo", "dead letters").await;
    setup.api.control(&json!({ "moved": false })).unwrap();
    let resumed = setup.run(&["resume", "demo"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    setup.drain();
    setup.assert_all_ended(800).await;
    assert_eq!(setup.stored_ids_once().len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_empties_nothing() {
    let setup = LocalSetup::demo(Settings { require_key: Some("new".into()), ..Settings::default() }, "");
    setup.feed(ids("account", 800));
    run_into_breaker(&setup, "demo", "refuses the credential").await;
    setup.api.control(&json!({ "require_key": null })).unwrap();
    assert!(setup.run(&["resume", "demo"]).status.success());
    setup.drain();
    setup.assert_all_ended(800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_traps_on_every_item_empties_nothing() {
    let setup = LocalSetup::for_component("hostile", Settings::default(), "");
    setup.feed((0..100).map(|number| format!("trap:{number}")));
    run_into_breaker(&setup, "hostile", "traps").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_say_that_the_dead_letters_are_right() {
    let setup = LocalSetup::demo(Settings::default(), "");
    setup.feed(ids("unknown", 60));
    run_into_breaker(&setup, "demo", "dead letters").await;
    assert!(setup.run(&["resume", "demo", "--allow-dead-letters", "60"]).status.success());
    setup.drain();
    assert_eq!(setup.letters().await.len(), 60);
    setup.assert_all_ended(60).await;
    let redriven = setup.run(&["dead-letters", "redrive", "--provider", "demo"]);
    assert!(redriven.status.success(), "{}", text(&redriven));
    assert_eq!(setup.counts().await.pending, 60);
}
