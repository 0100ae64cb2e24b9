//! Direct invocations: one record, now.

use damper_demo_api::Settings;
use serde_json::json;

use crate::house::{House, Wanted};
use crate::said;

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_invocation_answers_with_the_record_or_why_there_is_none() {
    let Some(house) = House::new(Wanted { api: Settings::default(), ..Wanted::default() }).await else { return };
    let ask = async |id: &str| house.invoke(&json!({ "provider": "demo", "id": id })).await.unwrap();

    let fetched = ask("item-1").await;
    assert_eq!(
        (&fetched["outcome"], &fetched["record"]["body"]["id"]),
        (&json!("fetched"), &json!("item-1")),
        "{fetched}\n{}",
        house.transcript()
    );
    assert_eq!(house.sink().await, [fetched["record"].clone()], "the answer is the sink's line");
    assert_eq!(ask("item-1").await["outcome"], "fetched-before");
    assert_eq!(house.api.stats().requests, 1, "once a day, whoever asks");

    // The stream's entry of the same item finds it fetched.
    house.feed(["item-1", "item-2"]).await;
    let source = house.map();
    house.drained(&source).await;
    assert_eq!(house.stored().await, ["item-1", "item-2"]);
    assert_eq!(house.api.stats().requests, 2);

    let missing = ask("unknown-1").await;
    assert_eq!((&missing["outcome"], &missing["failure"]["status"]), (&json!("failed"), &json!(404)), "{missing}");
    let nobody = house.invoke(&json!({ "provider": "nobody", "id": "x" })).await.unwrap_err();
    assert!(nobody.contains("nobody is not in this package"), "{nobody}");
    let nothing = house.invoke(&json!({ "hello": "world" })).await.unwrap_err();
    assert!(nothing.contains("\"provider\": \"...\""), "{nothing}");
    said::assert_well_formed(&house.lines());
}
