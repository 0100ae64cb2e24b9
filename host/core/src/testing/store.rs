//! An object store whose operations fail in every way that a real one does: the fault of each operation is chosen by a
//! plan.
//!
//! A put may have happened or not, whatever its answer says; see [`StoreFault`]. The plan sees each operation before it
//! happens, so that it can count, look at names, or draw from a seeded chance.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The actions of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// Create an object of so many bytes; 0: it is a part of a seal.
    Put {
        /// How many.
        bytes: usize,
    },
    /// Read an object.
    Get,
    /// List a folder.
    List,
}

/// One operation.
#[derive(Debug)]
pub struct StoreOperation<'a> {
    /// The action.
    pub action: StoreAction,
    /// Of which object or folder.
    pub path: &'a Path,
}

impl StoreOperation<'_> {
    /// Whether this stores a chunk.
    #[must_use]
    pub fn is_chunk(&self) -> bool {
        matches!(self.action, StoreAction::Put { bytes } if bytes > 0)
    }

    /// Whether this creates a part of a seal.
    #[must_use]
    pub fn is_seal(&self) -> bool {
        self.action == StoreAction::Put { bytes: 0 }
    }
}

/// How one operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// It works.
    None,
    /// It is answered with an error, and nothing happened.
    FailsBefore,
    /// The disk has no room for it, and nothing happened. Reads work.
    Full,
    /// It happened, and is answered with an error. Reads fail.
    AnswerLost,
    /// It happened, its answer was lost, and the client has repeated it: the repetition is refused because the object
    /// is there. Reads work.
    Repeated,
    /// It is answered with an error now and happens when [`FaultyStore::land`] is called. Reads fail.
    Late,
    /// It is answered with an error now and happens by itself after so long. Reads fail.
    LateBy(Duration),
    /// It works, and takes so long before it happens.
    Slow(Duration),
    /// It happens, and its answer takes so long.
    SlowAnswer(Duration),
    /// It is never answered, and nothing happened.
    Hangs,
    /// An object that is read does not exist any more, though it was listed a moment ago. A put is refused like one
    /// that is beaten by another at the same moment (S3's 409): as if the object were there.
    Vanished,
}

type Plan = Box<dyn Fn(&StoreOperation<'_>) -> StoreFault + Send + Sync>;

struct PutLater {
    path: Path,
    payload: PutPayload,
    options: PutOptions,
}

/// A store that fails by a plan.
///
/// The sink of a test is an in-memory object store; this one stands in front of it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use damper_core::testing::store::{FaultyStore, StoreFault};
/// use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
///
/// let memory = std::sync::Arc::new(InMemory::new());
/// let sink = FaultyStore::new(memory.clone(), |operation| {
///     if operation.is_chunk() { StoreFault::AnswerLost } else { StoreFault::None }
/// });
/// let chunk = Path::from("demo/2026-11-22/worker-1/000000.ndjson");
/// assert!(sink.put(&chunk, "{\"id\":\"42\"}\n".into()).await.is_err());
/// assert_eq!(memory.head(&chunk).await?.size, 12, "the chunk is stored all the same");
/// # Ok(())
/// # }
/// ```
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
    late: Mutex<Vec<PutLater>>,
}

impl FaultyStore {
    /// A store over `inner` in which `plan` says how each operation goes.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(&StoreOperation<'_>) -> StoreFault + Send + Sync + 'static,
    ) -> Self {
        Self { inner, plan: Arc::new(Box::new(plan)), late: Mutex::default() }
    }

    /// Let all late puts happen now, in the order in which they were asked for. Returns how many were done; the others
    /// were refused because the object was there.
    pub async fn land(&self) -> usize {
        let late = std::mem::take(&mut *self.late());
        let mut landed = 0;
        for put in late {
            landed += usize::from(self.inner.put_opts(&put.path, put.payload, put.options).await.is_ok());
        }
        landed
    }

    fn late(&self) -> MutexGuard<'_, Vec<PutLater>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, action: StoreAction, path: &Path) -> StoreFault {
        (self.plan)(&StoreOperation { action, path })
    }
}

fn store_error(what: &str) -> Error {
    Error::Generic { store: "FaultyStore", source: what.into() }
}

fn exists(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "scripted".into() }
}

