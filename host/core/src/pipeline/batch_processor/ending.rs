//! Inputs of the end of a call: whether another is about to come, and the statistics for the governor.

use tokio::time::Instant;

use crate::control::governor::Invocation;
use crate::pipeline::batch_processor::BatchProcessor;

impl BatchProcessor<'_> {
    /// Whether the next batch is about to come, so that a write can be saved: this one was full, or comes again.
    pub(super) fn expects_more(&self) -> bool {
        let is_full = || {
            let control = self.pipeline.cached_control();
            let mapping = control.and_then(|control| control.governor.seen);
            mapping.is_some_and(|mapping| self.batch.len() >= mapping.batch_size as usize)
        };
        let is_thrifty = !self.context.ledger().write_interval().is_zero();
        is_thrifty && self.status.stopped.is_none() && (is_full() || !self.batch.is_drained())
    }

    /// The statistics of this call for the governor; `None` if no fetch started.
    pub(super) fn invocation(&self) -> Option<Invocation> {
        // A few parked entries, here and there, say nothing of how many a batch should have.
        if self.batch.len() == 0 {
            return None;
        }
        let (first, last) = self.context.starts()?;
        Some(Invocation { ok: self.attempts.records, launching: last - first, tail: Instant::now() - last })
    }
}
