//! A secret of Secrets Manager: it reaches the API, and nothing else.

use damper_demo_api::Settings;
use damper_stand_ins::unique;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use damper_aws::secrets::{self, SecretError};
use serde_json::json;

use crate::deployed::Deployed;
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
    let role = "arn:aws:iam::000000000000:role/damper/of-{provider}".to_owned();
    let environment = vec![("DAMPER_LOG", "trace".to_owned()), ("DAMPER_SECRETS_ROLE", role)];
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

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_reads_its_secret_with_the_role_of_its_stack_and_no_other_does() {
    let (name, other) = (unique("damper/demo-key"), unique("damper/other-key"));
    let Some(deployed) = Deployed::with_secret(false, &name, SECRET).await else { return };
    deployed.without_tls();
    let fetched = deployed.invoke(&json!({ "provider": "demo", "id": "item-000" })).await;
    assert_eq!(fetched["outcome"], "fetched", "{fetched}\n{:#?}", deployed.lines());

    // The function's role reads no secret, and nobody else gets a session of the provider's role.
    let function = deployed.intruder(false);
    let refused = secrets::read(&function.clients.secrets(), &name, None).await.unwrap_err();
    assert!(matches!(refused, SecretError::Denied(_)), "{refused}");
    let session = function.clients.secrets_of_role(&deployed.secrets_role(), "intruder").await;
    let refused = secrets::read(&session, &name, None).await.unwrap_err();
    assert!(matches!(refused, SecretError::NoSession { .. }), "{refused}");
    assert!(refused.to_string().contains("Deploy the provider's stack"), "{refused}");

    // The provider's role reads the provider's secret alone, and writes none.
    let reader = deployed.secrets_reader();
    assert_eq!(secrets::read(&reader.clients.secrets(), &name, None).await.unwrap(), SECRET);
    deployed.clients.secrets().create_secret().name(&other).secret_string("other").send().await.unwrap();
    let refused = secrets::read(&reader.clients.secrets(), &other, None).await.unwrap_err();
    assert!(matches!(refused, SecretError::Denied(_)), "{refused}");
    let refused = secrets::write(&reader.clients.secrets(), &name, "new").await.unwrap_err();
    assert!(matches!(refused, SecretError::WriteDenied(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_an_isolated_provider_reads_its_secret_itself() {
    let name = unique("damper/demo-key");
    let Some(deployed) = Deployed::with_secret(true, &name, SECRET).await else { return };
    deployed.without_tls();
    let fetched = deployed.invoke(&json!({ "provider": "demo", "id": "item-000" })).await;
    assert_eq!(fetched["outcome"], "fetched", "{fetched}\n{:#?}", deployed.lines());
    let shared = deployed.intruder(false);
    let refused = secrets::read(&shared.clients.secrets(), &name, None).await.unwrap_err();
    assert!(matches!(refused, SecretError::Denied(_)), "{refused}");
}
