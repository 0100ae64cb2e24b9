//! One shard of a provider's stream, as the local stream and a Kinesis shard have it in common: entries in order, a
//! checkpoint, and one who delivers.

use std::collections::BTreeSet;

use bytes::Bytes;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::ledger::is_waiting;
use damper_core::pipeline::report::{End, Report};
use jiff::{SignedDuration, Timestamp};

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

/// A shard, and the lease of the holder that delivers it.
#[derive(Debug, Default)]
pub(super) struct LeasedShard {
    entries: Vec<ShardEntry>,
    /// The number of entries that have ended without a gap.
    checkpoint: usize,
    /// The holder that delivers, and the end of its lease.
    holder: Option<(u64, Timestamp)>,
}

/// An entry and what it came to.
#[derive(Debug)]
pub(super) struct ShardEntry {
    pub(super) id: String,
    pub(super) entry: Entry,
    pub(super) end: Option<End>,
    /// The stream is done with it; the ledger keeps it until it is due.
    pub(super) is_parked: bool,
    /// The delivery passes over it until then.
    not_before: Timestamp,
}

impl LeasedShard {
    /// An entry is fed.
    pub(super) fn feed(&mut self, sequence: u64, id: &str, arrived: Timestamp) {
        let payload = Bytes::from(format!("{{\"id\":\"{id}\"}}"));
        let entry = Entry { sequence: SequenceNumber::from(sequence), arrived, payload };
        let not_before = Timestamp::MIN;
        self.entries.push(ShardEntry { id: id.to_owned(), entry, end: None, is_parked: false, not_before });
    }

    pub(super) fn entries(&self) -> &[ShardEntry] {
        &self.entries
    }

    /// How many entries have not ended.
    pub(super) fn pending(&self) -> usize {
        self.entries.iter().filter(|entry| entry.end.is_none()).count()
    }

    /// Become, or stay, the one who delivers. A lease that ends much later than one of now was taken before the clock
    /// was set back.
    pub(super) fn hold(&mut self, holder: u64, now: Timestamp, until: Timestamp) -> bool {
        let is_over = |leased: Timestamp| leased <= now || leased > until.saturating_add(MINUTE).unwrap_or(until);
        let is_free = self.holder.is_none_or(|(other, leased)| other == holder || is_over(leased));
        if is_free {
            if self.holder.is_none_or(|(before, _)| before != holder) {
                // The holder alone knows how long an entry waits, and the next holder does not.
                self.entries.iter_mut().for_each(|entry| entry.not_before = Timestamp::MIN);
            }
            self.holder = Some((holder, until));
        }
        is_free
    }

    /// Releases the shard, so that another process may deliver it.
    pub(super) fn free(&mut self, holder: u64) {
        self.holder.take_if(|(other, _)| *other == holder);
    }

    /// The entries after the checkpoint: those of a shard in the cloud, ended ones too; else those that have not ended
    /// and do not wait until after `now`.
    pub(super) fn batch(&self, limit: u32, now: Timestamp, is_cloud: bool) -> Vec<Entry> {
        let is_due = |entry: &&ShardEntry| is_cloud || (entry.end.is_none() && !is_waiting(entry.not_before, now));
        let after = self.entries.iter().skip(self.checkpoint).filter(is_due);
        after.take(limit as usize).map(|entry| entry.entry.clone()).collect()
    }

    /// The entries that had to wait and are due now, without those that are in `delivered`: for the batch in progress.
    pub(super) fn due(&self, limit: u32, now: Timestamp, delivered: &BTreeSet<SequenceNumber>) -> Vec<Entry> {
        let has_waited = |entry: &&ShardEntry| {
            entry.end.is_none() && entry.not_before > Timestamp::MIN && !is_waiting(entry.not_before, now)
        };
        let due = self.entries.iter().skip(self.checkpoint).filter(has_waited).map(|entry| &entry.entry);
        due.filter(|entry| !delivered.contains(&entry.sequence)).take(limit as usize).cloned().collect()
    }

    /// Record what a batch came to, unless somebody else delivers by now. Answers whether anything has ended
    /// or is parked.
    ///
    /// Entries that had been parked and have ended are no longer the stream's: see [`LeasedShard::settle_parked`].
    pub(super) fn finish(&mut self, holder: u64, report: &Report) -> bool {
        if self.holder.is_none_or(|(other, _)| other != holder) {
            return false;
        }
        let mut has_ended = false;
        for (sequence, end) in &report.ended {
            if let Some(entry) = self.find(sequence).filter(|entry| entry.end.is_none()) {
                entry.end = Some(*end);
                has_ended = true;
            }
        }
        for waiting in &report.waiting {
            if let Some(entry) = self.find(&waiting.sequence) {
                entry.not_before = waiting.until;
            }
        }
        for sequence in &report.parked {
            if let Some(entry) = self.find(sequence) {
                entry.is_parked = true;
                has_ended = true;
            }
        }
        while self.entries.get(self.checkpoint).is_some_and(|entry| entry.end.is_some() || entry.is_parked) {
            self.checkpoint += 1;
        }
        has_ended
    }

    /// Entries that are parked no more have ended. The worker may have died since. The ledger and the sink say how the
    /// entries ended; here they count as settled by something else.
    pub(super) fn settle_parked(&mut self, is_parked: impl Fn(&SequenceNumber) -> bool) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_parked && entry.end.is_none()) {
            if !is_parked(&entry.entry.sequence) {
                entry.end = Some(End::Skipped);
            }
        }
    }

    fn find(&mut self, sequence: &SequenceNumber) -> Option<&mut ShardEntry> {
        self.entries.iter_mut().find(|entry| entry.entry.sequence == *sequence)
    }
}
