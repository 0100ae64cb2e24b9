//! A mapping in memory, for tests and simulations: changes apply after a lag, and are refused while one is on its way.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::mapping::{Mapping, MappingChange, MappingError, MappingState};

/// One provider's mapping; the name is ignored.
#[derive(Debug)]
pub struct MemoryMapping {
    lag: Duration,
    state: Mutex<FeedState>,
}

#[derive(Debug)]
struct FeedState {
    batch_size: u32,
    enabled: bool,
    pending: Option<(Instant, MappingChange)>,
    changes: Vec<(Instant, MappingChange)>,
    reads: usize,
}

impl MemoryMapping {
    /// A mapping that feeds batches of this size.
    #[must_use]
    pub fn new(batch_size: u32, lag: Duration) -> Self {
        let state = FeedState { batch_size, enabled: true, pending: None, changes: Vec::new(), reads: 0 };
        Self { lag, state: Mutex::new(state) }
    }

    /// The mapping now.
    #[must_use]
    pub fn now(&self) -> MappingState {
        let state = self.apply_due_change();
        MappingState { batch_size: state.batch_size, enabled: state.enabled, pending: state.pending.is_some() }
    }

    /// Every change that was asked for, with its time.
    #[must_use]
    pub fn changes(&self) -> Vec<(Instant, MappingChange)> {
        self.apply_due_change().changes.clone()
    }

    /// How often it was read through the port.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.apply_due_change().reads
    }

    /// Change it at once, as a person would at a console.
    pub fn set(&self, change: MappingChange) {
        self.apply_due_change().apply(change);
    }

    fn apply_due_change(&self) -> MutexGuard<'_, FeedState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, change)) = state.pending
            && at <= Instant::now()
        {
            state.pending = None;
            state.apply(change);
        }
        state
    }
}

impl FeedState {
    fn apply(&mut self, change: MappingChange) {
        self.batch_size = change.batch_size.unwrap_or(self.batch_size);
        self.enabled = change.enabled.unwrap_or(self.enabled);
    }
}

#[async_trait]
impl Mapping for MemoryMapping {
    async fn read(&self, _provider: &str) -> Result<MappingState, MappingError> {
        self.apply_due_change().reads += 1;
        Ok(self.now())
    }

    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError> {
        let mut state = self.apply_due_change();
        if state.pending.is_some() {
            return Err(MappingError::Pending(provider.to_owned()));
        }
        let now = Instant::now();
        state.changes.push((now, change));
        if self.lag.is_zero() {
            state.apply(change);
        } else {
            state.pending = Some((now + self.lag, change));
        }
        Ok(())
    }
}
