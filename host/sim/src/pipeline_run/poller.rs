//! Delivers a shard's batches one after another, as the local poller and an event source mapping do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::pipeline::Pipeline;
use damper_core::pipeline::report::Stopped;
use damper_core::testing::mapping::MemoryMapping;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::shard::Shard;
use crate::locks::lock;

/// How long until it looks again for entries, and for an enabled mapping.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long it waits before it delivers again after a batch of which nothing ended.
const REDELIVER_AFTER: Duration = Duration::from_secs(1);

/// Delivers batches.
#[derive(Debug)]
pub(super) struct Poller {
    shard: Arc<Mutex<Shard>>,
    /// How long one invocation may take.
    deadline: Duration,
}

impl Poller {
    pub(super) fn new(shard: Shard, deadline: Duration) -> Self {
        Self { shard: Arc::new(Mutex::new(shard)), deadline }
    }

    pub(super) fn shard(&self) -> Arc<Mutex<Shard>> {
        Arc::clone(&self.shard)
    }

    /// Deliver until `ends`; then what is in flight is finished.
    pub(super) async fn run(&self, pipeline: &Arc<Pipeline>, mapping: &MemoryMapping, ends: Instant) {
        let stop = CancellationToken::new();
        let stopper = tokio::spawn({
            let stop = stop.clone();
            async move {
                sleep_until(ends).await;
                stop.cancel();
            }
        });
        while !stop.is_cancelled() {
            let state = mapping.now();
            let batch = if state.enabled { lock(&self.shard).batch(state.batch_size) } else { Vec::new() };
            if batch.is_empty() {
                wait(LOOK_AGAIN, ends).await;
                continue;
            }
            let report = pipeline.process(batch, Instant::now() + self.deadline, &stop).await;
            let moved = lock(&self.shard).finish(&report);
            let gated =
                matches!(report.stopped, Some(Stopped::BreakerOpen | Stopped::WindowClosed | Stopped::QuotaSpent));
            if !moved || gated {
                wait(REDELIVER_AFTER, ends).await;
            }
        }
        stopper.abort();
    }
}

async fn wait(pause: Duration, ends: Instant) {
    sleep_until((Instant::now() + pause).min(ends)).await;
}
