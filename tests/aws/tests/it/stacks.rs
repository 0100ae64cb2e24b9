//! The zip that `damper package` writes, run as `provided.al2023` in stacks of its templates. Every action is one that
//! the role of the templates allows: this ministack asks it.
//!
//! Partial failures are tested in `batches` and the other modules, because ministack's own mapping ignores them.

use std::cell::RefCell;

use damper_aws::Letters;
use damper_aws::dead_letters::{Detail, Filter};
use damper_core::day::Day;
use damper_core::item::{Identity, Params};
use damper_core::ledger::Ledger;
use serde_json::{Value, json};

use crate::deployed::Deployed;
use crate::function_log;

fn ids() -> Vec<String> {
    (0..300).map(|number| format!("item-{number:03}")).collect()
}

/// Which of these the ledger knows to be fetched on the day that a record names.
async fn count_done(deployed: &Deployed, record: &Value, ids: &[String]) -> usize {
    let day: Day = record["day"].as_str().unwrap().parse().unwrap();
    let identities: Vec<_> = ids.iter().map(|id| Identity::of(id, &Params::new(), &[]).unwrap()).collect();
    deployed.ledger.find_done("demo", day, &identities).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packaged_zip_does_its_work_in_stacks_of_its_templates() {
    let Some(deployed) = Deployed::new(false).await else { return };
    let ask = async |id: &str| deployed.invoke(&json!({ "provider": "demo", "id": id })).await;

    let refused = ask("item-000").await;
    assert_eq!(refused["outcome"], "refused", "the bucket takes nothing that is not encrypted: {refused}");
    deployed.without_tls();
    // An earlier try of the refused put may have landed, so the claim is kept until it runs out.
    let fetched = RefCell::new(refused);
    deployed
        .wait_until(async || {
            fetched.replace(ask("item-000").await);
            fetched.borrow()["outcome"] != "not-before"
        })
        .await;
    let fetched = fetched.into_inner();
    assert_eq!(
        (&fetched["outcome"], &fetched["record"]["body"]["id"]),
        (&json!("fetched"), &json!("item-000")),
        "{fetched}"
    );
    assert_eq!(deployed.stored_ids().await, ["item-000"]);
    assert_eq!(count_done(&deployed, &fetched["record"], &ids()).await, 1);
    assert_eq!(ask("item-000").await["outcome"], "fetched-before");
    let asked_first = deployed.api.stats().requests;

    // The stream, by the operator's own command, and the mapping of the provider's stack.
    let fed: Value =
        serde_json::from_str(&deployed.damper(&["feed", "demo", "-", "--aws", "--json"], &ids().join("\n"))).unwrap();
    assert_eq!(fed["accepted"], 300, "{fed}");
    deployed.wait_until(async || deployed.stored_ids().await.len() >= 300).await;
    deployed.wait_until(async || count_done(&deployed, &fetched["record"], &ids()).await == 300).await;
    assert_eq!(deployed.stored_ids().await, ids(), "each once");
    assert_eq!(deployed.api.stats().requests, asked_first + 299, "item-000 was there");

    // An item that cannot be fetched becomes a dead letter.
    deployed.damper(&["feed", "demo", "-", "--aws"], "unknown-1\n");
    let letters = Letters::new(deployed.bucket.clone());
    let list = async || letters.list(&Filter::default(), 10, Detail::Whole).await.unwrap();
    deployed.wait_until(async || !list().await.is_empty()).await;
    assert_eq!(&list().await[0].letter.payload[..], br#"{"id":"unknown-1"}"#);

    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    let ticked = deployed.invoke(&tick).await;
    assert_eq!((&ticked["providers"], &ticked["failed"]), (&json!(1), &json!(0)), "{ticked}");
    deployed.wait_until(async || function_log::sum(&deployed.lines(), "DeadLetters") == 1).await;
    let lines = deployed.lines();
    assert_eq!(function_log::sum(&lines, "Fetched"), 300);
    function_log::assert_well_formed(&lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_provider_has_a_function_and_a_role_of_its_own() {
    let Some(deployed) = Deployed::new(true).await else { return };
    deployed.without_tls();
    let fed = deployed.damper(&["feed", "demo", "-", "--aws", "--function", &deployed.function], &ids().join("\n"));
    assert!(fed.contains("300"), "{fed}");
    deployed.wait_until(async || deployed.stored_ids().await.len() >= 300).await;
    assert_eq!(deployed.stored_ids().await, ids());
    deployed.wait_until(async || function_log::sum(&deployed.lines(), "Fetched") == 300).await;
    let status = deployed.damper(&["status", "demo", "--aws", "--function", &deployed.function, "--json"], "");
    assert!(status.contains("\"enabled\""), "{status}");
}
