//! The sink on disk.

use std::fs;
use std::time::{Duration, SystemTime};

use damper_local::folder::{self, FolderError};
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

#[tokio::test]
async fn an_object_is_created_and_never_overwritten() {
    let out = tempfile::tempdir().unwrap();
    let store = folder::open(&out.path().join("out")).unwrap();
    let path = Path::from("demo/2026-11-22/owner/000000.ndjson");
    store.put_opts(&path, "first".into(), create()).await.unwrap();
    let again = store.put_opts(&path, "second".into(), create()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
}

#[tokio::test]
async fn what_a_crash_left_behind_is_neither_listed_nor_in_the_way_and_goes_when_old() {
    let out = tempfile::tempdir().unwrap();
    let store = folder::open(out.path()).unwrap();
    let owner = out.path().join("demo/2026-11-22/owner");
    fs::create_dir_all(&owner).unwrap();
    let leftover = owner.join("000000.ndjson#1");
    fs::write(&leftover, "half a li").unwrap();
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
    let path = Path::from("demo/2026-11-22/owner/000000.ndjson");
    store.put_opts(&path, "whole\n".into(), create()).await.unwrap();
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);

    let written = Timestamp::try_from(fs::metadata(&leftover).unwrap().modified().unwrap()).unwrap();
    assert_eq!(folder::clean(out.path(), written + folder::LEFTOVER_AGE - Duration::from_secs(1)), 0);
    assert_eq!(folder::clean(out.path(), written + folder::LEFTOVER_AGE), 1);
    assert!(!leftover.exists());
    let far = Timestamp::try_from(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(9_000_000_000);
    assert_eq!(folder::clean(out.path(), far), 0, "objects stay");
}

#[test]
fn a_folder_that_cannot_be_the_sink_says_why() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(folder::open(&file), Err(FolderError::NotAFolder { .. })));
    assert!(matches!(folder::open(&file.join("below")), Err(FolderError::NotAFolder { .. })));
    assert!(matches!(folder::open("/proc/damper".as_ref()), Err(FolderError::NotMade { .. })));
    let error = folder::open("/proc/self".as_ref()).unwrap_err();
    assert!(matches!(error, FolderError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("/proc/self"), "{error}");
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let out = tempfile::tempdir().unwrap();
    folder::probe(out.path()).unwrap();
    folder::probe(out.path()).unwrap();
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}
