//! The attempts of one call: those in progress, and what those that have ended show of the API.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::control::item::Control;
use crate::pipeline::attempt::{FinishedAttempt, attempt};
use crate::pipeline::batch::{Batch, WorkIndex};
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::probes::Probes;

/// The attempts of one call.
pub(crate) struct Attempts {
    in_progress: JoinSet<FinishedAttempt>,
    /// The attempts at an API that fails.
    pub(crate) probes: Probes,
    /// Records that were fetched.
    pub(crate) records: u64,
    /// When the last attempt started that was no poll.
    last_fresh_start: Instant,
}

impl Attempts {
    /// None yet.
    pub(crate) fn new(control: &Control) -> Self {
        Self { in_progress: JoinSet::new(), probes: Probes::new(control), records: 0, last_fresh_start: Instant::now() }
    }

    /// Start an attempt at a work that is due or, while the API is only probed, at another one of the batch.
    pub(crate) fn start(
        &mut self,
        context: &Arc<BatchContext>,
        batch: &mut Batch,
        due: WorkIndex,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) {
        let breaker = context.limiter_snapshot().breaker;
        let index = self.probes.choose(due, breaker, batch, now);
        if !batch.is_polled(index) {
            self.last_fresh_start = now;
        }
        let Some(work) = batch.work(index).map(Arc::clone) else { return };
        context.enter_queue();
        self.in_progress.spawn(attempt(Arc::clone(context), index, work, batch.failures(index), permit));
    }

    /// When the last attempt started that was no poll; the beginning of the call if there was none.
    pub(crate) fn last_fresh_start(&self) -> Instant {
        self.last_fresh_start
    }

    /// Whether none is in progress.
    pub(crate) fn are_over(&self) -> bool {
        self.in_progress.is_empty()
    }

    /// Wait for the next one that ends; `None` if none is in progress.
    pub(crate) async fn next_finished(&mut self) -> Option<Result<FinishedAttempt, JoinError>> {
        self.in_progress.join_next().await
    }
}
