//! The sink on disk: a folder as an object store whose objects are durable and never overwritten.
//!
//! `object_store`'s own `LocalFileSystem` with `fsync` does the work: a put goes to a temporary file `NAME#1`, which is
//! synced, linked into place (where the name is taken, that is `AlreadyExists`) and the folders synced, new ones
//! included. A name that ends in `#` and digits is neither listed nor read. This module adds a check at start, with
//! errors that say what to do, and the removal of temporary files that crashes leave behind.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use object_store::local::LocalFileSystem;

/// How old a temporary file is before it is taken for a crash's leftover. No put takes as long.
pub const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);
/// How deep temporary files lie at most: `PROVIDER/DAY/OWNER/`.
const DEPTH: u32 = 4;

/// Why a folder cannot be the sink.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made.
    #[error("the output folder {path:?} cannot be created: {source}")]
    NotMade {
        /// The folder.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// Something else lies there.
    #[error("{path:?} is not a folder: name another output, or move it away")]
    NotAFolder {
        /// The path of the file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("the output folder {path:?} cannot be written: check its permissions and its disk ({source})")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// Its disk is full.
    #[error("the disk of the output folder {path:?} is full: free some space and run again; nothing is lost")]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// Its file system knows no hard links, so that nothing could be put there without the danger of overwriting.
    #[error(
        "the file system of the output folder {path:?} does not support hard links: name a folder on another file system ({source})"
    )]
    NoLinks {
        /// The folder.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
}

/// The object store of a folder, which is made if it is missing, and [probed](probe).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use damper_core::sink::{SinkError, create, object_path};
/// # let folder = tempfile::tempdir()?;
/// # let out = folder.path().join("out");
/// let sink = damper_local::folder::open(&out)?;
/// let chunk = object_path("demo", "2026-11-22".parse()?, &"worker-1".into(), 0);
/// create(&sink, &chunk, "{\"id\":\"42\"}\n".into()).await?;
/// assert!(out.join("demo/2026-11-22/worker-1/000000.ndjson").is_file());
///
/// // A chunk is never overwritten.
/// assert!(matches!(create(&sink, &chunk, "".into()).await, Err(SinkError::Sealed(_))));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the folder cannot be made or written.
pub fn open(path: &Path) -> Result<LocalFileSystem, FolderError> {
    if path.exists() && !path.is_dir() {
        return Err(FolderError::NotAFolder { path: path.to_path_buf() });
    }
    fs::create_dir_all(path).map_err(|source| match source.kind() {
        ErrorKind::NotADirectory => FolderError::NotAFolder { path: path.to_path_buf() },
        _ => FolderError::NotMade { path: path.to_path_buf(), source },
    })?;
    probe(path)?;
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| FolderError::NotMade { path: path.to_path_buf(), source: io::Error::other(error) })?;
    Ok(store.with_fsync(true))
}

/// Put a small file into the folder the way records are, and take it away again.
///
/// # Errors
/// If that fails.
pub fn probe(path: &Path) -> Result<(), FolderError> {
    let name = format!(".damper-probe-{}-{:?}", std::process::id(), std::thread::current().id());
    let (draft, linked) = (path.join(format!("{name}#1")), path.join(name));
    let verdict = try_put(path, &draft, &linked);
    // Both may be missing; either is hidden and tiny.
    let _ = fs::remove_file(&draft);
    let _ = fs::remove_file(&linked);
    verdict
}

fn try_put(path: &Path, draft: &Path, linked: &Path) -> Result<(), FolderError> {
    let folder = path.to_path_buf();
    let refused = |source: io::Error| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FolderError::Full { path: folder.clone() },
        ErrorKind::NotADirectory => FolderError::NotAFolder { path: folder.clone() },
        _ => FolderError::NotWritable { path: folder.clone(), source },
    };
    let mut file = File::create(draft).map_err(refused)?;
    file.write_all(b"damper").and_then(|()| file.sync_all()).map_err(refused)?;
    match fs::hard_link(draft, linked) {
        // Left behind by a process of the same number that was killed right here.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        linked => linked.map_err(|source| FolderError::NoLinks { path: folder.clone(), source })?,
    }
    File::open(path).and_then(|folder| folder.sync_all()).map_err(refused)
}

/// Remove temporary files that are older than [`LEFTOVER_AGE`] at `now`; returns how many. A file that cannot be read
/// or removed is left for the next time.
#[must_use]
pub fn clean(path: &Path, now: Timestamp) -> u64 {
    clean_below(path, now, DEPTH)
}

fn clean_below(path: &Path, now: Timestamp, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let mut removed = 0_u64;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            removed = removed.saturating_add(clean_below(&entry.path(), now, depth.saturating_sub(1)));
        } else if kind.is_file() && is_leftover(&entry, now) && fs::remove_file(entry.path()).is_ok() {
            removed = removed.saturating_add(1);
        }
    }
    removed
}

fn is_leftover(entry: &fs::DirEntry, now: Timestamp) -> bool {
    let name = entry.file_name();
    let Some((_, digits)) = name.to_str().and_then(|name| name.rsplit_once('#')) else { return false };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    let Ok(modified) = modified.map(Timestamp::try_from) else { return false };
    modified.is_ok_and(|modified| now.duration_since(modified) >= LEFTOVER_AGE.try_into().unwrap_or_default())
}
