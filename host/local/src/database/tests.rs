use futures::future::join_all;
use rusqlite::params;

use super::*;

fn open_database() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("damper.db")).unwrap();
    (folder, database)
}

async fn insert(database: &Database, name: &str) -> Result<usize, DatabaseError> {
    let name = name.to_owned();
    database
        .write(move |connection| Ok(connection.execute("INSERT INTO shards (provider) VALUES (?1)", [&name])?))
        .await
}

async fn count(database: &Database) -> i64 {
    let work = |connection: &Connection| Ok(connection.query_row("SELECT COUNT(*) FROM shards", [], |row| row.get(0))?);
    database.read(work).await.unwrap()
}

#[tokio::test]
async fn a_failing_job_fails_none_of_its_neighbours() {
    let (_folder, database) = open_database();
    let names = ["a", "b", "a", "c", "b", "d"];
    let results = join_all(names.map(|name| insert(&database, name))).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true, false, true]);
    assert_eq!(count(&database).await, 4);
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_is_lost_or_half_done() {
    let (_folder, database) = open_database();
    insert(&database, "a").await.unwrap();
    let limit =
        |pages: i64| database.write(move |connection| Ok(connection.pragma_update(None, "max_page_count", pages)?));
    limit(1).await.unwrap();
    let large = "x".repeat(1_000_000);
    let (full, small) = tokio::join!(insert(&database, &large), insert(&database, "b"));
    assert_eq!(full, Err(DatabaseError::Full { path: database.path().to_path_buf() }));
    assert_eq!(small, Ok(1), "what needs no room goes on");
    limit(1_000_000).await.unwrap();
    insert(&database, &large).await.unwrap();
    assert_eq!(count(&database).await, 3);
}

#[test]
fn a_disk_that_fails_is_named_with_what_to_do() {
    let failure = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None);
    let said = SqlError::from(failure).with_path("/data/damper.db".as_ref()).to_string();
    assert!(said.starts_with("the disk of the database \"/data/damper.db\" failed ("), "{said}");
    assert!(said.contains("disk I/O error"), "{said}");
    assert!(said.ends_with("check that it works and has free space, then run again; nothing is lost"), "{said}");
}

#[tokio::test]
async fn two_writers_of_one_file_wait_for_each_other() {
    let (_folder, one) = open_database();
    let other = Database::open(one.path()).unwrap();
    let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let written = join_all(names.iter().enumerate().map(|(number, name)| {
        let database = if number % 2 == 0 { &one } else { &other };
        insert(database, name)
    }))
    .await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert_eq!((count(&one).await, count(&other).await), (40, 40));
}

#[tokio::test]
async fn nobody_writes_through_the_reader() {
    let (_folder, database) = open_database();
    let work =
        |connection: &Connection| Ok(connection.execute("INSERT INTO shards (provider) VALUES (?1)", params!["a"])?);
    assert!(database.read(work).await.is_err());
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn what_is_committed_survives_the_end_of_the_process() {
    let (folder, database) = open_database();
    insert(&database, "a").await.unwrap();
    // As after SIGKILL: the file and its WAL as they lie there, without a clean close.
    let copy = folder.path().join("copy.db");
    std::fs::copy(database.path(), &copy).unwrap();
    std::fs::copy(folder.path().join("damper.db-wal"), folder.path().join("copy.db-wal")).unwrap();
    assert_eq!(count(&Database::open(&copy).unwrap()).await, 1);
}
