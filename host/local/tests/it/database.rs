//! Which files are opened, which are refused, and how.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use damper_core::ledger::{Ledger, Owner, SlotRequest};
use damper_local::{Database, DatabaseError, SqliteLedger, SqliteStream};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

fn expect_refusal(path: &Path) -> DatabaseError {
    let before = fs::read(path).ok();
    let error = Database::open(path).expect_err("refused");
    assert_eq!(fs::read(path).ok(), before, "nothing is overwritten");
    assert!(error.to_string().contains(&format!("{path:?}")), "the error names the file: {error}");
    error
}

/// A closed database with some pages of entries.
async fn create_filled_database(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("damper.db");
    let database = Database::open(&path).unwrap();
    let payloads = vec![Bytes::from(vec![b'x'; 1_000]); 200];
    SqliteStream::new(database).feed("demo", payloads, Timestamp::UNIX_EPOCH).await.unwrap();
    // The WAL is written back by a connection of our own: when a database's threads end is not told.
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    copy
}

#[test]
fn a_database_is_made_with_its_folder_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/damper.db");
    Database::open(&path).unwrap();
    Database::open(&path).unwrap();
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("new")), "no draft is left: {left:?}");
}

#[test]
fn many_may_make_the_same_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| Database::open(&path))).collect();
        opened.into_iter().for_each(|database| drop(database.join().unwrap().unwrap()));
    });
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("ids.csv");
    fs::write(&text, "id\n".repeat(1_000)).unwrap();
    assert!(matches!(expect_refusal(&text), DatabaseError::Foreign { .. }));

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a); PRAGMA application_id = 7").unwrap();
    assert!(matches!(expect_refusal(&other), DatabaseError::Foreign { .. }));
}

#[test]
fn a_database_of_a_newer_damper_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    drop(Database::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Database::open(&path).unwrap_err();
    assert!(matches!(error, DatabaseError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_database_cut_short_is_refused_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let copy = create_filled_database(&folder).await;
    let whole = fs::read(&copy).unwrap();
    for length in [0, 50, 100, 4_096, 5_000, 40_960, whole.len() - 4_096, whole.len() - 1] {
        fs::write(&copy, &whole[..length]).unwrap();
        let error = expect_refusal(&copy);
        let expected = matches!(error, DatabaseError::Damaged { .. } | DatabaseError::Foreign { .. });
        assert!(expected, "cut to {length} of {} bytes: {error}", whole.len());
    }
}

#[tokio::test]
async fn a_database_with_a_broken_page_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = create_filled_database(&folder).await;
    let mut bytes = fs::read(&copy).unwrap();
    bytes[20 * 4_096..22 * 4_096].fill(0xa5);
    fs::write(&copy, bytes).unwrap();
    let error = expect_refusal(&copy);
    assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Database::open(folder.path().join("file/damper.db")).unwrap_err();
    assert!(matches!(error, DatabaseError::Folder { .. }), "{error}");
    // Not even root makes a folder here.
    let error = Database::open("/proc/damper/damper.db").unwrap_err();
    assert!(matches!(error, DatabaseError::Folder { .. }), "{error}");
    let error = Database::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("folder"), "{error}");
}

#[tokio::test]
async fn a_database_of_an_earlier_release_gets_the_columns_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = create_filled_database(&folder).await;
    let earlier = Connection::open(&path).unwrap();
    earlier.execute_batch("ALTER TABLE slots DROP COLUMN since").unwrap();
    earlier
        .execute(
            "INSERT INTO slots (provider, owner, count, wanted, until) VALUES ('demo', 'old', 1, 1, ?1)",
            [i64::MAX],
        )
        .unwrap();
    earlier.close().unwrap();

    let opened = [Database::open(&path).unwrap(), Database::open(&path).unwrap()];
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let ask = async |database: &Database, owner: &str| {
        let (owner, ledger) = (Owner::from(owner), SqliteLedger::new(database.clone()));
        let until = now + Duration::from_secs(60);
        let request = SlotRequest { owner: &owner, want: 1, in_use: 0, cap: 1, now, until };
        ledger.slots("demo", request).await.unwrap()
    };
    assert_eq!(ask(&opened[0], "new").await.slots, 0, "the old one has it");
    assert_eq!(ask(&opened[1], "old").await.slots, 0, "and has had it for longer than a turn");
    assert_eq!(ask(&opened[0], "new").await.slots, 1);
}
