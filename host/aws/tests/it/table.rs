//! A table of the ledger's shape in a stand-in.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use damper_aws::DynamoLedger;
use damper_stand_ins::{create_ledger_table, sdk_config, unique};
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
        create_ledger_table(&client, &table).await;
        Self { client, table, letters: Arc::new(InMemory::new()) }
    }

    pub(crate) fn ledger(&self) -> DynamoLedger {
        DynamoLedger::new(self.client.clone(), &*self.table, self.letters.clone())
    }
}
