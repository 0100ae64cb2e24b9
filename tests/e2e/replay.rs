//! Failure bundles: a dead letter is replayed from its stored exchanges, without the API.

use damper_demo_api::Settings;
use serde_json::Value;

use crate::local_setup::{LocalSetup, text};

#[tokio::test]
async fn a_dead_letter_is_replayed_from_what_was_kept() {
    let setup = LocalSetup::demo(Settings::default(), "");
    setup.feed(["unknown-1", "record-1"]);
    setup.drain();
    let letters = setup.letters().await;
    let letter = &letters[0];
    let bundle = letter.letter.bundle.as_ref().unwrap();
    assert_eq!(bundle.exchanges.len(), 1, "{bundle:?}");
    let asked = setup.api.stats().requests;

    let replayed = setup.run(&["replay", &letter.id.to_string()]);
    assert!(text(&replayed).contains("the same failure: not found"), "{}", text(&replayed));
    let shown = setup.run(&["dead-letters", "show", &letter.id.to_string(), "--json"]);
    std::fs::write(setup.path().join("letter.json"), &shown.stdout).unwrap();
    let replayed = setup.run(&["replay", "letter.json", "--json"]);
    let told: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&told["is_same_failure"], &told["is_same_component"]), (&true.into(), &true.into()), "{told}");
    assert_eq!((&told["failure"]["kind"], replayed.status.code()), (&"not-found".into(), Some(4)));
    assert_eq!(setup.api.stats().requests, asked, "a replay asks nobody");

    let live = setup.run(&["replay", "letter.json", "--live"]);
    assert_eq!(live.status.code(), Some(4), "{}", text(&live));
    assert_eq!(setup.api.stats().requests, asked + 1);
}
