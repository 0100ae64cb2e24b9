//! Recovery of the records that an abandoned owner has stored.
//!
//! A claim expired: its owner crashed, or is very slow. Before the item is fetched again, that owner is *sealed*, so
//! that it cannot store the item later, in addition to the second fetch; then its objects are read.
//!
//! **Which number.** The highest stored number shows how far the owner has come. If a chunk is stored under it, the
//! seal goes to the next number; if only empty objects exist, these are the seal, or a part of one that is completed.
//! Gaps below do not matter: these chunks were moved away, and no put of them can be in flight, since an owner takes a
//! number only when it knows that the chunk before is stored. They are not filled, either: an empty object could
//! overwrite the chunk where it was moved to.
//!
//! **It ends.** A seal is tried a fixed number of times, with pauses; each operation has a time limit; a call that
//! waits for a recovery gives up when it is asked to stop (`BatchContext::has_stored`). Objects that were created until
//! then do no harm, and the next recovery continues from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::item::Identity;
use crate::ledger::Abandoned;
use crate::sink::{
    Compression, LineKey, OPERATION_TIME, SinkError, Unpacker, create, in_time, object_path, owner_folder, read,
    store_error,
};

/// How often a seal is tried. Two tries are enough where the owner is dead: one creates it, one sees it.
const SEAL_TRIES: u32 = 8;
/// The wait before the third try; each further wait is twice as long.
const SEAL_PAUSE: Duration = Duration::from_millis(100);
/// How many objects are read at a time.
const READERS: usize = 4;

/// The identities that an abandoned owner has stored, for one day. Seals the owner first: see the module's
/// documentation.
///
/// # Errors
/// If the store fails; nothing may be concluded then.
pub async fn recover(
    store: &dyn ObjectStore,
    provider: &str,
    identity_params: &[String],
    abandoned: &Abandoned,
) -> Result<BTreeSet<Identity>, SinkError> {
    let chunks = seal(store, provider, abandoned).await?;
    let reads: Vec<_> = chunks.iter().map(|chunk| identities(store, chunk, identity_params)).collect();
    let mut reads = stream::iter(reads).buffer_unordered(READERS);
    let mut stored = BTreeSet::new();
    while let Some(identities) = reads.try_next().await? {
        stored.extend(identities);
    }
    Ok(stored)
}

/// An object of an owner, by its name.
struct Numbered {
    number: u32,
    compression: Compression,
    path: Path,
    /// A part of a seal; what holds something is a chunk.
    is_empty: bool,
}

impl Numbered {
    /// `None`: the owner gives no object such a name.
    fn of(object: ObjectMeta, provider: &str, abandoned: &Abandoned) -> Option<Self> {
        let compression = Compression::of(&object.location)?;
        let number = object.location.filename()?.strip_suffix(compression.ending())?.parse().ok()?;
        let name = compression.name(&object_path(provider, abandoned.day, &abandoned.owner, number));
        let is_empty = object.size == 0;
        (name == object.location).then_some(Self { number, compression, path: object.location, is_empty })
    }
}

/// The number that a seal has, and under which names it is missing there. The owner's compression is unknown, because
/// it may be of another deployment: a seal is complete when all names are taken by empty objects.
fn missing(objects: &[Numbered]) -> (u32, Vec<Compression>) {
    let Some(highest) = objects.iter().map(|object| object.number).max() else {
        return (0, Compression::ALL.to_vec());
    };
    let (empty, chunks): (Vec<_>, Vec<_>) =
        objects.iter().filter(|object| object.number == highest).partition(|object| object.is_empty);
    if !chunks.is_empty() {
        return (highest.saturating_add(1), Compression::ALL.to_vec());
    }
    let is_missing = |name: &Compression| empty.iter().all(|object| object.compression != *name);
    (highest, Compression::ALL.into_iter().filter(is_missing).collect())
}

/// Seal an owner, so that it stores nothing more, and list the chunks that it has stored.
async fn seal(store: &dyn ObjectStore, provider: &str, abandoned: &Abandoned) -> Result<Vec<Path>, SinkError> {
    let folder = owner_folder(provider, abandoned.day, &abandoned.owner);
    let mut failed = None;
    for round in 0..SEAL_TRIES {
        if let Some(waits) = round.checked_sub(2) {
            sleep(SEAL_PAUSE * 2_u32.saturating_pow(waits)).await;
        }
        let listed: Vec<_> = in_time(OPERATION_TIME, store.list(Some(&folder)).try_collect())
            .await
            .map_err(|error| store_error("list", &folder, &error))?;
        let objects: Vec<_> =
            listed.into_iter().filter_map(|object| Numbered::of(object, provider, abandoned)).collect();
        let (number, missing) = missing(&objects);
        if missing.is_empty() {
            return Ok(objects.into_iter().filter(|object| !object.is_empty).map(|object| object.path).collect());
        }
        let chunk = object_path(provider, abandoned.day, &abandoned.owner, number);
        for compression in missing {
            match create(store, &compression.name(&chunk), Bytes::new()).await {
                // If the owner or another recovery was quicker, the next list shows it.
                Ok(()) | Err(SinkError::Sealed(_)) => {}
                // It may be there all the same.
                Err(error) => failed = Some(error),
            }
        }
    }
    Err(failed.unwrap_or(SinkError::NotSealed { folder, tries: SEAL_TRIES }))
}

