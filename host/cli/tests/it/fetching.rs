//! `damper fetch` up to its request; what it fetches is for `tests/e2e`.

use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::ledger::{Ledger, Owner, SlotRequest};
use damper_local::{Database, SqliteLedger};

use crate::test_dir::{MANIFEST, TestDir, provider};

/// A slot counts from when it was acquired, and a component may take longer to compile than it counts.
#[tokio::test]
async fn a_component_is_made_ready_before_a_slot_is_asked_for() {
    let config = "[providers.demo]\nhosts = \"manifest\"\nconfig.region = \"eu\"\n";
    let dir = TestDir::with(&[("damper.toml", config)]);
    dir.write("demo.wasm", &provider(MANIFEST));
    let said = dir.damper_fed(&["feed", "demo", "-"], b"id,lang\n1,en\n");
    let path = dir.path().join("damper.db");
    assert!(path.exists(), "{said}");
    let (ledger, owner) = (SqliteLedger::new(Database::open(&path).unwrap()), Owner::from("another-run"));
    let now = WallClock::System.now();
    let until = now + Duration::from_secs(5);
    let request = SlotRequest { owner: &owner, want: 3, in_use: 0, cap: 3, now, until };
    assert_eq!(ledger.slots("demo", request).await.unwrap().slots, 3);

    let text = dir.damper(&["fetch", "demo", "1", "--param", "lang=en"]);
    assert!(text.starts_with("exit code 4"), "it cannot run: {text}");
    assert!(!text.contains("waiting"), "no slot is asked for by what cannot run: {text}");
}
