//! The ends of all items, counted in three places that must agree: the shard, the ledger and the sink.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use damper_core::testing::memory::{MemoryLedger, RowState};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;

use super::manifest::PROVIDER;
use super::shard::{Counts, Shard};
use crate::locks::lock;

/// The ends of the items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Items that were fed; of an endless backlog those that were delivered.
    pub fed: u64,
    /// Items whose record is in the sink.
    pub fetched: u64,
    /// Items that another of the same identity settled.
    pub skipped: u64,
    /// Items given up on.
    pub dead_letters: u64,
    /// Items that have not ended.
    pub pending: u64,
}

impl Books {
    /// These and another client's.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            fed: self.fed + other.fed,
            fetched: self.fetched + other.fetched,
            skipped: self.skipped + other.skipped,
            dead_letters: self.dead_letters + other.dead_letters,
            pending: self.pending + other.pending,
        }
    }

    /// Close the books of one client.
    ///
    /// # Errors
    /// Says what does not agree.
    pub(super) async fn close(
        shard: &Arc<Mutex<Shard>>,
        ledger: &MemoryLedger,
        sink: &Arc<InMemory>,
    ) -> Result<Self, String> {
        let (Counts { fetched, skipped, dead }, fed, ended) = {
            let shard = lock(shard);
            (shard.counts(), shard.deliverable_count(), shard.ended_count())
        };
        let pending = fed.checked_sub(ended).ok_or_else(|| format!("{ended} items ended of {fed} that were fed"))?;
        let (lines, ids) = count_stored(sink).await?;
        let rows = ledger.rows(PROVIDER);
        let count = |holds: fn(&RowState) -> bool| rows.values().filter(|row| holds(&row.state)).count() as u64;
        let done = count(|state| matches!(state, RowState::Done { .. }));
        let given_up = count(|state| matches!(state, RowState::Dead { .. }));
        agree("lines in the sink and ids among them", lines, ids)?;
        agree("items fetched and ids in the sink", fetched, ids)?;
        agree("items fetched and rows that are done", fetched, done)?;
        agree("items given up on and rows that are dead", dead, given_up)?;
        agree("items given up on and letters", dead, ledger.letters(PROVIDER).len() as u64)?;
        Ok(Self { fed, fetched, skipped, dead_letters: dead, pending })
    }
}

fn agree(what: &str, one: u64, other: u64) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one} and {other}")) }
}

/// How many lines the sink holds, and how many different ids they name.
async fn count_stored(sink: &Arc<InMemory>) -> Result<(u64, u64), String> {
    let listed = sink.list_with_delimiter(None).await.map_err(|error| error.to_string())?;
    let mut folders = listed.common_prefixes;
    let (mut lines, mut ids) = (0, BTreeSet::new());
    while let Some(folder) = folders.pop() {
        let listed = sink.list_with_delimiter(Some(&folder)).await.map_err(|error| error.to_string())?;
        folders.extend(listed.common_prefixes);
        for object in listed.objects {
            let got = sink.get(&object.location).await.map_err(|error| error.to_string())?;
            let bytes = got.bytes().await.map_err(|error| error.to_string())?;
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
                lines += 1;
                ids.insert(line.id);
            }
        }
    }
    Ok((lines, ids.len() as u64))
}

#[derive(serde::Deserialize)]
struct Line {
    id: String,
}
