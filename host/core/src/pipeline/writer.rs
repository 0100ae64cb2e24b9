//! The writer of one call: the chunks that are open, and the flush that is under way. There is at most one at a time.

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::ledger::Owner;
use crate::pipeline::chunks::Chunks;
use crate::pipeline::flush::{FinishedFlush, flush};
use crate::pipeline::stores::Stores;

/// The writer of one call.
pub(crate) struct Writer {
    stores: Stores,
    provider: String,
    owner: Owner,
    /// Records and ends that wait for a flush.
    pub(crate) chunks: Chunks,
    under_way: JoinSet<FinishedFlush>,
}

impl Writer {
    /// A writer under this owner's name.
    pub(crate) fn new(stores: Stores, provider: &str, owner: &Owner) -> Self {
        let (provider, owner) = (provider.to_owned(), owner.clone());
        Self { stores, provider, owner, chunks: Chunks::default(), under_way: JoinSet::new() }
    }

    /// Start a flush if a chunk is due, or for any chunk where `all` is set, unless one is under way.
    pub(crate) fn flush_if_due(&mut self, now: Instant, all: bool) {
        if !self.under_way.is_empty() {
            return;
        }
        if let Some(due) = self.chunks.take_due(now, all) {
            self.under_way.spawn(flush(self.stores.clone(), self.provider.clone(), self.owner.clone(), due));
        }
    }

    /// When the next flush is due; `None` if nothing waits, or a flush has to end first.
    pub(crate) fn next_flush(&self) -> Option<Instant> {
        self.chunks.due().filter(|_| self.under_way.is_empty())
    }

    /// Whether nothing waits for a flush, and none is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.chunks.are_empty() && self.under_way.is_empty()
    }

    /// Wait for the end of the flush; `None` if none is under way.
    pub(crate) async fn next_finished(&mut self) -> Option<Result<FinishedFlush, JoinError>> {
        self.under_way.join_next().await
    }
}
