//! Errors of the database file, with messages that say what to do.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the database did not do what was asked. Unless the variant says otherwise, nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Its folder cannot be made.
    #[error("the folder of the database {path:?} cannot be created: {message}")]
    Folder {
        /// The database's file.
        path: PathBuf,
        /// The operating system's message.
        message: String,
    },
    /// The file is no SQLite database, or one of another program.
    #[error("{path:?} is not a damper database ({found}): name another file, or move this one away")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The kind of file that was found.
        found: String,
    },
    /// The file was written by a newer Damper.
    #[error(
        "the database {path:?} has format {found}, and this damper supports formats up to {known}: use a newer damper"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest format this program knows.
        known: i32,
    },
    /// The file is empty, cut short or otherwise broken.
    #[error(
        "the database {path:?} is damaged ({message}): restore it from a backup with its -wal file, or move it away and \
         feed again; nothing in it was changed"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        message: String,
    },
    /// The disk, or the quota, is full.
    #[error("the disk of the database {path:?} is full: free some space and run again; nothing is lost")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed. The request may have been done or not; a repeated request finds out.
    #[error(
        "the disk of the database {path:?} failed ({message}): check that it works and has free space, then run again; nothing is lost"
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        message: String,
    },
    /// The file or its folder cannot be written.
    #[error("the database {path:?} cannot be written: check the permissions of the file and its folder ({message})")]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        message: String,
    },
    /// Another process has held it for longer than [`BUSY_TIMEOUT`](super::BUSY_TIMEOUT).
    #[error(
        "the database {path:?} has been locked by another process for more than a minute: end that process, or wait"
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A row cannot be read.
    #[error("the database {path:?} holds a {what} that cannot be read: {message}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Which kind of row.
        what: &'static str,
        /// The problem.
        message: String,
    },
    /// The thread that works on it is gone. It may have done what was asked for, or not.
    #[error("the database {path:?} was closed before it answered")]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Anything else. It may have done what was asked for, or not.
    #[error("the database {path:?} failed: {message}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// The message of SQLite or the operating system.
        message: String,
    },
}

/// An error of a job, without the path of the database file.
#[derive(Debug)]
pub(crate) enum SqlError {
    /// SQLite says no.
    Sqlite(rusqlite::Error),
    /// A stored value makes no sense.
    Unreadable {
        /// Which kind of row.
        what: &'static str,
        /// The problem.
        message: String,
    },
}

impl SqlError {
    pub(crate) fn unreadable(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, message: error.to_string() }
    }

    /// The error as the caller sees it.
    pub(crate) fn with_path(self, path: &Path) -> DatabaseError {
        let path = path.to_path_buf();
        match self {
            Self::Unreadable { what, message } => DatabaseError::Unreadable { path, what, message },
            Self::Sqlite(error) => {
                let message = error.to_string();
                match error.sqlite_error_code() {
                    Some(ErrorCode::DiskFull) => DatabaseError::Full { path },
                    Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                        DatabaseError::ReadOnly { path, message }
                    }
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DatabaseError::Busy { path },
                    Some(ErrorCode::DatabaseCorrupt) => DatabaseError::Damaged { path, message },
                    Some(ErrorCode::NotADatabase) => DatabaseError::Foreign { path, found: message },
                    // Also what a full disk may look like, where SQLite makes room in its shared memory.
                    Some(ErrorCode::SystemIoFailure) => DatabaseError::Disk { path, message },
                    _ => DatabaseError::Failed { path, message },
                }
            }
        }
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
