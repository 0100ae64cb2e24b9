//! Which entries a poller has delivered and has to deliver again, and when. Pure; kept in memory only: a poller that
//! begins finds every pending entry after the checkpoint, and the ledger says anew of each that waits until when it
//! does.

use std::collections::{BTreeMap, BTreeSet};

use damper_core::item::SequenceNumber;
use damper_core::ledger::is_waiting;
use damper_core::pipeline::report::Report;
use jiff::Timestamp;

use crate::stream::BatchQuery;

/// How many entries may be left, waiting for long most of them, before fresh ones are held back: an API of which most
/// requests fail must not run through the whole stream.
pub const MAX_REDELIVERIES: usize = 10_000;

/// Entries that were delivered and have not ended.
#[derive(Debug, Default)]
pub(super) struct Redeliveries {
    /// By when they are due; at once is the beginning of time, so that these come in the stream's order.
    due: BTreeSet<(Timestamp, i64)>,
    /// The last entry that was delivered. Later entries are fresh.
    last: i64,
}

impl Redeliveries {
    /// The next batch, at most `limit` entries: first redeliveries that are due, then fresh entries unless too many
    /// redeliveries are left.
    pub(super) fn next_query(&self, now: Timestamp, limit: u32) -> BatchQuery {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let due = self.due(now, most);
        let fresh = if self.due.len() < MAX_REDELIVERIES { most.saturating_sub(due.len()) } else { 0 };
        BatchQuery { due, after: self.last, fresh: u32::try_from(fresh).unwrap_or(limit) }
    }

    /// Only redeliveries that are due, at most `limit`: for a batch that is being processed.
    pub(super) fn due_query(&self, now: Timestamp, limit: u32) -> BatchQuery {
        let due = self.due(now, usize::try_from(limit).unwrap_or(usize::MAX));
        BatchQuery { due, after: self.last, fresh: 0 }
    }

    fn due(&self, now: Timestamp, most: usize) -> Vec<i64> {
        // Not only the first: what waits for longer than anything can has waited since before the clock was set back.
        let due = self.due.iter().filter(|(due, _)| !is_waiting(*due, now));
        due.take(most).map(|(_, entry)| *entry).collect()
    }

    /// These have been looked for, and were delivered or had ended.
    pub(super) fn forget(&mut self, due: &[i64]) {
        let forgotten: BTreeSet<i64> = due.iter().copied().collect();
        self.due.retain(|(_, entry)| !forgotten.contains(entry));
    }

    /// Record a batch's report. Returns whether some of its entries are to be delivered again at once.
    pub(super) fn record_batch(&mut self, delivered: &[SequenceNumber], report: &Report) -> bool {
        let ended: BTreeSet<&SequenceNumber> = report.ended.iter().map(|(entry, _)| entry).collect();
        let waiting: BTreeMap<&SequenceNumber, Timestamp> =
            report.waiting.iter().map(|waiting| (&waiting.sequence, waiting.until)).collect();
        let mut is_any_due = false;
        for entry in delivered {
            // The stream counts its entries up, and gave them out itself.
            let Ok(number) = entry.0.parse::<i64>() else { continue };
            self.last = self.last.max(number);
            if !ended.contains(entry) {
                let until = waiting.get(entry).copied();
                is_any_due |= until.is_none();
                self.due.insert((until.unwrap_or(Timestamp::MIN), number));
            }
        }
        is_any_due
    }

    /// When the first of them is due; none: nothing is left.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many are left.
    pub(super) fn count(&self) -> usize {
        self.due.len()
    }
}
