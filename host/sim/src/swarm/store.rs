//! The sink in memory, which records every record that is put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde::Deserialize;

/// A record in the sink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct RecordKey {
    pub(super) provider: String,
    pub(super) id: String,
    pub(super) day: String,
}

/// The records that have arrived in the sink.
#[derive(Debug, Default)]
struct StoredRecords {
    /// The object of each record.
    records: BTreeMap<RecordKey, Path>,
    /// Every id of which there ever was a record, with its provider.
    ever: BTreeSet<(String, String)>,
    /// Records of which there were two, and which.
    doubled: Option<(RecordKey, Path, Path)>,
}

/// The sink of all processes.
#[derive(Debug, Default)]
pub(super) struct WatchedStore {
    inner: InMemory,
    seen: Mutex<StoredRecords>,
}

impl WatchedStore {
    /// A record that was stored twice.
    pub(super) fn duplicate_record(&self) -> Option<(RecordKey, Path, Path)> {
        self.lock_seen().doubled.clone()
    }

    /// Whether there is, or was, a record of this id on any day.
    pub(super) fn has_record(&self, provider: &str, id: &str) -> bool {
        self.lock_seen().ever.contains(&(provider.to_owned(), id.to_owned()))
    }

    /// Take out an object with records: the one that comes `nth` of all but the newest of each owner. Those of its
    /// records that `is_finished` does not know may come again. Answers which object it was.
    ///
    /// The newest one of an owner that is at work must stay, for its number tells how far the owner has come: see
    /// docs/FAULTS.md.
    pub(super) async fn take_out(&self, nth: usize, is_finished: impl Fn(&RecordKey) -> bool) -> Option<Path> {
        let listed: Vec<ObjectMeta> = self.inner.list(None).try_collect().await.ok()?;
        let mut objects: Vec<Path> =
            listed.into_iter().filter(|object| object.size > 0).map(|object| object.location).collect();
        objects.sort();
        let folder = |object: &Path| object.as_ref().rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let next: Vec<Option<String>> = objects.iter().skip(1).map(folder).chain([None]).collect();
        let older = objects.into_iter().zip(next).filter(|(object, next)| folder(object) == *next);
        let objects: Vec<Path> = older.map(|(object, _)| object).collect();
        let chosen = objects.get(nth.checked_rem(objects.len())?)?.clone();
        self.inner.delete(&chosen).await.ok()?;
        self.lock_seen().records.retain(|key, object| *object != chosen || is_finished(key));
        Some(chosen)
    }

    fn record_object(&self, location: &Path, content: &[u8]) {
        let mut seen = self.lock_seen();
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(key) = serde_json::from_slice::<RecordKey>(line) else { continue };
            seen.ever.insert((key.provider.clone(), key.id.clone()));
            if let Some(before) = seen.records.insert(key.clone(), location.clone()) {
                seen.doubled.get_or_insert((key, before, location.clone()));
            }
        }
    }

    fn lock_seen(&self) -> MutexGuard<'_, StoredRecords> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedStore")
    }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let content: Vec<u8> = payload.iter().flatten().copied().collect();
        let result = self.inner.put_opts(location, payload, options).await?;
        self.record_object(location, &content);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
