//! What this run has done of a stream. A batch is delivered whole again after a failure, with entries that ended before; those
//! are counted once.

use std::collections::HashSet;

use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::report::{End, Report};
use damper_local::Counts;

/// Ends of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Did {
    /// Entries whose record was stored.
    pub(super) fetched: u64,
    /// Entries that another entry settled.
    pub(super) skipped: u64,
    /// Entries given up on.
    pub(super) dead_letters: u64,
}

impl Did {
    /// No more than the stream itself counted meanwhile: entries beyond the checkpoint had ended before we came.
    pub(super) fn at_most(self, before: &Counts, after: &Counts) -> Self {
        Self {
            fetched: self.fetched.min(after.fetched.saturating_sub(before.fetched)),
            skipped: self.skipped.min(after.skipped.saturating_sub(before.skipped)),
            dead_letters: self.dead_letters.min(after.dead_letters.saturating_sub(before.dead_letters)),
        }
    }
}

/// Counts the ends in reports.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What has ended so far.
    pub(super) did: Did,
    /// Ends that were reported again.
    pub(super) repeated: u64,
    /// Entries that have ended and may be delivered again: of the last batch at the most.
    seen: HashSet<SequenceNumber>,
}

impl Tally {
    /// A batch is delivered: what is not in it will not come again.
    pub(super) fn delivered(&mut self, entries: &[Entry]) {
        let mut seen = std::mem::take(&mut self.seen);
        self.seen = entries.iter().filter_map(|entry| seen.take(&entry.sequence)).collect();
    }

    /// Count what ended in a batch.
    pub(super) fn reported(&mut self, report: &Report) {
        for (sequence, end) in &report.ended {
            if !self.seen.insert(sequence.clone()) {
                self.repeated = self.repeated.saturating_add(1);
                continue;
            }
            let count = match end {
                End::Fetched => &mut self.did.fetched,
                End::Skipped => &mut self.did.skipped,
                End::DeadLetter => &mut self.did.dead_letters,
            };
            *count = count.saturating_add(1);
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
        tally.delivered(&entries(1..4));
        tally.reported(&report(&[(2, End::Fetched), (3, End::Skipped)]));
        tally.delivered(&entries(1..4));
        tally.reported(&report(&[(1, End::DeadLetter), (2, End::Fetched), (3, End::Skipped)]));
        assert_eq!(tally.did, Did { fetched: 1, skipped: 1, dead_letters: 1 });
        assert_eq!(tally.repeated, 2);
        tally.delivered(&entries(4..6));
        assert!(tally.seen.is_empty(), "only what may come again is remembered");
    }
}
