//! Entries of earlier batches that become due: the batch in progress takes them up, and starts them next.

use crate::item::Entry;
use crate::ledger::LongWaits;
use crate::pipeline::batch_processor::BatchProcessor;
use crate::pipeline::chunks::BatchPart;
use crate::pipeline::due_entries::DueEntries;

impl BatchProcessor<'_> {
    /// The same, which is handed entries that become due.
    pub(crate) fn with_due_entries(self, due_entries: DueEntries) -> Self {
        Self { due_entries, ..self }
    }

    /// Whether the batch takes due entries now. One that has started all of its own entries is about to end; the next
    /// batch begins with those that are due.
    pub(super) fn takes_due_entries(&self) -> bool {
        self.status.stopped.is_none()
            && self.context.ledger().long_waits() == LongWaits::Reported
            && self.batch.has_fresh_work()
    }

    pub(super) fn join_due_entries(&mut self, entries: Vec<Entry>) {
        let manifest = &self.pipeline.manifest;
        self.batch.join(entries, &manifest.name, &manifest.identity, self.context.clock().now());
        self.keep_unreadable();
    }

    /// Entries that are no items become dead letters.
    pub(super) fn keep_unreadable(&mut self) {
        let today = self.pipeline.today();
        for (position, letter) in self.batch.take_unreadable() {
            self.writer.chunks.add_dead_letter(BatchPart::Unreadable(position), today, None, letter);
        }
    }
}
