//! What an owner that was taken for dead has stored.
//!
//! A claim expired: its owner crashed, or is slow beyond measure. Before the item is fetched again, that owner's objects are
//! read, and the owner is sealed so that it cannot store the item later, beside the second fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::OnceCell;

use crate::item::Identity;
use crate::ledger::Abandoned;
use crate::sink::{Compression, LineKey, SinkError, Unpacker, create, object_path, owner_folder, read, store_error};

/// The identities that an abandoned owner has stored, for one day. Seals the owner first: see the module's words.
///
/// # Errors
/// Where the store fails; nothing may be concluded then.
pub async fn recover(
    store: &dyn ObjectStore,
    provider: &str,
    identity_params: &[String],
    abandoned: &Abandoned,
) -> Result<BTreeSet<Identity>, SinkError> {
    let mut stored = BTreeSet::new();
    for object in sealed(store, provider, abandoned).await? {
        let lines = lines(store, &object).await?;
        let keys = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<LineKey>(line).ok());
        stored.extend(keys.filter_map(|key| Identity::of(&key.id, &key.params, identity_params).ok()));
    }
    Ok(stored)
}

/// Sees to it that an owner stores nothing more, and tells what it has stored.
async fn sealed(store: &dyn ObjectStore, provider: &str, abandoned: &Abandoned) -> Result<Vec<Path>, SinkError> {
    let folder = owner_folder(provider, abandoned.day, &abandoned.owner);
    loop {
        let listed: Vec<_> =
            store.list(Some(&folder)).try_collect().await.map_err(|error| store_error("list", &folder, &error))?;
        // An empty object is a part of a seal; what holds something is a chunk.
        let (empty, chunks): (Vec<_>, Vec<_>) = listed.into_iter().partition(|object| object.size == 0);
        let next = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let chunk = object_path(provider, abandoned.day, &abandoned.owner, next);
        // Nobody knows how the owner compresses: it may be of another deployment.
        let seal = Compression::ALL.map(|compression| compression.name(&chunk));
        let missing = seal.iter().filter(|name| !empty.iter().any(|object| object.location == **name));
        let mut is_sealed = true;
        for name in missing {
            match create(store, name, Bytes::new()).await {
                Ok(()) => {}
                // The owner, or another recoverer, was quicker: look again.
                Err(SinkError::Sealed(_)) => is_sealed = false,
                Err(error) => return Err(error),
            }
        }
        if is_sealed {
            return Ok(chunks.into_iter().map(|object| object.location).collect());
        }
    }
}

/// An object's lines.
async fn lines(store: &dyn ObjectStore, object: &Path) -> Result<Vec<u8>, SinkError> {
    let content = read(store, object).await?;
    let mut lines = Vec::new();
    let unpacked = Unpacker::new(Compression::of(object).unwrap_or_default()).and_then(|mut unpacker| {
        unpacker.unpack(&content, |piece| lines.extend_from_slice(piece))?;
        unpacker.end()
    });
    let damaged =
        |error: io::Error| SinkError::Store { action: "read", path: object.clone(), message: error.to_string() };
    unpacked.map(|()| lines).map_err(damaged)
}

/// The identities that one owner has stored, once they have been read.
type Stored = Arc<OnceCell<BTreeSet<Identity>>>;

/// What each abandoned owner had stored, read once for all of its items.
#[derive(Debug, Default)]
pub struct Recoveries {
    owners: Mutex<BTreeMap<Abandoned, Stored>>,
}

impl Recoveries {
    /// Whether one of these abandoned owners has stored the item.
    ///
    /// # Errors
    /// Where the store fails.
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

    use super::*;
    use crate::ledger::Owner;
    use crate::sink::store_chunk;

    fn abandoned() -> Abandoned {
        Abandoned { day: "2026-11-22".parse().unwrap(), owner: Owner::from("dead") }
    }

    async fn store(store: &InMemory, chunk: u32, content: &'static [u8]) -> Result<(), SinkError> {
        store_as(Compression::None, store, chunk, content).await
    }

    async fn store_as(
        compression: Compression,
        store: &InMemory,
        chunk: u32,
        content: &'static [u8],
    ) -> Result<(), SinkError> {
        let path = object_path("demo", abandoned().day, &abandoned().owner, chunk);
        store_chunk(store, &path, compression, content.to_vec()).await
    }

    async fn recovered(store: &InMemory) -> Vec<String> {
        let stored = recover(store, "demo", &[], &abandoned()).await.unwrap();
        stored.iter().map(|identity| identity.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn what_is_in_the_objects_is_found_and_a_torn_line_is_not() {
        let memory = InMemory::new();
        store(&memory, 0, b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n").await.unwrap();
        store(&memory, 1, b"{\"id\":\"c\"}\n{\"id\":\"d").await.unwrap();
        assert_eq!(recovered(&memory).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_sealed_owner_can_store_nothing_more_however_it_compresses() {
        for (before, after) in [Compression::None, Compression::Zstd]
            .into_iter()
            .flat_map(|one| Compression::ALL.map(|other| (one, other)))
        {
            let memory = InMemory::new();
            store_as(before, &memory, 0, b"{\"id\":\"a\"}\n").await.unwrap();
            assert_eq!(recovered(&memory).await, ["a"]);
            let late = store_as(after, &memory, 1, b"{\"id\":\"late\"}\n").await;
            assert!(matches!(late, Err(SinkError::Sealed(_))), "{before}, {after}: {late:?}");
            assert_eq!(recovered(&memory).await, ["a"], "a second recoverer reads the same");
        }
    }

    #[tokio::test]
    async fn an_owner_that_stored_nothing_is_sealed_too() {
        let memory = InMemory::new();
        assert!(recovered(&memory).await.is_empty());
        for compression in Compression::ALL {
            assert!(store_as(compression, &memory, 0, b"{\"id\":\"late\"}\n").await.is_err());
        }
    }

    /// A recoverer died, or the owner was quicker, between the two names of a seal.
    #[tokio::test]
    async fn half_a_seal_is_made_whole() {
        let memory = InMemory::new();
        store_as(Compression::Zstd, &memory, 0, b"{\"id\":\"a\"}\n").await.unwrap();
        let half = object_path("demo", abandoned().day, &abandoned().owner, 1);
        create(&memory, &half, Bytes::new()).await.unwrap();
        store_as(Compression::Zstd, &memory, 1, b"{\"id\":\"b\"}\n").await.unwrap();
        assert_eq!(recovered(&memory).await, ["a", "b"]);
        for compression in Compression::ALL {
            let late = store_as(compression, &memory, 2, b"{\"id\":\"late\"}\n").await;
            assert!(matches!(late, Err(SinkError::Sealed(_))), "{late:?}");
        }
    }

    #[tokio::test]
    async fn from_a_damaged_object_nothing_is_concluded() {
        let memory = InMemory::new();
        let path = Compression::Zstd.name(&object_path("demo", abandoned().day, &abandoned().owner, 0));
        create(&memory, &path, Bytes::from_static(b"{\"id\":\"a\"}\n")).await.unwrap();
        let error = recover(&memory, "demo", &[], &abandoned()).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot read demo/2026-11-22/dead/000000.ndjson.zst: "), "{error}");
    }
}
