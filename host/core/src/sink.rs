//! The sink of records: newline-delimited JSON in an object store, `PROVIDER/DAY/OWNER/CHUNK.ndjson`, or
//! `CHUNK.ndjson.zst` if it is compressed.
//!
//! Objects are created, never overwritten. An owner numbers its chunks of a day in order, and takes the next number
//! only when it knows that the last chunk is stored (`put`). Therefore at most one put of an owner and day can be in
//! flight, and always the one behind the highest stored number. A worker that recovers an expired claim *seals* its
//! owner (`recovery`): it creates empty objects under that number, under each name that the owner may give it. From
//! then on the owner's put fails, it stores nothing more on that day, and the chunks that the recovering worker has
//! read are complete.
//!
//! A put whose outcome is unknown is settled in the same way by the owner itself: an empty object under the same name,
//! and whichever of the two was first stays.
//!
//! Precondition: until the items of a day are finished in the ledger, the day's objects must not be moved or deleted,
//! the empty ones included. Copying is always allowed. If the highest chunk is missing, its owner is sealed at a number
//! that it has passed, and a chunk that is missing cannot say which items it holds: these may be fetched and stored
//! again.

mod compression;
mod line;
mod put;
mod recovery;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::time::timeout;

use crate::day::Day;
use crate::error_chain::error_chain;
use crate::ledger::Owner;

pub use compression::{Compression, CompressionError, Unpacker};
pub use line::{Line, LineComponent, LineKey};
pub(crate) use put::{Stored, store_chunk};
pub use recovery::{Recoveries, recover};

/// How long the store may take for one operation, but for a put of a chunk.
const OPERATION_TIME: Duration = Duration::from_secs(30);

/// The object of one chunk that is not compressed; [`Compression::name`] gives the others.
#[must_use]
pub fn object_path(provider: &str, day: Day, owner: &Owner, chunk: u32) -> Path {
    Path::from(format!("{provider}/{day}/{owner}/{chunk:06}.ndjson"))
}

/// The folder of one owner's chunks of a day.
#[must_use]
pub fn owner_folder(provider: &str, day: Day, owner: &Owner) -> Path {
    Path::from(format!("{provider}/{day}/{owner}"))
}

/// An error of the sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The object exists already: this owner was sealed, because its claims had expired. Items that it has not stored
    /// belong to other owners.
    #[error("{0} already exists: another worker considers this one dead and recovers its items")]
    Sealed(Path),
    /// The disk or the quota is full.
    #[error("cannot {action} {path}: the disk is full: free some space and run again; nothing is lost")]
    Full {
        /// The action.
        action: &'static str,
        /// With which object.
        path: Path,
    },
    /// The store failed, or returned damaged data. The action may have happened.
    #[error("cannot {action} {path}: {message}")]
    Store {
        /// The action.
        action: &'static str,
        /// With which object.
        path: Path,
        /// The store's error, or the damage of the object.
        message: String,
    },
    /// An owner could not be sealed: it goes on storing, or the store contradicts itself.
    #[error(
        "cannot seal {folder} after {tries} tries: its owner still writes to it, or the store's listing is out of date; run again"
    )]
    NotSealed {
        /// The owner's folder.
        folder: Path,
        /// How often it was tried.
        tries: u32,
    },
    /// There was no time to read the objects of an abandoned owner. Its items are recovered later.
    #[error("the objects of an abandoned owner were not read: {0}; its items are recovered later")]
    NotRecovered(&'static str),
}

/// Create an object.
///
/// # Errors
/// [`SinkError::Sealed`] if it exists; else the store failed, and the object may exist or not.
pub async fn create(store: &dyn ObjectStore, path: &Path, content: Bytes) -> Result<(), SinkError> {
    match in_time(OPERATION_TIME, put_new(store, path, content)).await {
        Ok(()) => Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => Err(SinkError::Sealed(path.clone())),
        Err(error) => Err(store_error("write", path, &error)),
    }
}

/// Put an object, if it does not exist.
async fn put_new(store: &dyn ObjectStore, path: &Path, content: Bytes) -> object_store::Result<()> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(path, content.into(), options).await.map(drop)
}

/// Read a whole object.
async fn read(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Bytes> {
    in_time(OPERATION_TIME, async { store.get(path).await?.bytes().await }).await
}

/// Wait for an operation no longer than `limit`. It may still happen after that.
async fn in_time<T>(limit: Duration, work: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let late = |_| object_store::Error::Generic {
        store: "object store",
        source: format!("no answer within {} s", limit.as_secs()).into(),
    };
    timeout(limit, work).await.map_err(late).flatten()
}

fn store_error(action: &'static str, path: &Path, error: &object_store::Error) -> SinkError {
    let path = path.clone();
    if is_full(error) {
        return SinkError::Full { action, path };
    }
    SinkError::Store { action, path, message: error_chain(error) }
}

/// Whether a disk was full.
fn is_full(error: &object_store::Error) -> bool {
    let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    causes
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
