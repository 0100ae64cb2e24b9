//! The contracts of the ledger, of its token store and of its key usage, with two ledgers on one table as two processes
//! have them.

use std::sync::Arc;

use damper_core::testing::contract::Ledgers;
use damper_core::testing::key_usage_contract::KeyUsageStores;
use damper_core::testing::token_contract::TokenStores;

use crate::table::TestTable;

async fn fresh(endpoint: &str) -> Ledgers {
    let test_table = TestTable::new(endpoint).await;
    Ledgers { one: Arc::new(test_table.ledger()), other: Arc::new(test_table.ledger()), keep: Box::new(()) }
}

async fn fresh_tokens(endpoint: &str) -> TokenStores {
    let test_table = TestTable::new(endpoint).await;
    TokenStores { one: Arc::new(test_table.ledger()), other: Arc::new(test_table.ledger()), keep: Box::new(()) }
}

async fn fresh_usage(endpoint: &str) -> KeyUsageStores {
    let test_table = TestTable::new(endpoint).await;
    KeyUsageStores { one: Arc::new(test_table.ledger()), other: Arc::new(test_table.ledger()), keep: Box::new(()) }
}

mod moto {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        Some(super::fresh(damper_stand_ins::moto()?.endpoint()).await)
    }

    async fn fresh_tokens() -> Option<damper_core::testing::token_contract::TokenStores> {
        Some(super::fresh_tokens(damper_stand_ins::moto()?.endpoint()).await)
    }

    async fn fresh_usage() -> Option<damper_core::testing::key_usage_contract::KeyUsageStores> {
        Some(super::fresh_usage(damper_stand_ins::moto()?.endpoint()).await)
    }

    damper_core::ledger_contract!(fresh);
    damper_core::token_store_contract!(fresh_tokens);
    damper_core::key_usage_contract!(fresh_usage);
}

mod ministack {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        Some(super::fresh(damper_stand_ins::ministack()?.endpoint()).await)
    }

    async fn fresh_tokens() -> Option<damper_core::testing::token_contract::TokenStores> {
        Some(super::fresh_tokens(damper_stand_ins::ministack()?.endpoint()).await)
    }

    async fn fresh_usage() -> Option<damper_core::testing::key_usage_contract::KeyUsageStores> {
        Some(super::fresh_usage(damper_stand_ins::ministack()?.endpoint()).await)
    }

    damper_core::ledger_contract!(fresh);
    damper_core::token_store_contract!(fresh_tokens);
    damper_core::key_usage_contract!(fresh_usage);
}

mod dynamodb_local {
    async fn fresh() -> damper_core::testing::contract::Ledgers {
        super::fresh(damper_stand_ins::dynamodb_local()).await
    }

    async fn fresh_tokens() -> damper_core::testing::token_contract::TokenStores {
        super::fresh_tokens(damper_stand_ins::dynamodb_local()).await
    }

    async fn fresh_usage() -> damper_core::testing::key_usage_contract::KeyUsageStores {
        super::fresh_usage(damper_stand_ins::dynamodb_local()).await
    }

    damper_core::ledger_contract!(fresh, ignore = "for `make test-dynamodb-local`");
    damper_core::token_store_contract!(fresh_tokens, ignore = "for `make test-dynamodb-local`");
    damper_core::key_usage_contract!(fresh_usage, ignore = "for `make test-dynamodb-local`");
}
