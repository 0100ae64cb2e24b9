//! Opening the file: made whole or not at all, and refused where it is not ours.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{DatabaseError, SqlError};
use crate::schema;

/// Up to this size a file is checked whole at start, which takes some tens of milliseconds, in bytes.
const CHECKED_WHOLE_BYTES: u64 = 16 * 1024 * 1024;
/// How long a writer waits for another process's transaction before it gives up.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a writer sleeps before it tries a locked file again. SQLite's own handler sleeps up to 100 ms, and a
/// process that commits without a pause would starve the other.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Statements kept prepared for each connection.
const CACHED_STATEMENTS: usize = 64;

/// The connection that writes; makes the file if there is none.
pub(super) fn open_writer(path: &Path) -> Result<Connection, DatabaseError> {
    if !path.try_exists().map_err(|error| folder_error(path, &error))? {
        create(path)?;
    }
    let metadata = fs::metadata(path).map_err(|error| io_error(path, &error))?;
    if metadata.is_dir() {
        return Err(DatabaseError::Foreign { path: path.to_path_buf(), found: "a folder".to_owned() });
    }
    let length = metadata.len();
    if let Some(message) = describe_truncation(path, length).map_err(|error| io_error(path, &error))? {
        return Err(DatabaseError::Damaged { path: path.to_path_buf(), message });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| error.with_path(path))?;
    check(path, &connection, length)?;
    configure(&connection).map_err(|error| error.with_path(path))?;
    add_columns(&connection).map_err(|error| error.with_path(path))?;
    add_tables(&connection).map_err(|error| error.with_path(path))?;
    Ok(connection)
}

/// Give an earlier release's file the columns that it lacks.
fn add_columns(connection: &Connection) -> Result<(), SqlError> {
    const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    for (table, column, declaration) in schema::ADDED_COLUMNS {
        let is_there = || connection.query_row(IS_THERE, [table, column], |row| row.get(0));
        add_to_schema(connection, is_there, &format!("ALTER TABLE {table} ADD COLUMN {column} {declaration}"))?;
    }
    Ok(())
}

/// Give an earlier release's file the tables that it lacks.
fn add_tables(connection: &Connection) -> Result<(), SqlError> {
    const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    for (table, statement) in schema::ADDED_TABLES {
        add_to_schema(connection, || connection.query_row(IS_THERE, [table], |row| row.get(0)), statement)?;
    }
    Ok(())
}

fn add_to_schema(
    connection: &Connection,
    is_there: impl Fn() -> rusqlite::Result<bool>,
    statement: &str,
) -> Result<(), SqlError> {
    if is_there()? {
        return Ok(());
    }
    // Another process may be opening the same file: the holder of the lock looks again.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let added = match is_there() {
        Ok(true) => Ok(()),
        Ok(false) => connection.execute_batch(statement),
        Err(error) => Err(error),
    };
    connection.execute_batch(if added.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    Ok(added?)
}

/// The connection that only reads; after [`open_writer`], so that the file is there and is ours.
pub(super) fn open_reader(path: &Path) -> Result<Connection, DatabaseError> {
    // Opened for writing: a reader of a WAL database must be able to make its shared memory.
    let prepare = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    prepare().map_err(|error: SqlError| error.with_path(path))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, SqlError> {
    // Each connection stays within its own thread.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_handler(Some(|tried| {
        thread::sleep(BUSY_PAUSE);
        u128::try_from(tried).is_ok_and(|tried| tried * BUSY_PAUSE.as_millis() < BUSY_TIMEOUT.as_millis())
    }))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), SqlError> {
    // FULL: a commit is on the disk when it returns, also if the power fails. On macOS that takes a call of its own.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    Ok(())
}

/// Whether the file is ours, of a format we know, and whole.
fn check(path: &Path, connection: &Connection, length: u64) -> Result<(), DatabaseError> {
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(|error| SqlError::from(error).with_path(path))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != schema::APPLICATION_ID {
        let found = format!("an SQLite database with application_id {application}");
        return Err(DatabaseError::Foreign { path: path.to_path_buf(), found });
    }
    if version > schema::VERSION {
        return Err(DatabaseError::Newer { path: path.to_path_buf(), found: version, known: schema::VERSION });
    }
    if connection.is_readonly("main").map_err(|error| SqlError::from(error).with_path(path))? {
        let message = "it can only be read".to_owned();
        return Err(DatabaseError::ReadOnly { path: path.to_path_buf(), message });
    }
    if length <= CHECKED_WHOLE_BYTES {
        let verdict: String = connection
            .pragma_query_value(None, "quick_check", |row| row.get(0))
            .map_err(|error| SqlError::from(error).with_path(path))?;
        if verdict != "ok" {
            let message = verdict.lines().next().unwrap_or_default().to_owned();
            return Err(DatabaseError::Damaged { path: path.to_path_buf(), message });
        }
    }
    Ok(())
}

/// Compares the file's length with its own header (<https://sqlite.org/fileformat.html>) and describes missing bytes. SQLite itself
/// notices some truncations only when it reads the missing page.
fn describe_truncation(path: &Path, length: u64) -> std::io::Result<Option<String>> {
    const HEADER_BYTES: usize = 100;
    if length == 0 {
        return Ok(Some("it is empty".to_owned()));
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    let (Some(size), Some(pages)) = (header.get(16..18), header.get(28..32)) else { return Ok(None) };
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    if !header.starts_with(b"SQLite format 3\0") {
        return Ok(None);
    }
    // While there is a WAL, its pages may be what is missing here.
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    if fs::metadata(wal).is_ok_and(|wal| wal.len() > 0) {
        return Ok(None);
    }
    let page = if number(size) == 1 { 65_536 } else { number(size) };
    let whole = page.saturating_mul(number(pages));
    Ok((length < whole).then(|| format!("it has {length} bytes of {whole}")))
}

/// Make a new database beside `path` and link it into place: nobody ever sees it half made, so an empty file is always
/// one that lost its content.
fn create(path: &Path) -> Result<(), DatabaseError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| folder_error(path, &error))?;
    let draft = draft_of(path);
    let made = fill(&draft).map_err(|error| error.with_path(path)).and_then(|()| publish(&draft, path, parent));
    // Best effort: what stays behind is a small file whose name says what it is.
    let _ = fs::remove_file(&draft);
    made
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}-{:?}", std::process::id(), thread::current().id()));
    path.with_file_name(name)
}

fn fill(draft: &Path) -> Result<(), SqlError> {
    let connection = Connection::open(draft)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id = {}; PRAGMA user_version = {}; {} COMMIT;",
        schema::APPLICATION_ID,
        schema::VERSION,
        schema::TABLES
    ))?;
    // Closing writes the WAL back, syncs the file and removes the WAL.
    connection.close().map_err(|(_, error)| error.into())
}

fn publish(draft: &Path, path: &Path, parent: &Path) -> Result<(), DatabaseError> {
    match fs::hard_link(draft, path) {
        // Another process was faster; its file is as good.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error(path, &error)),
        Ok(()) => File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| io_error(path, &error)),
    }
}

fn folder_error(path: &Path, error: &std::io::Error) -> DatabaseError {
    DatabaseError::Folder { path: path.to_path_buf(), message: error.to_string() }
}

fn io_error(path: &Path, error: &std::io::Error) -> DatabaseError {
    let path = path.to_path_buf();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DatabaseError::Full { path },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            DatabaseError::ReadOnly { path, message: error.to_string() }
        }
        _ => DatabaseError::Failed { path, message: error.to_string() },
    }
}
