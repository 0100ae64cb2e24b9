//! The ledger's contract, with two ledgers on one table as two processes have them.

use std::sync::Arc;

use damper_core::testing::contract::Ledgers;

use crate::table::TestTable;

async fn fresh(endpoint: &str) -> Ledgers {
    let test_table = TestTable::new(endpoint).await;
    Ledgers { one: Arc::new(test_table.ledger()), other: Arc::new(test_table.ledger()), keep: Box::new(()) }
}

mod moto {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        Some(super::fresh(damper_stand_ins::moto()?.endpoint()).await)
    }

    damper_core::ledger_contract!(fresh);
}

mod ministack {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        Some(super::fresh(damper_stand_ins::ministack()?.endpoint()).await)
    }

    damper_core::ledger_contract!(fresh);
}

mod dynamodb_local {
    async fn fresh() -> damper_core::testing::contract::Ledgers {
        super::fresh(damper_stand_ins::dynamodb_local()).await
    }

    damper_core::ledger_contract!(fresh, ignore = "for `make test-dynamodb-local`");
}
