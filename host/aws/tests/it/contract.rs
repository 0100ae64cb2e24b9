//! The ledger's contract, with two ledgers on one table as two processes have them.

use std::sync::Arc;

use damper_core::testing::contract::Ledgers;
use damper_stand_ins::StandIn;

use crate::table::House;

async fn fresh(stand_in: Option<&StandIn>) -> Option<Ledgers> {
    let house = House::new(stand_in?).await;
    Some(Ledgers { one: Arc::new(house.ledger()), other: Arc::new(house.ledger()), keep: Box::new(()) })
}

mod moto {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        super::fresh(damper_stand_ins::moto()).await
    }

    damper_core::ledger_contract!(fresh);
}

mod ministack {
    async fn fresh() -> Option<damper_core::testing::contract::Ledgers> {
        super::fresh(damper_stand_ins::ministack()).await
    }

    damper_core::ledger_contract!(fresh);
}
