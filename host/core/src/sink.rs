//! Where records go: newline-delimited JSON in an object store, `PROVIDER/DAY/OWNER/CHUNK.ndjson`, or `CHUNK.ndjson.zst` where it
//! is compressed.
//!
//! Objects are created, never overwritten. An owner numbers its chunks of a day without a gap, so whoever recovers an
//! expired claim can *seal* that owner: it creates the next number, empty, under each name that the owner may give it. From then on
//! the owner's own next put fails, and what the recoverer has read is all that there will ever be. See `recovery`.

mod compression;
mod line;
mod recovery;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::day::Day;
use crate::error_chain::error_chain;
use crate::ledger::Owner;

pub use compression::{Compression, CompressionError, Unpacker};
pub use line::{Line, LineKey};
pub use recovery::{Recoveries, recover};

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

/// Why the sink did not take or give what it should.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The object is there already: this owner was taken for dead and sealed. What it has not stored is not its any more.
    #[error("{0} exists already: another worker took this one for dead and recovers its items")]
    Sealed(Path),
    /// The store failed, or what it gave is damaged.
    #[error("cannot {action} {path}: {message}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// With which object.
        path: Path,
        /// What the store said, or what is wrong with the object.
        message: String,
    },
}

/// Create an object.
///
/// # Errors
/// [`SinkError::Sealed`] where it exists, [`SinkError::Store`] where the store fails.
pub async fn create(store: &dyn ObjectStore, path: &Path, content: Bytes) -> Result<(), SinkError> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(path, content.into(), options).await {
        Ok(_) => Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => Err(SinkError::Sealed(path.clone())),
        Err(error) => Err(store_error("write", path, &error)),
    }
}

/// Create the object of one chunk, compressed or not.
///
/// # Errors
/// As [`create`].
pub(crate) async fn store_chunk(
    store: &dyn ObjectStore,
    chunk: &Path,
    compression: Compression,
    lines: Vec<u8>,
) -> Result<(), SinkError> {
    let path = compression.name(chunk);
    match compression.pack(lines).await {
        Ok(content) => create(store, &path, content).await,
        Err(error) => Err(SinkError::Store { action: "compress", path, message: error.to_string() }),
    }
}

/// Read a whole object.
async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Bytes, SinkError> {
    let answer = store.get(path).await.map_err(|error| store_error("read", path, &error))?;
    answer.bytes().await.map_err(|error| store_error("read", path, &error))
}

fn store_error(action: &'static str, path: &Path, error: &object_store::Error) -> SinkError {
    SinkError::Store { action, path: path.clone(), message: error_chain(error) }
}