/// The identities of one chunk. A chunk that has been moved away since it was listed has none: its identities are
/// unknown.
async fn identities(
    store: &dyn ObjectStore,
    chunk: &Path,
    identity_params: &[String],
) -> Result<Vec<Identity>, SinkError> {
    let content = match read(store, chunk).await {
        Ok(content) => content,
        Err(Error::NotFound { .. }) => {
            tracing::warn!(%chunk, "the chunk was removed before its items were finished in the ledger; they may be fetched again");
            return Ok(Vec::new());
        }
        Err(error) => return Err(store_error("read", chunk, &error)),
    };
    let lines = lines(chunk, &content)?;
    let keys = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<LineKey>(line).ok());
    Ok(keys.filter_map(|key| Identity::of(&key.id, &key.params, identity_params).ok()).collect())
}

/// An object's lines.
fn lines(object: &Path, content: &[u8]) -> Result<Vec<u8>, SinkError> {
    let mut lines = Vec::new();
    let unpacked = Unpacker::new(Compression::of(object).unwrap_or_default()).and_then(|mut unpacker| {
        unpacker.unpack(content, |piece| lines.extend_from_slice(piece))?;
        unpacker.end()
    });
    let damaged =
        |error: io::Error| SinkError::Store { action: "read", path: object.clone(), message: error.to_string() };
    unpacked.map(|()| lines).map_err(damaged)
}

/// The identities that one owner has stored, once they have been read.
type Stored = Arc<OnceCell<BTreeSet<Identity>>>;

/// The identities that each abandoned owner had stored, read once for all of its items.
#[derive(Debug, Default)]
pub struct Recoveries {
    owners: Mutex<BTreeMap<Abandoned, Stored>>,
}

