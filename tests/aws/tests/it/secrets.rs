//! A secret of Secrets Manager: it reaches the API, and nothing else.

use damper_demo_api::Settings;
use damper_stand_ins::unique;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::deployment::{DeploymentOptions, TestDeployment};
use crate::function_log;

const SECRET: &str = "s3cr3t-0f-the-demo-4711";

/// All that the function has written, anywhere.
async fn everything(deployment: &TestDeployment) -> String {
    let mut all = String::new();
    let objects: Vec<_> = deployment.bucket.list(None).try_collect().await.unwrap();
    for object in objects {
        let bytes = deployment.bucket.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.push_str(&String::from_utf8_lossy(&bytes));
    }
    let table = deployment.clients.dynamodb().scan().table_name(deployment.table()).send().await.unwrap();
    all.push_str(&format!("{:?}", table.items()));
    all.push_str(&format!("{:?} {:?}", deployment.lines(), deployment.batch_answers()));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_api_and_nothing_that_is_written() {
    let name = unique("damper/demo-key");
    let api = Settings { require_key: Some(SECRET.to_owned()), ..Settings::default() };
    let settings =
        format!("config.use_key = \"true\"\ncredentials.key = {{ secret = {name:?}, hosts = [\"ORIGIN\"] }}");
    // Logs of everything, that of the libraries below included.
    let environment = vec![("DAMPER_LOG", "trace".to_owned())];
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api, settings, environment, ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let secrets = deployment.clients.secrets();
    secrets.create_secret().name(&name).secret_string(SECRET).send().await.unwrap();

    deployment.feed(["item-1", "unknown-1", "broken-1", "item-2"]).await;
    let source = deployment.create_mapping();
    deployment.wait_until_drained(&source).await;
    assert_eq!(deployment.stored_ids().await, ["item-1", "item-2"], "the key was sent:\n{}", deployment.transcript());
    assert_eq!(deployment.letters().await.len(), 2);
    let lines = deployment.lines();
    function_log::assert_well_formed(&lines);
    assert!(function_log::logs(&lines).iter().any(|line| line["level"] == "TRACE"), "the most is logged");
    let all = everything(&deployment).await;
    assert!(all.contains("item-1") && all.contains("unknown-1"), "there is something to look through");
    assert!(!all.contains(SECRET), "the secret was written");
}
