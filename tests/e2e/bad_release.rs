//! A moved path, an expired key, a component that traps: the breaker opens, nothing is given up on, and it goes on after the mend.

use damper_demo_api::Settings;
use serde_json::json;

use crate::house::{House, ids, text};

/// Run into the breaker: exit code 3, the reason told, at most twenty items touched, no dead letters.
async fn run_into_breaker(house: &House, provider: &str, reason: &str) {
    let output = house.run(&["run", provider]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains(reason), "{said}");
    assert!(said.contains(&format!("damper resume {provider}")), "{said}");
    assert!(house.api.stats().requests <= 20, "{:?}", house.api.stats());
    assert!(house.letters().await.is_empty());
    assert_eq!(house.counts().await.pending, house.counts().await.fed);
    // It stays closed until somebody says otherwise.
    let before = house.api.stats().requests;
    assert_eq!(house.run(&["run", provider]).status.code(), Some(3));
    assert_eq!(house.api.stats().requests, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_path_empties_nothing() {
    let house = House::demo(Settings { moved: true, ..Settings::default() }, "");
    house.feed(ids("account", 800));
    run_into_breaker(&house, "demo", "dead letters").await;
    house.api.control(&json!({ "moved": false })).unwrap();
    let resumed = house.run(&["resume", "demo"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    house.drain();
    house.assert_all_ended(800).await;
    assert_eq!(house.stored_once().len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_empties_nothing() {
    let house = House::demo(Settings { require_key: Some("new".into()), ..Settings::default() }, "");
    house.feed(ids("account", 800));
    run_into_breaker(&house, "demo", "refuses our credential").await;
    house.api.control(&json!({ "require_key": null })).unwrap();
    assert!(house.run(&["resume", "demo"]).status.success());
    house.drain();
    house.assert_all_ended(800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_traps_on_every_item_empties_nothing() {
    let house = House::of("hostile", Settings::default(), "");
    house.feed((0..100).map(|number| format!("trap:{number}")));
    run_into_breaker(&house, "hostile", "traps").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_say_that_the_dead_letters_are_right() {
    let house = House::demo(Settings::default(), "");
    house.feed(ids("unknown", 60));
    run_into_breaker(&house, "demo", "dead letters").await;
    assert!(house.run(&["resume", "demo", "--allow-dead-letters", "60"]).status.success());
    house.drain();
    assert_eq!(house.letters().await.len(), 60);
    house.assert_all_ended(60).await;
    let redriven = house.run(&["dead-letters", "redrive", "--provider", "demo"]);
    assert!(redriven.status.success(), "{}", text(&redriven));
    assert_eq!(house.counts().await.pending, 60);
}
