//! One shard of a provider's stream, as the local stream and a Kinesis shard have it in common: entries in order, a checkpoint, and one
//! who delivers.

use bytes::Bytes;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::report::{End, Report};
use jiff::Timestamp;

/// A shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: Vec<ShardEntry>,
    /// So many entries have ended without a gap.
    checkpoint: usize,
    /// Who delivers, and until when.
    holder: Option<(u64, Timestamp)>,
}

/// An entry and what it came to.
#[derive(Debug)]
pub(super) struct ShardEntry {
    pub(super) id: String,
    pub(super) entry: Entry,
    pub(super) end: Option<End>,
}

impl Shard {
    /// An entry is fed.
    pub(super) fn feed(&mut self, sequence: u64, id: &str, arrived: Timestamp) {
        let payload = Bytes::from(format!("{{\"id\":\"{id}\"}}"));
        let entry = Entry { sequence: SequenceNumber::from(sequence), arrived, payload };
        self.entries.push(ShardEntry { id: id.to_owned(), entry, end: None });
    }

    pub(super) fn entries(&self) -> &[ShardEntry] {
        &self.entries
    }

    /// How many entries have not ended.
    pub(super) fn pending(&self) -> usize {
        self.entries.iter().filter(|entry| entry.end.is_none()).count()
    }

    /// Become, or stay, the one who delivers.
    pub(super) fn hold(&mut self, holder: u64, now: Timestamp, until: Timestamp) -> bool {
        let is_free = self.holder.is_none_or(|(other, leased)| other == holder || leased <= now);
        if is_free {
            self.holder = Some((holder, until));
        }
        is_free
    }

    /// Somebody else may deliver.
    pub(super) fn free(&mut self, holder: u64) {
        self.holder.take_if(|(other, _)| *other == holder);
    }

    /// The entries after the checkpoint, ended ones too.
    pub(super) fn batch(&self, limit: u32) -> Vec<Entry> {
        let after = self.entries.iter().skip(self.checkpoint);
        after.take(limit as usize).map(|entry| entry.entry.clone()).collect()
    }

    /// Record what a batch came to, unless somebody else delivers by now. Answers whether anything has ended.
    pub(super) fn finish(&mut self, holder: u64, report: &Report) -> bool {
        if self.holder.is_none_or(|(other, _)| other != holder) {
            return false;
        }
        let mut has_ended = false;
        for (sequence, end) in &report.ended {
            let found = self.entries.iter_mut().find(|entry| entry.entry.sequence == *sequence);
            if let Some(entry) = found.filter(|entry| entry.end.is_none()) {
                entry.end = Some(*end);
                has_ended = true;
            }
        }
        while self.entries.get(self.checkpoint).is_some_and(|entry| entry.end.is_some()) {
            self.checkpoint += 1;
        }
        has_ended
    }
}
