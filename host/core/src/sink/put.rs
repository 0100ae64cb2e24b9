//! Storing one chunk, and finding out whether it is stored if the store returned an error.
//!
//! A put may return an error and have happened, or happen later: the response was lost, or the request is still in
//! flight. If such a chunk counted as not stored, its items would be fetched and stored a second time. Therefore an
//! error never counts as "not stored". The owner creates an *empty* object under the same name instead. Both puts are
//! create-only, so the first to land stays:
//!
//! - the empty object: the chunk is not stored and never will be, however late its put lands;
//! - the chunk: reading it back shows our own bytes. Only its owner ever stores content under this name.
//!
//! The empty object is half a seal (see `recovery`): after it the owner stores nothing more on that day.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore};
use tokio::time::{sleep, timeout};

use crate::sink::{Compression, OPERATION_TIME, SinkError, in_time, put_new, read, store_error};

/// How long a put may take. After that its outcome is unknown. A store's own client should give up earlier.
const PUT_TIME: Duration = Duration::from_secs(60);
/// How long finding out may take.
const SETTLE_TIME: Duration = Duration::from_secs(30);
/// How often an empty object is tried under the chunk's name.
const SETTLE_TRIES: u32 = 6;
/// The wait before the second of these tries; each further wait is twice as long.
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// The result of storing a chunk.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It is in the sink.
    Yes,
    /// It is not and never will be, and nothing was sent under its name: the name is free.
    Refused(SinkError),
    /// It is not and never will be: its name is taken by an empty object. The owner stores nothing more on that day.
    Sealed(SinkError),
    /// Unknown. The owner stores nothing more on that day, and the recovery of its items finds out.
    Unknown(SinkError),
}

/// The object under the name of a chunk.
enum Found {
    /// Our bytes.
    Ours,
    /// An empty object.
    Seal,
    /// Nothing.
    Nothing,
    /// Bytes that are not ours.
    Other,
}

/// Create the object of one chunk, compressed or not. `lines` must not be empty: an empty object is a part of a seal.
pub(crate) async fn store_chunk(
    store: &dyn ObjectStore,
    chunk: &Path,
    compression: Compression,
    lines: Vec<u8>,
) -> Stored {
    let path = compression.name(chunk);
    let content = match compression.pack(lines).await {
        Ok(content) => content,
        Err(error) => {
            return Stored::Refused(SinkError::Store { action: "compress", path, message: error.to_string() });
        }
    };
    let error = match in_time(PUT_TIME, put_new(store, &path, content.clone())).await {
        Ok(()) => return Stored::Yes,
        Err(error) => error,
    };
    if is_refusal(&error) {
        return Stored::Refused(store_error("write", &path, &error));
    }
    if matches!(error, Error::AlreadyExists { .. }) {
        // A seal, or our own object: a store's client may repeat a put whose answer was lost.
        match look(store, &path, &content).await {
            Ok(Found::Ours) => return Stored::Yes,
            Ok(Found::Seal) => return Stored::Sealed(SinkError::Sealed(path)),
            // S3 refuses a put that meets another one under the same name in the same way, and then neither may be
            // there.
            Ok(Found::Nothing | Found::Other) | Err(_) => {}
        }
    }
    let error = store_error("write", &path, &error);
    match timeout(SETTLE_TIME, settle(store, &path, &content)).await {
        Ok(Some(true)) => {
            tracing::warn!(%error, "the sink returned an error, but it has stored the chunk");
            Stored::Yes
        }
        Ok(Some(false)) => Stored::Sealed(error),
        Ok(None) | Err(_) => Stored::Unknown(error),
    }
}

/// Errors that are raised before anything is sent. All others may have been preceded by a put that landed: also "access denied",
/// for a store's client repeats what fails, and may be told so at the second time only.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. })
}

/// Whether the chunk is stored, once that cannot change any more; `None`: it was not found out.
async fn settle(store: &dyn ObjectStore, path: &Path, content: &Bytes) -> Option<bool> {
    for round in 0..SETTLE_TRIES {
        if round > 0 {
            sleep(SETTLE_PAUSE * 2_u32.saturating_pow(round - 1)).await;
        }
        match in_time(OPERATION_TIME, put_new(store, path, Bytes::new())).await {
            Ok(()) => return Some(false),
            Err(Error::AlreadyExists { .. }) => match look(store, path, content).await {
                Ok(Found::Ours) => return Some(true),
                Ok(Found::Seal) => return Some(false),
                Ok(Found::Other) => return None,
                Ok(Found::Nothing) | Err(_) => {}
            },
            Err(_) => {}
        }
    }
    None
}

async fn look(store: &dyn ObjectStore, path: &Path, content: &Bytes) -> object_store::Result<Found> {
    match read(store, path).await {
        Ok(found) if found.is_empty() => Ok(Found::Seal),
        Ok(found) if found == *content => Ok(Found::Ours),
        Ok(_) => Ok(Found::Other),
        Err(Error::NotFound { .. }) => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}
