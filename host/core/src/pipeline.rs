//! The path of an item: stream -> parse -> collapse -> gate -> [permit -> claim -> fetch] -> store -> finish -> report.
//!
//! [`Pipeline::process`] implements that path. It is the same on one machine, in Lambda and in a simulation; only its
//! parts differ. It is not the delivery of batches (the local poller, Kinesis) and not the slow loop over them.

mod ad_hoc;
mod adapt;
mod alarm;
mod attempt;
mod attempts;
mod batch;
mod batch_context;
mod batch_notes;
mod batch_processor;
mod call_times;
pub mod capacity;
mod chunks;
mod control_access;
mod control_cache;
mod due_entries;
mod flush;
mod gate;
mod grant;
mod limiter_time;
pub mod parking;
mod probes;
pub mod progress;
mod provider;
mod redelivery;
pub mod report;
mod stores;
mod verdict;
mod writer;

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::control::governor::BlockReason;
use crate::control::item::Control;
use crate::item::Entry;
use crate::ledger::{LedgerError, LongWaits, Owner, Parked};
use crate::pipeline::batch::Batch;
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::batch_notes::BatchNotes;
use crate::pipeline::batch_processor::BatchProcessor;
use crate::pipeline::call_times::RESERVE;
use crate::pipeline::capacity::Capacity;
use crate::pipeline::parking::{ParkedChange, TakenUp};
use crate::pipeline::report::{Aside, Report, Stopped};

pub use ad_hoc::AdHoc;
pub use adapt::AdaptError;
pub use call_times::shortest_call;
pub use due_entries::{DueEntries, DueSender, due_entries};
pub use provider::Pipeline;
pub use stores::Stores;

/// The entries that a call works at.
struct BatchInput {
    /// Those that were delivered.
    entries: Vec<Entry>,
    /// Those that were parked and are due.
    taken_up: TakenUp,
    /// Those that become due meanwhile.
    due: DueEntries,
}

impl Pipeline {
    /// Process one batch: the entries of one shard, in order. Returns before `deadline`, with time to spare; when
    /// `stop` is cancelled nothing more is started and fetches in flight are finished. Never fails: errors are in the
    /// report, and entries that have not ended are to be delivered again.
    pub async fn process(self: &Arc<Self>, entries: Vec<Entry>, deadline: Instant, stop: &CancellationToken) -> Report {
        self.process_with_due(entries, DueEntries::none(), deadline, stop).await
    }

    /// The same, for a stream that hands in entries of earlier batches that become due meanwhile. They are started
    /// before the fresh entries of the batch, and its report names them, too. The batch takes no more of them when none
    /// of its own entries is left to start: they cannot make it last for ever.
    pub async fn process_with_due(
        self: &Arc<Self>,
        entries: Vec<Entry>,
        due: DueEntries,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Report {
        let control = match self.control().await {
            Ok(control) => control,
            Err(error) => {
                let stopped = Some(Stopped::Storage(error.to_string()));
                return self.batch(Vec::new(), entries).into_report(stopped, Aside::default());
            }
        };
        let taken_up = if self.gate(&control).is_none() { self.take_up(&control).await } else { TakenUp::default() };
        self.work(BatchInput { entries, taken_up, due }, &control, deadline, stop).await
    }

    /// The parked entries of a tick: process those that are due, without a batch; a closed gate is reported at once. At
    /// most a hundred entries; the next tick takes the next.
    ///
    /// # Errors
    /// If the control item or the parked entries cannot be read; the next tick tries again.
    pub async fn process_parked(
        self: &Arc<Self>,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Result<Report, LedgerError> {
        if self.stores.ledger.long_waits() != LongWaits::Parked {
            return Ok(Report::default());
        }
        let control = self.control().await?;
        if let Some(gate) = self.gate(&control) {
            return Ok(Report { stopped: Some(gate.why), ..Report::default() });
        }
        // The limiter would keep the tick waiting for as long as the API has asked.
        if let Some(BlockReason::RetryAfter { .. }) = self.block_reason(&control) {
            return Ok(Report::default());
        }
        let taken_up = self.read_parked(&control).await?;
        if !taken_up.entries.is_empty() {
            let input = BatchInput { entries: Vec::new(), taken_up, due: DueEntries::none() };
            return Ok(self.work(input, &control, deadline, stop).await);
        }
        // With a wrong hint every call would read the entries.
        let change = ParkedChange { read: taken_up.read, ..ParkedChange::default() };
        let correct = |control: &mut Control| {
            let before = control.parked;
            change.note(control);
            control.parked != before
        };
        if correct(&mut control.clone()) {
            self.change_control(correct).await?;
        }
        Ok(Report::default())
    }

    fn batch(&self, taken_up: Vec<Parked>, entries: Vec<Entry>) -> Batch {
        Batch::parse(taken_up, entries, &self.manifest.name, &self.manifest.identity, self.stores.clock.now())
    }

    /// Work at a batch, and at parked entries beside it.
    async fn work(
        self: &Arc<Self>,
        input: BatchInput,
        control: &Control,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Report {
        self.limiter_time().catch_up(self.stores.clock.moment());
        let now = self.stores.clock.now();
        let owner = Owner::generate(now, &self.stores.random);
        let BatchInput { entries, taken_up, due } = input;
        let batch = self.batch(taken_up.entries, entries);
        let mut capacity = Capacity::of_batch(&self.manifest, &owner, &self.stores.clock, self.leaps());
        if let Some(retained) = self.retained_slots().take() {
            capacity.slots.resume(retained, self.stores.clock.moment());
        }
        let recover_until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let context = Arc::new(BatchContext::new(self, owner, capacity.slots.permits().clone(), recover_until, stop));
        self.recall(control);
        let notes = BatchNotes::new(&batch, taken_up.read, control);
        let processor = BatchProcessor::new(self, context, batch, notes, capacity, control, deadline);
        let mut processor = processor.with_due_entries(due);
        if let Some(gate) = self.gate(control) {
            return processor.report_closed_gate(gate).await;
        }
        processor.prepare_fetcher().await;
        processor.skip_what_is_known().await;
        processor.stop_if_no_fetch_fits();
        processor.until_done().await;
        let report = processor.report().await;
        self.fetcher.return_unsent().await;
        report
    }
}

#[cfg(test)]
mod ad_hoc_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod grant_tests;
#[cfg(test)]
mod lost_answer_tests;
#[cfg(test)]
mod not_ready_tests;
#[cfg(test)]
mod partial_outage_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod thrift_tests;
#[cfg(test)]
mod waiting_tests;
