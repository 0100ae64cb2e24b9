//! Dead letters in the bucket: kept as `dead-letters/PROVIDER/SEQUENCE.json`, listed, shown and redriven.
//!
//! A redrive opens the ledger's row, feeds the payload again, and moves the letter to `dead-letters-redriven/`; in that
//! order, so that a crash in between leaves a letter that can be redriven once more. An item that is fed twice is
//! fetched once.

mod listing;
mod redrive;

use std::sync::Arc;

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::dead_letter::DeadLetter;
use damper_core::error_chain::error_chain;
use damper_core::item::SequenceNumber;
use damper_core::ledger::{Claimed, LedgerError};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

pub use damper_core::dead_letter::{Filter, Redriven};
pub use listing::Detail;
pub use redrive::{Redrive, RedriveError};

const PENDING_FOLDER: &str = "dead-letters";
const REDRIVEN_FOLDER: &str = "dead-letters-redriven";
/// How many letters are read side by side.
const SIDE_BY_SIDE: usize = 16;

/// A dead letter as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLetter {
    /// The item's identity, where the entry was an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<damper_core::item::Identity>,
    /// The day for which it was given up on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// When it was redriven; `None`: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven: Option<Timestamp>,
    /// The letter itself.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// Why dead letters were not read or written.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    /// The bucket failed.
    #[error("the bucket failed to {action} {path}: {message}")]
    Store {
        /// The action that failed.
        action: &'static str,
        /// With which object.
        path: String,
        /// The object store's message.
        message: String,
    },
    /// A stored letter cannot be read.
    #[error("{path} is not a dead letter: {message}; move it away")]
    Unreadable {
        /// Which object.
        path: String,
        /// The problem.
        message: String,
    },
}

/// The dead letters in a bucket.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use damper_aws::{Letters, dead_letters::{Detail, Filter}};
/// # use damper_core::sink::create;
/// # let bucket = Arc::new(object_store::memory::InMemory::new());
/// // A letter as the ledger stores it.
/// let letter = r#"{"identity": "42", "day": "2026-11-22", "provider": "gleif", "sequence": "4963",
///     "arrived": "2026-11-22T10:00:00Z", "died": "2026-11-22T10:00:09Z", "payload": "{\"id\":\"42\"}",
///     "reason": "not-found", "message": "no such record", "status": 404, "attempts": 1, "component": "sha256:00"}"#;
/// create(&*bucket, &"dead-letters/gleif/4963.json".into(), letter.into()).await?;
///
/// let letters = Letters::new(bucket);
/// let filter = Filter { provider: Some("gleif".to_owned()), ..Filter::default() };
/// let found = letters.list(&filter, 10, Detail::Head).await?;
/// assert_eq!(found.len(), 1);
/// assert_eq!((found[0].letter.status, &*found[0].letter.message), (Some(404), "no such record"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Letters {
    store: Arc<dyn ObjectStore>,
}

impl Letters {
    /// The letters in this bucket.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Keep a letter. One of a claimed item is written anew where the item was redriven and died again; one of an entry
    /// that is no item is kept once.
    pub(crate) async fn store(&self, letter: &DeadLetter, claimed: Option<&Claimed>) -> Result<(), LedgerError> {
        let stored = StoredLetter {
            identity: claimed.map(|claimed| claimed.identity.clone()),
            day: claimed.map(|claimed| claimed.day),
            redriven: None,
            letter: letter.clone(),
        };
        let mode = if claimed.is_some() { PutMode::Overwrite } else { PutMode::Create };
        self.put(PENDING_FOLDER, &stored, mode)
            .await
            .map_err(|error| LedgerError::Failed { action: "keep a dead letter", message: error.to_string() })
    }

    /// One letter by its entry, redriven or not; `None` if there is none.
    ///
    /// # Errors
    /// If the bucket fails, or holds what is no letter.
    pub async fn show(&self, provider: &str, sequence: &SequenceNumber) -> Result<Option<StoredLetter>, LettersError> {
        for folder in [PENDING_FOLDER, REDRIVEN_FOLDER] {
            if let Some(letter) = self.read(&path(folder, provider, sequence)).await? {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// The letter was redriven.
    async fn move_redriven(&self, stored: StoredLetter, now: Timestamp) -> Result<(), LettersError> {
        let kept = path(PENDING_FOLDER, &stored.letter.provider, &stored.letter.sequence);
        let stored = StoredLetter { redriven: Some(now), ..stored };
        self.put(REDRIVEN_FOLDER, &stored, PutMode::Overwrite).await?;
        match self.store.delete(&kept).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error("delete", &kept, &error)),
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<StoredLetter>, LettersError> {
        let answer = match self.store.get(path).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_error("read", path, &error)),
        };
        let bytes = answer.bytes().await.map_err(|error| store_error("read", path, &error))?;
        let unreadable =
            |error: serde_json::Error| LettersError::Unreadable { path: path.to_string(), message: error.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    async fn put(&self, folder: &str, stored: &StoredLetter, mode: PutMode) -> Result<(), LettersError> {
        let path = path(folder, &stored.letter.provider, &stored.letter.sequence);
        let unreadable =
            |error: serde_json::Error| LettersError::Unreadable { path: path.to_string(), message: error.to_string() };
        let json = serde_json::to_vec(stored).map_err(unreadable)?;
        match self.store.put_opts(&path, Bytes::from(json).into(), PutOptions { mode, ..PutOptions::default() }).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(store_error("write", &path, &error)),
        }
    }
}

fn path(folder: &str, provider: &str, sequence: &SequenceNumber) -> Path {
    Path::from(format!("{folder}/{provider}/{sequence}.json"))
}

fn store_error(action: &'static str, path: &Path, error: &object_store::Error) -> LettersError {
    // A list's error has no kind of its own: what S3 said is in its text alone.
    let message = match error_chain(error) {
        text if text.contains("<Code>NoSuchBucket</Code>") => {
            "there is no such bucket: deploy the shared stack, or check the bucket's name and the region".to_owned()
        }
        text if text.contains("<Code>AccessDenied</Code>") => {
            "access denied: allow s3:ListBucket of the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject in it"
                .to_owned()
        }
        text => text,
    };
    LettersError::Store { action, path: path.to_string(), message }
}
