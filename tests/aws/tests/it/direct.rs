//! Direct invocations: one record, now.

use damper_demo_api::Settings;
use object_store::ObjectStore;
use serde_json::json;

use crate::deployment::{DeploymentOptions, TestDeployment};
use crate::function_log;
use crate::package::{add_vendor, demo_code};

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_invocation_answers_with_the_record_or_why_there_is_none() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: Settings::default(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let ask = async |id: &str| deployment.invoke(&json!({ "provider": "demo", "id": id })).await.unwrap();

    let fetched = ask("item-1").await;
    assert_eq!(
        (&fetched["outcome"], &fetched["record"]["body"]["id"]),
        (&json!("fetched"), &json!("item-1")),
        "{fetched}\n{}",
        deployment.transcript()
    );
    assert_eq!(deployment.sink().await, [fetched["record"].clone()], "the answer is the sink's line");
    assert_eq!(ask("item-1").await["outcome"], "fetched-before");
    assert_eq!(deployment.api.stats().requests, 1, "once a day, whoever asks");

    // The stream's entry of the same item finds it fetched.
    deployment.feed(["item-1", "item-2"]).await;
    let source = deployment.create_mapping();
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ["item-1", "item-2"]);
    assert_eq!(deployment.api.stats().requests, 2);

    let missing = ask("unknown-1").await;
    assert_eq!((&missing["outcome"], &missing["failure"]["status"]), (&json!("failed"), &json!(404)), "{missing}");
    let nobody = deployment.invoke(&json!({ "provider": "nobody", "id": "x" })).await.unwrap_err();
    assert!(nobody.contains("nobody is not in this package"), "{nobody}");
    let nothing = deployment.invoke(&json!({ "hello": "world" })).await.unwrap_err();
    assert!(nothing.contains("\"provider\": \"...\""), "{nothing}");
    function_log::assert_well_formed(&deployment.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_of_one_component_have_settings_and_records_of_their_own() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: Settings::default(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let origin = deployment.api.url();
    for vendor in ["acme", "northern"] {
        let settings = format!("hosts = []\nprivate = [{origin:?}]\nconfig.base_url = \"{origin}/\"\n");
        add_vendor(deployment.package.path(), vendor, &settings);
    }
    assert!(demo_code(deployment.package.path()).is_file());
    assert_eq!(deployment.package.path().join("components").read_dir().unwrap().count(), 1, "one code for all");
    for vendor in ["acme", "northern"] {
        let event = json!({ "provider": vendor, "id": "item-1" });
        let fetched = deployment.invoke(&event).await.unwrap();
        assert_eq!(fetched["outcome"], "fetched", "{fetched}\n{}", deployment.transcript());
        let record = &fetched["record"];
        assert_eq!((&record["provider"], &record["component_name"]), (&json!(vendor), &json!("demo")), "{record}");
        assert_eq!(deployment.invoke(&event).await.unwrap()["outcome"], "fetched-before");
    }
    assert_eq!(deployment.api.stats().requests, 2, "the same id, once for each provider");
    let stored = deployment.bucket.list_with_delimiter(None).await.unwrap().common_prefixes;
    assert_eq!(stored.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["acme", "northern"]);
}
