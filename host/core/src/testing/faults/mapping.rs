//! A mapping with faults.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use crate::mapping::{Mapping, MappingChange, MappingError, MappingState};
use crate::testing::faults::injector::Port;
use crate::testing::faults::plan::Operation;

/// One process' mapping, with the faults of a plan.
#[derive(Clone)]
pub struct FaultyMapping {
    inner: Arc<dyn Mapping>,
    port: Port,
}

impl FaultyMapping {
    /// `inner` with faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Mapping>, port: Port) -> Self {
        Self { inner, port }
    }
}

#[async_trait]
impl Mapping for FaultyMapping {
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
        let run = || {
            let (inner, provider) = (Arc::clone(&self.inner), provider.to_owned());
            async move { inner.read(&provider).await }.boxed()
        };
        let late = || run().map(drop).boxed();
        self.port
            .call(Operation::ReadMapping, || provider.to_owned(), run, late, |why| mapping_error(provider, why))
            .await
    }

    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError> {
        let run = || {
            let (inner, provider) = (Arc::clone(&self.inner), provider.to_owned());
            async move { inner.apply(&provider, change).await }.boxed()
        };
        let late = || run().map(drop).boxed();
        let what = || format!("{provider} to {change:?}");
        self.port.call(Operation::ChangeMapping, what, run, late, |why| mapping_error(provider, why)).await
    }
}

fn mapping_error(provider: &str, message: &'static str) -> MappingError {
    MappingError::Failed { provider: provider.to_owned(), message: message.to_owned() }
}
