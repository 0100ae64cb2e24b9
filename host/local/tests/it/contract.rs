//! The ledger's contract, with two databases on one file as two processes have them.

use std::sync::Arc;

use damper_core::testing::contract::Ledgers;
use damper_local::{Database, SqliteLedger};

async fn fresh() -> Ledgers {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteLedger::new(Database::open(folder.path().join("damper.db")).unwrap());
    Ledgers { one: Arc::new(open()), other: Arc::new(open()), keep: Box::new(folder) }
}

damper_core::ledger_contract!(fresh);
