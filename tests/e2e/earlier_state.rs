//! State that an earlier version wrote: this version continues from it.
//!
//! `tests/fixtures/earlier-state` was written on 2026-11-29 by the version before the types of the control item and the
//! ledgers got their present names: three records fetched, one dead letter, the provider paused by an operator, two
//! items pending.

use std::fs;
use std::path::{Path, PathBuf};

use damper_demo_api::Settings;

use crate::local_setup::{LocalSetup, text};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/earlier-state")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_and_records_of_an_earlier_version_are_continued() {
    let setup = LocalSetup::demo(Settings::default(), "");
    copy_folder(&fixture(), setup.path());
    let status = text(&setup.run(&["status", "demo"]));
    assert!(status.contains("paused since 2026-11-29T00:00:06Z: kept by the version before"), "{status}");
    let letters = setup.letters().await;
    assert_eq!(letters.len(), 1);
    let shown = text(&setup.run(&["dead-letters", "list"]));
    assert!(shown.contains("unknown-1") && shown.contains("404"), "{shown}");

    let resumed = setup.run(&["resume", "demo"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    setup.feed(["item-000006"]);
    setup.drain();
    // Items that were fed long ago may be too old by now, and are dead letters then.
    let counts = setup.counts().await;
    assert_eq!((counts.fed, counts.pending), (7, 0), "{counts:?}");
    assert_eq!(counts.fetched + counts.skipped + counts.dead_letters, 7, "{counts:?}");
    let stored = setup.stored_ids_once();
    for id in ["item-000001", "item-000002", "item-000003", "item-000006"] {
        assert!(stored.contains(id), "{id} of {stored:?}");
    }
}
