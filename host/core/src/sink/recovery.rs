//! What an owner that was taken for dead has stored.
//!
//! A claim expired: its owner crashed, or is slow beyond measure. Before the item is fetched again, that owner's objects are
//! read, and the owner is sealed so that it cannot store the item later, beside the second fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use tokio::sync::OnceCell;

use crate::item::Identity;
use crate::ledger::Abandoned;
use crate::sink::{LineKey, SinkError, create, object_path, owner_folder, read, store_error};

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
    let folder = owner_folder(provider, abandoned.day, &abandoned.owner);
    let objects = loop {
        let listed: Vec<_> =
            store.list(Some(&folder)).try_collect().await.map_err(|error| store_error("list", &folder, &error))?;
        // An empty object is a seal; whoever set it has the last word already.
        if listed.iter().any(|object| object.size == 0) {
            break listed;
        }
        let next = u32::try_from(listed.len()).unwrap_or(u32::MAX);
        let seal = object_path(provider, abandoned.day, &abandoned.owner, next);
        match create(store, &seal, Bytes::new()).await {
            Ok(()) => break listed,
            // The owner, or another recoverer, was quicker: look again.
            Err(SinkError::Sealed(_)) => {}
            Err(error) => return Err(error),
        }
    };
    let mut stored = BTreeSet::new();
    for object in objects.iter().filter(|object| object.size > 0) {
        let content = read(store, &object.location).await?;
        let keys = content.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<LineKey>(line).ok());
        stored.extend(keys.filter_map(|key| Identity::of(&key.id, &key.params, identity_params).ok()));
    }
    Ok(stored)
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

    fn abandoned() -> Abandoned {
        Abandoned { day: "2026-11-22".parse().unwrap(), owner: Owner::from("dead") }
    }

    async fn store(store: &InMemory, chunk: u32, content: &'static [u8]) -> Result<(), SinkError> {
        let path = object_path("demo", abandoned().day, &abandoned().owner, chunk);
        create(store, &path, Bytes::from_static(content)).await
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
    async fn a_sealed_owner_can_store_nothing_more() {
        let memory = InMemory::new();
        store(&memory, 0, b"{\"id\":\"a\"}\n").await.unwrap();
        assert_eq!(recovered(&memory).await, ["a"]);
        assert!(matches!(store(&memory, 1, b"{\"id\":\"late\"}\n").await, Err(SinkError::Sealed(_))));
        assert_eq!(recovered(&memory).await, ["a"], "a second recoverer reads the same");
    }

    #[tokio::test]
    async fn an_owner_that_stored_nothing_is_sealed_too() {
        let memory = InMemory::new();
        assert!(recovered(&memory).await.is_empty());
        assert!(store(&memory, 0, b"{\"id\":\"late\"}\n").await.is_err());
    }
}
