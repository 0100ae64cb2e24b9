//! Resources that suites need in a stand-in, of the shape that Damper's templates give them in AWS.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_kinesis::types::StreamStatus;

/// Creates a table of the ledger's shape.
///
/// # Panics
/// If the stand-in refuses it.
pub async fn create_ledger_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().expect("a name and a type")
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a name and a type")
    };
    let create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(attribute("pk")).attribute_definitions(attribute("sk"));
    let create = create.key_schema(key("pk", KeyType::Hash)).key_schema(key("sk", KeyType::Range));
    create.send().await.expect("the table is created");
}

/// Creates a stream, waits until it is active, and returns its ARN.
///
/// # Panics
/// If the stand-in refuses it.
pub async fn create_stream(client: &aws_sdk_kinesis::Client, name: &str, shards: i32) -> String {
    client.create_stream().stream_name(name).shard_count(shards).send().await.expect("the stream is created");
    loop {
        let described = client.describe_stream_summary().stream_name(name).send().await.expect("it is described");
        let summary = described.stream_description_summary.expect("its summary");
        if summary.stream_status == StreamStatus::Active {
            return summary.stream_arn;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