/// Wait, fail or not before something is read.
async fn before_read(fault: StoreFault, path: &Path) -> Result<()> {
    match fault {
        StoreFault::None | StoreFault::Repeated | StoreFault::Full => Ok(()),
        StoreFault::Slow(wait) | StoreFault::SlowAnswer(wait) => {
            tokio::time::sleep(wait).await;
            Ok(())
        }
        StoreFault::Hangs => std::future::pending().await,
        StoreFault::Vanished => Err(Error::NotFound { path: path.to_string(), source: "scripted".into() }),
        StoreFault::FailsBefore | StoreFault::AnswerLost | StoreFault::Late | StoreFault::LateBy(_) => {
            Err(store_error("scripted: it fails"))
        }
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("late", &self.late().len()).finish_non_exhaustive()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = |payload, options| self.inner.put_opts(path, payload, options);
        match self.fault(StoreAction::Put { bytes: payload.content_length() }, path) {
            StoreFault::None => put(payload, options).await,
            StoreFault::FailsBefore => Err(store_error("scripted: nothing was stored")),
            StoreFault::Full => {
                Err(Error::Generic { store: "FaultyStore", source: io::Error::from(ErrorKind::StorageFull).into() })
            }
            StoreFault::AnswerLost => {
                put(payload, options).await?;
                Err(store_error("scripted: the answer is lost"))
            }
            StoreFault::Repeated => {
                // Whether it was this put or another that stored the object, the repetition is refused.
                put(payload, options).await.and(Err(exists(path)))
            }
            StoreFault::Late => {
                self.late().push(PutLater { path: path.clone(), payload, options });
                Err(store_error("scripted: no answer in time"))
            }
            StoreFault::LateBy(wait) => {
                let (inner, path) = (Arc::clone(&self.inner), path.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    // Nobody waits for its answer.
                    let _ = inner.put_opts(&path, payload, options).await;
                });
                Err(store_error("scripted: no answer in time"))
            }
            StoreFault::Slow(wait) => {
                tokio::time::sleep(wait).await;
                put(payload, options).await
            }
            StoreFault::SlowAnswer(wait) => {
                let answer = put(payload, options).await;
                tokio::time::sleep(wait).await;
                answer
            }
            StoreFault::Hangs => std::future::pending().await,
            StoreFault::Vanished => Err(exists(path)),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        before_read(self.fault(StoreAction::Get, path), path).await?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned());
        let folder = prefix.clone().unwrap_or_default();
        let fault = self.fault(StoreAction::List, &folder);
        // The list is as of the time at which the wait is over.
        async move { before_read(fault, &folder).await.map(|()| inner.list(prefix.as_ref())) }
            .into_stream()
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    async fn put(store: &FaultyStore) -> Result<PutResult> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&Path::from("a"), "content".into(), options).await
    }

    fn faulty(fault: StoreFault) -> (FaultyStore, Arc<InMemory>) {
        let memory = Arc::new(InMemory::new());
        (
            FaultyStore::new(
                memory.clone(),
                move |operation| if operation.is_chunk() { fault } else { StoreFault::None },
            ),
            memory,
        )
    }

    /// Whether the put is answered with success, and whether the object is there then.
    async fn outcome(fault: StoreFault) -> (bool, bool) {
        let (store, memory) = faulty(fault);
        (put(&store).await.is_ok(), memory.head(&Path::from("a")).await.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_put_is_done_or_not_whatever_its_answer_says() {
        let second = Duration::from_secs(1);
        assert_eq!(outcome(StoreFault::None).await, (true, true));
        assert_eq!(outcome(StoreFault::FailsBefore).await, (false, false));
        assert_eq!(outcome(StoreFault::Full).await, (false, false));
        assert_eq!(outcome(StoreFault::AnswerLost).await, (false, true));
        assert_eq!(outcome(StoreFault::Repeated).await, (false, true));
        assert_eq!(outcome(StoreFault::Late).await, (false, false));
        assert_eq!(outcome(StoreFault::LateBy(second)).await, (false, false));
        assert_eq!(outcome(StoreFault::Slow(second)).await, (true, true));
        assert_eq!(outcome(StoreFault::SlowAnswer(second)).await, (true, true));
        assert_eq!(outcome(StoreFault::Vanished).await, (false, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_put_lands_when_it_is_let_unless_the_name_is_taken() {
        let (store, memory) = faulty(StoreFault::Late);
        for _ in 0..2 {
            put(&store).await.unwrap_err();
        }
        assert_eq!(store.land().await, 1, "the second finds the first");
        assert_eq!(store.land().await, 0, "each lands once");
        assert!(memory.head(&Path::from("a")).await.is_ok());

        let (store, memory) = faulty(StoreFault::LateBy(Duration::from_secs(5)));
        put(&store).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(memory.head(&Path::from("a")).await.is_ok());
    }
}
