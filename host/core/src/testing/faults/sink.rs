//! An object store with faults, for what the sink uses of it: create, read, list.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::testing::faults::injector::Port;
use crate::testing::faults::plan::Operation;

/// One process' sink, with the faults of a plan.
#[derive(Clone)]
pub struct FaultySink {
    inner: Arc<dyn ObjectStore>,
    port: Port,
}

impl FaultySink {
    /// `inner` with faults.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, port: Port) -> Self {
        Self { inner, port }
    }

    async fn list_all(self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let run = || {
            let (inner, prefix) = (Arc::clone(&self.inner), prefix.clone());
            async move { inner.list(prefix.as_ref()).try_collect().await }.boxed()
        };
        let what = || prefix.as_ref().map(ToString::to_string).unwrap_or_default();
        self.port.call(Operation::List, what, run, || async {}.boxed(), store_error).await
    }
}

fn store_error(message: &'static str) -> Error {
    Error::Generic { store: "faulty", source: message.into() }
}

impl fmt::Debug for FaultySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySink").finish_non_exhaustive()
    }
}

impl fmt::Display for FaultySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultySink")
    }
}

#[async_trait]
impl ObjectStore for FaultySink {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let run = || {
            let (inner, location, payload, options) =
                (Arc::clone(&self.inner), location.clone(), payload.clone(), options.clone());
            async move { inner.put_opts(&location, payload, options).await }.boxed()
        };
        let late = || run().map(drop).boxed();
        let what = || format!("{location} of {} bytes", payload.content_length());
        self.port.call(Operation::Put, what, run, late, store_error).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(store_error("the sink puts no object in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let run = || {
            let (inner, location, options) = (Arc::clone(&self.inner), location.clone(), options.clone());
            async move { inner.get_opts(&location, options).await }.boxed()
        };
        self.port.call(Operation::Get, || location.to_string(), run, || async {}.boxed(), store_error).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = self.clone().list_all(prefix.cloned());
        let found = stream::once(listing).map_ok(|objects| stream::iter(objects.into_iter().map(Ok)));
        found.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
