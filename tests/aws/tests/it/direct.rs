//! Direct invocations: one record, now.

use damper_demo_api::Settings;
use serde_json::json;

use crate::deployment::{DeploymentOptions, TestDeployment};
use crate::function_log;

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
