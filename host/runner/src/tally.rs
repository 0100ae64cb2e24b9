//! The totals of this run for a stream. After a failure a batch is delivered again with entries that ended before;
//! those are counted once.

use std::collections::HashMap;

use damper_core::admin::Counts;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::progress::Snapshot;
use damper_core::pipeline::report::{End, Report};

/// Ends of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTotals {
    /// Entries whose record was stored.
    pub fetched: u64,
    /// Entries that another entry settled.
    pub skipped: u64,
    /// Entries given up on.
    pub dead_letters: u64,
}

impl RunTotals {
    fn count_of(&mut self, end: End) -> &mut u64 {
        match end {
            End::Fetched => &mut self.fetched,
            End::Skipped => &mut self.skipped,
            End::DeadLetter => &mut self.dead_letters,
        }
    }

    /// All of them.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.fetched.saturating_add(self.skipped).saturating_add(self.dead_letters)
    }

    /// No more than the stream itself counted meanwhile: entries beyond the checkpoint had ended before we came.
    pub(crate) fn capped_by(self, before: &Counts, after: &Counts) -> Self {
        Self {
            fetched: self.fetched.min(after.fetched.saturating_sub(before.fetched)),
            skipped: self.skipped.min(after.skipped.saturating_sub(before.skipped)),
            dead_letters: self.dead_letters.min(after.dead_letters.saturating_sub(before.dead_letters)),
        }
    }
}

/// Counts the ends in reports.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The ends counted so far.
    pub(crate) totals: RunTotals,
    /// Entries that have ended and may be delivered again, and how: of the last batch at the most.
    ended: HashMap<SequenceNumber, End>,
    /// The batch that is being worked at.
    batch: Option<Batch>,
}

/// A batch that is being worked at.
#[derive(Debug)]
struct Batch {
    /// The pipeline's counters when it was delivered.
    began: Snapshot,
    /// Ends of its entries that were counted before: the pipeline will count them again.
    repeats: RunTotals,
}

impl Tally {
    /// A batch is delivered: what is not in it will not come again.
    pub(crate) fn on_batch_delivered(&mut self, entries: &[Entry], counters: Snapshot) {
        let mut ended = std::mem::take(&mut self.ended);
        self.ended = entries.iter().filter_map(|entry| ended.remove_entry(&entry.sequence)).collect();
        let mut repeats = RunTotals::default();
        for end in self.ended.values() {
            *repeats.count_of(*end) += 1;
        }
        self.batch = Some(Batch { began: counters, repeats });
    }

    /// The ends so far, including those of the batch in progress. If entries are delivered again, the count is too low
    /// until the pipeline has counted them once more; it is never too high.
    pub(crate) fn live_totals(&self, counters: Snapshot) -> RunTotals {
        let Some(Batch { began, repeats }) = &self.batch else { return self.totals };
        let fresh = |now: u64, before: u64, repeats: u64| now.saturating_sub(before).saturating_sub(repeats);
        RunTotals {
            fetched: self.totals.fetched + fresh(counters.fetched, began.fetched, repeats.fetched),
            skipped: self.totals.skipped + fresh(counters.skipped, began.skipped, repeats.skipped),
            dead_letters: self.totals.dead_letters + fresh(counters.dead, began.dead, repeats.dead_letters),
        }
    }

    /// Count what ended in a batch.
    pub(crate) fn on_batch_reported(&mut self, report: &Report) {
        self.batch = None;
        for (sequence, end) in &report.ended {
            if self.ended.insert(sequence.clone(), *end).is_none() {
                let count = self.totals.count_of(*end);
                *count = count.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ended: &[(u64, End)]) -> Report {
        Report { ended: ended.iter().map(|(number, end)| ((*number).into(), *end)).collect(), ..Report::default() }
    }

    fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
        let entry = |number: u64| Entry {
            sequence: number.into(),
            arrived: jiff::Timestamp::UNIX_EPOCH,
            payload: bytes::Bytes::new(),
        };
        numbers.map(entry).collect()
    }

    #[test]
    fn an_end_that_is_reported_again_counts_once() {
        let mut tally = Tally::default();
        tally.on_batch_delivered(&entries(1..4), Snapshot::default());
        tally.on_batch_reported(&report(&[(2, End::Fetched), (3, End::Skipped)]));
        tally.on_batch_delivered(&entries(1..4), Snapshot::default());
        tally.on_batch_reported(&report(&[(1, End::DeadLetter), (2, End::Fetched), (3, End::Skipped)]));
        assert_eq!(tally.totals, RunTotals { fetched: 1, skipped: 1, dead_letters: 1 });
        tally.on_batch_delivered(&entries(4..6), Snapshot::default());
        assert!(tally.ended.is_empty(), "only what may come again is remembered");
    }

    #[test]
    fn live_counts_never_exceed_what_was_fed_while_a_batch_is_delivered_again() {
        let counters = |fetched, dead| Snapshot { fetched, dead, ..Snapshot::default() };
        let mut tally = Tally::default();
        tally.on_batch_delivered(&entries(0..6), Snapshot::default());
        let live = |tally: &Tally, fetched, dead| {
            let totals = tally.live_totals(counters(fetched, dead));
            (totals.fetched, totals.dead_letters)
        };
        assert_eq!(live(&tally, 2, 1), (2, 1), "at once");
        tally.on_batch_reported(&report(&[(1, End::Fetched), (2, End::Fetched), (3, End::DeadLetter)]));
        assert_eq!(live(&tally, 2, 1), (2, 1));
        // The pipeline counts all of it again.
        tally.on_batch_delivered(&entries(0..6), counters(2, 1));
        assert_eq!(live(&tally, 2, 1), (2, 1));
        assert_eq!(live(&tally, 4, 2), (2, 1), "what had ended before");
        assert_eq!(live(&tally, 7, 2), (5, 1));
        let ended = [0, 1, 2, 4, 5].map(|number| (number, End::Fetched));
        tally.on_batch_reported(&report(&[&ended[..], &[(3, End::DeadLetter)]].concat()));
        assert_eq!(live(&tally, 7, 2), (5, 1));
    }
}
