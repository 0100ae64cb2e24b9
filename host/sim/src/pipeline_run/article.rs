//! The article's algorithm where it belongs: it alone changes the mapping, and the governor's changes come to nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use damper_core::control::admission::Outcome;
use damper_core::mapping::{Mapping, MappingChange, MappingError, MappingState};
use damper_core::testing::mapping::MemoryMapping;

use super::manifest::PROVIDER;
use crate::locks::lock;
use crate::peers::article::Steps;
use crate::peers::initial;

/// A mapping that only the article's algorithm changes.
#[derive(Debug)]
pub(super) struct ArticleMapping {
    mapping: Arc<MemoryMapping>,
    steps: Mutex<Steps>,
}

impl ArticleMapping {
    pub(super) fn new(mapping: Arc<MemoryMapping>, most: u32) -> Self {
        let first = initial(most);
        mapping.set(MappingChange { batch_size: Some(first), enabled: None });
        Self { mapping, steps: Mutex::new(Steps::new(first, most)) }
    }

    /// A request took so long.
    pub(super) fn record_call(&self, latency: Duration, outcome: Outcome) {
        lock(&self.steps).record_call(latency, outcome);
    }

    /// Decide what is due, once a second; a change is asked for again until it applies.
    pub(super) async fn decide(&self, now: Duration) {
        let size = {
            let mut steps = lock(&self.steps);
            steps.decide(now);
            steps.batch_size()
        };
        let wanted = MappingChange { batch_size: (size > 0).then_some(size), enabled: Some(size > 0) };
        let MappingState { batch_size, enabled, pending } = self.mapping.now();
        let is_there = enabled == (size > 0) && (size == 0 || batch_size == size);
        if !is_there && !pending {
            // A memory mapping refuses a change only while one is on its way.
            let _ = self.mapping.apply(PROVIDER, wanted).await;
        }
    }
}

#[async_trait]
impl Mapping for ArticleMapping {
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
        self.mapping.read(provider).await
    }

    async fn apply(&self, _provider: &str, _change: MappingChange) -> Result<(), MappingError> {
        Ok(())
    }
}
