//! Orders and polls: a component that is not ready at first, over processes and with the ledger between them.

use damper_demo_api::Settings;

use crate::local_setup::LocalSetup;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every item is not ready once, in one run: nothing is lost, doubled or given up.
#[tokio::test]
async fn a_run_polls_its_orders_until_their_records_are_there() {
    let setup = LocalSetup::for_component("hostile", Settings::default(), "");
    let ids: Vec<String> = (0..20).map(|number| format!("order:{number:02}")).collect();
    setup.feed(&ids);
    let ended = setup.run(&["run", "hostile"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let said = text(&ended.stdout) + &text(&ended.stderr);
    assert!(said.contains("20 fetched") && said.contains("20 not ready") && said.contains("0 retried"), "{said}");
    assert!(setup.stored_ids_once().iter().eq(&ids));
    setup.assert_all_ended(20).await;
}

/// Also where an earlier fetch placed the order. The record is stored, and a run does not fetch it again.
#[tokio::test]
async fn a_single_fetch_waits_for_its_record_and_stores_it() {
    let setup = LocalSetup::for_component("hostile", Settings::default(), "");
    let at_once = setup.run(&["fetch", "hostile", "order:7"]);
    assert!(!at_once.status.success());
    assert!(text(&at_once.stderr).contains("--wait"), "{}", text(&at_once.stderr));

    let waited = setup.run(&["fetch", "hostile", "order:7", "--wait"]);
    assert!(waited.status.success(), "{}", text(&waited.stderr));
    assert_eq!(text(&waited.stdout), "order:7\n", "the component's record is its resume state");
    assert!(text(&waited.stderr).contains("the API has taken the order"), "{}", text(&waited.stderr));
    assert_eq!(setup.stored_ids(), ["order:7"]);

    let again = setup.run(&["fetch", "hostile", "order:7", "--wait", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["outcome"], "fetched-before");
    setup.feed(["order:7"]);
    assert!(setup.run(&["run", "hostile"]).status.success());
    assert_eq!(setup.stored_ids(), ["order:7"]);
}