impl Recoveries {
    /// Whether one of these abandoned owners has stored the item.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_stored(
        &self,
        store: &dyn ObjectStore,
        provider: &str,
        identity_params: &[String],
        abandoned: &[Abandoned],
        identity: &Identity,
    ) -> Result<bool, SinkError> {
        for owner in abandoned {
            let cell = {
                let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(owners.entry(owner.clone()).or_default())
            };
            let stored = cell.get_or_try_init(|| recover(store, provider, identity_params, owner)).await?;
            if stored.contains(identity) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;
    use crate::ledger::Owner;
    use crate::sink::{Stored, store_chunk};
    use crate::testing::store::{FaultyStore, StoreAction, StoreFault};

    fn abandoned_owner() -> Abandoned {
        Abandoned { day: "2026-11-22".parse().unwrap(), owner: Owner::from("dead") }
    }

    async fn store(store: &InMemory, chunk: u32, content: &'static [u8]) -> Stored {
        store_as(Compression::None, store, chunk, content).await
    }

    async fn store_as(compression: Compression, store: &InMemory, chunk: u32, content: &'static [u8]) -> Stored {
        let path = object_path("demo", abandoned_owner().day, &abandoned_owner().owner, chunk);
        store_chunk(store, &path, compression, content.to_vec()).await
    }

    async fn recover_ids(store: &dyn ObjectStore) -> Vec<String> {
        let stored = recover(store, "demo", &[], &abandoned_owner()).await.unwrap();
        stored.iter().map(|identity| identity.as_str().to_owned()).collect()
    }

    async fn is_sealed_at(memory: &InMemory, chunk: u32) -> bool {
        for compression in Compression::ALL {
            let late = store_as(compression, memory, chunk, b"{\"id\":\"late\"}\n").await;
            if !matches!(late, Stored::Sealed(SinkError::Sealed(_))) {
                return false;
            }
        }
        true
    }

    #[tokio::test]
    async fn what_is_in_the_objects_is_found_and_a_torn_line_is_not() {
        let memory = InMemory::new();
        store(&memory, 0, b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n").await;
        store(&memory, 1, b"{\"id\":\"c\"}\n{\"id\":\"d").await;
        assert_eq!(recover_ids(&memory).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_sealed_owner_can_store_nothing_more_however_it_compresses() {
        for compression in Compression::ALL {
            let memory = InMemory::new();
            assert!(matches!(store_as(compression, &memory, 0, b"{\"id\":\"a\"}\n").await, Stored::Yes));
            assert_eq!(recover_ids(&memory).await, ["a"]);
            assert!(is_sealed_at(&memory, 1).await, "{compression}");
            assert_eq!(recover_ids(&memory).await, ["a"], "a second recoverer reads the same");
        }
    }

    #[tokio::test]
    async fn an_owner_that_stored_nothing_is_sealed_too() {
        let memory = InMemory::new();
        assert!(recover_ids(&memory).await.is_empty());
        assert!(is_sealed_at(&memory, 0).await);
    }

    /// A recoverer died, or the owner was quicker, between the two names of a seal.
    #[tokio::test]
    async fn half_a_seal_is_made_whole() {
        let memory = InMemory::new();
        store_as(Compression::Zstd, &memory, 0, b"{\"id\":\"a\"}\n").await;
        let half = object_path("demo", abandoned_owner().day, &abandoned_owner().owner, 1);
        create(&memory, &half, Bytes::new()).await.unwrap();
        store_as(Compression::Zstd, &memory, 1, b"{\"id\":\"b\"}\n").await;
        assert_eq!(recover_ids(&memory).await, ["a", "b"]);
        assert!(is_sealed_at(&memory, 2).await);
        let half = InMemory::new();
        create(&half, &object_path("demo", abandoned_owner().day, &abandoned_owner().owner, 0), Bytes::new())
            .await
            .unwrap();
        assert!(recover_ids(&half).await.is_empty());
        assert!(is_sealed_at(&half, 0).await, "a chunk's name that its owner has taken itself");
    }

    #[tokio::test(start_paused = true)]
    async fn the_seal_goes_behind_the_highest_number_whatever_is_missing_below() {
        let memory = InMemory::new();
        for (chunk, content) in [(0, "{\"id\":\"a\"}\n"), (1, "{\"id\":\"b\"}\n"), (2, "{\"id\":\"c\"}\n")] {
            store(&memory, chunk, content.as_bytes()).await;
        }
        memory.delete(&object_path("demo", abandoned_owner().day, &abandoned_owner().owner, 0)).await.unwrap();
        memory.delete(&object_path("demo", abandoned_owner().day, &abandoned_owner().owner, 1)).await.unwrap();
        assert_eq!(recover_ids(&memory).await, ["c"]);
        assert!(is_sealed_at(&memory, 3).await);
        assert_eq!(memory.list(None).count().await, 3, "gaps are not filled");
        assert_eq!(recover_ids(&memory).await, ["c"], "again");
    }

    #[tokio::test]
    async fn names_that_no_owner_gives_are_ignored() {
        let memory = InMemory::new();
        store(&memory, 0, b"{\"id\":\"a\"}\n").await;
        let folder = owner_folder("demo", abandoned_owner().day, &abandoned_owner().owner);
        for name in ["7.ndjson", "0000007.ndjson", "000007.json", "000007.ndjson.gz", "x.ndjson", "done/000007.ndjson"]
        {
            memory.put(&Path::from(format!("{folder}/{name}")), PutPayload::from("{\"id\":\"z\"}\n")).await.unwrap();
        }
        assert_eq!(recover_ids(&memory).await, ["a"]);
        assert!(is_sealed_at(&memory, 1).await);
    }

    /// It was listed, and a consumer was quicker.
    #[tokio::test]
    async fn a_chunk_that_vanishes_between_list_and_read_stalls_nobody() {
        let memory = Arc::new(InMemory::new());
        store(&memory, 0, b"{\"id\":\"a\"}\n").await;
        store(&memory, 1, b"{\"id\":\"b\"}\n").await;
        let moved = FaultyStore::new(memory, |operation| match operation.action {
            StoreAction::Get if operation.path.as_ref().ends_with("000000.ndjson") => StoreFault::Vanished,
            _ => StoreFault::None,
        });
        assert_eq!(recover_ids(&moved).await, ["b"]);
    }

    /// A store whose list lacks what its puts are refused for, or an owner that is always quicker.
    #[tokio::test(start_paused = true)]
    async fn a_seal_that_cannot_be_made_ends_with_an_error() {
        let contrary = FaultyStore::new(Arc::new(InMemory::new()), |operation| match operation.action {
            StoreAction::Put { .. } => StoreFault::Vanished,
            StoreAction::List => StoreFault::Slow(Duration::from_millis(1)),
            StoreAction::Get => StoreFault::None,
        });
        let sealed =
            tokio::time::timeout(Duration::from_secs(60), recover(&contrary, "demo", &[], &abandoned_owner())).await;
        let error = sealed.expect("it ends").unwrap_err().to_string();
        assert!(error.starts_with("cannot seal demo/2026-11-22/dead after 8 tries"), "{error}");
    }

    #[tokio::test]
    async fn from_a_damaged_object_nothing_is_concluded() {
        let memory = InMemory::new();
        let path = Compression::Zstd.name(&object_path("demo", abandoned_owner().day, &abandoned_owner().owner, 0));
        create(&memory, &path, Bytes::from_static(b"{\"id\":\"a\"}\n")).await.unwrap();
        let error = recover(&memory, "demo", &[], &abandoned_owner()).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot read demo/2026-11-22/dead/000000.ndjson.zst: "), "{error}");
    }
}
