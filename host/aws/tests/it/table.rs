//! A table of the ledger's shape in a stand-in.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use damper_aws::DynamoLedger;
use damper_stand_ins::{sdk_config, unique};
use object_store::memory::InMemory;

/// A new table and a client to it.
pub(crate) struct TestTable {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) letters: Arc<InMemory>,
}

impl TestTable {
    pub(crate) async fn new(endpoint: &str) -> Self {
        let client = Client::new(&sdk_config(endpoint));
        let table = unique("ledger");
        let attribute = |name: &str| {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
        };
        let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
        client
            .create_table()
            .table_name(&table)
            .attribute_definitions(attribute("pk"))
            .attribute_definitions(attribute("sk"))
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        Self { client, table, letters: Arc::new(InMemory::new()) }
    }

    pub(crate) fn ledger(&self) -> DynamoLedger {
        DynamoLedger::new(self.client.clone(), &*self.table, self.letters.clone())
    }
}
