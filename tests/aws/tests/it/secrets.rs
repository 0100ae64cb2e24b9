//! A secret of Secrets Manager: it reaches the API, and nothing else.

use damper_demo_api::Settings;
use damper_stand_ins::unique;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::house::{House, Wanted};
use crate::said;

const SECRET: &str = "s3cr3t-0f-the-demo-4711";

/// All that the function has written, anywhere.
async fn everything(house: &House) -> String {
    let mut all = String::new();
    let objects: Vec<_> = house.bucket.list(None).try_collect().await.unwrap();
    for object in objects {
        let bytes = house.bucket.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.push_str(&String::from_utf8_lossy(&bytes));
    }
    let table = house.clients.dynamodb().scan().table_name(house.table()).send().await.unwrap();
    all.push_str(&format!("{:?}", table.items()));
    all.push_str(&format!("{:?} {:?}", house.lines(), house.answered()));
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
    let Some(house) = House::new(Wanted { api, settings, environment, ..Wanted::default() }).await else { return };
    let secrets = house.clients.secrets();
    secrets.create_secret().name(&name).secret_string(SECRET).send().await.unwrap();

    house.feed(["item-1", "unknown-1", "broken-1", "item-2"]).await;
    let source = house.map();
    house.drained(&source).await;
    assert_eq!(house.stored().await, ["item-1", "item-2"], "the key was sent:\n{}", house.transcript());
    assert_eq!(house.letters().await.len(), 2);
    let lines = house.lines();
    said::assert_well_formed(&lines);
    assert!(said::logs(&lines).iter().any(|line| line["level"] == "TRACE"), "the most is logged");
    let all = everything(&house).await;
    assert!(all.contains("item-1") && all.contains("unknown-1"), "there is something to look through");
    assert!(!all.contains(SECRET), "the secret was written");
}
