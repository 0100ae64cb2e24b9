//! One shard of a stream: entries in order, how each has ended, and a checkpoint.
//!
//! It is what the local poller's stream and a Kinesis shard have in common: a batch is what comes after the checkpoint, entries
//! that have ended among it, and the checkpoint moves to just before the lowest entry that has not.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use damper_core::clock::WallClock;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::report::{End, Report};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::bare::Work;
use crate::units::{number, seconds};

/// A shard.
#[derive(Debug)]
pub(super) struct Shard {
    work: Work,
    clock: WallClock,
    began: Instant,
    /// Entries up to this one have ended.
    checkpoint: u64,
    /// The entries after the checkpoint that were delivered at least once.
    delivered: VecDeque<Delivered>,
    counts: Counts,
}

#[derive(Debug)]
struct Delivered {
    arrived: Timestamp,
    end: Option<End>,
}

/// How many entries ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) fetched: u64,
    pub(super) skipped: u64,
    pub(super) dead: u64,
}

impl Shard {
    /// A shard that holds the backlog, and into which items come at their rate.
    pub(super) fn new(work: Work, clock: WallClock, began: Instant) -> Self {
        Self { work, clock, began, checkpoint: 0, delivered: VecDeque::new(), counts: Counts::default() }
    }

    /// How many entries it has been fed; `None`: there is no end of them.
    pub(super) fn fed(&self) -> Option<u64> {
        if self.work.backlog.is_none() && self.work.per_second <= 0.0 {
            return None;
        }
        let arrived = whole(self.began.elapsed().as_secs_f64() * self.work.per_second);
        Some(self.work.backlog.unwrap_or_default() + arrived)
    }

    /// Entries that were delivered or could be.
    pub(super) fn known(&self) -> u64 {
        self.fed().unwrap_or(self.checkpoint + self.delivered.len() as u64)
    }

    /// How many have not ended; `None`: there is no end of them.
    pub(super) fn pending(&self) -> Option<u64> {
        self.fed().map(|fed| fed.saturating_sub(self.ended()))
    }

    /// How many have ended.
    pub(super) fn ended(&self) -> u64 {
        let Counts { fetched, skipped, dead } = self.counts;
        fetched + skipped + dead
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The next batch: at most `limit` entries after the checkpoint.
    pub(super) fn batch(&mut self, limit: u32) -> Vec<Entry> {
        let available = self.fed().map_or(u64::MAX, |fed| fed - self.checkpoint);
        let count = usize::try_from(available.min(u64::from(limit))).unwrap_or(usize::MAX);
        while self.delivered.len() < count {
            let arrived = self.arrived(self.checkpoint + self.delivered.len() as u64);
            self.delivered.push_back(Delivered { arrived, end: None });
        }
        let first = self.checkpoint + 1;
        let entry = |(sequence, delivered): (u64, &Delivered)| Entry {
            sequence: SequenceNumber::from(sequence),
            arrived: delivered.arrived,
            payload: Bytes::from(format!("{{\"id\":\"item-{sequence}\"}}")),
        };
        (first..).zip(self.delivered.iter().take(count)).map(entry).collect()
    }

    /// Take in what a batch came to. Says whether anything has.
    pub(super) fn finish(&mut self, report: &Report) -> bool {
        let mut moved = false;
        for (sequence, end) in &report.ended {
            let Some(delivered) = self.position(sequence).and_then(|position| self.delivered.get_mut(position)) else {
                continue;
            };
            if delivered.end.is_none() {
                delivered.end = Some(*end);
                moved = true;
                let counter = match end {
                    End::Fetched => &mut self.counts.fetched,
                    End::Skipped => &mut self.counts.skipped,
                    End::DeadLetter => &mut self.counts.dead,
                };
                *counter += 1;
            }
        }
        while self.delivered.front().is_some_and(|delivered| delivered.end.is_some()) {
            self.delivered.pop_front();
            self.checkpoint += 1;
        }
        moved
    }

    fn position(&self, sequence: &SequenceNumber) -> Option<usize> {
        let sequence: u64 = sequence.0.parse().ok()?;
        usize::try_from(sequence.checked_sub(self.checkpoint + 1)?).ok()
    }

    /// When the entry with so many before it came in. One of an endless backlog comes when it is asked for.
    fn arrived(&self, before: u64) -> Timestamp {
        let now = self.clock.now();
        if self.work.per_second <= 0.0 {
            return now;
        }
        let later = number(before.saturating_sub(self.work.backlog.unwrap_or_default()) + 1) / self.work.per_second;
        let ago = self.began.elapsed().saturating_sub(seconds(later)).min(Duration::from_secs(1 << 30));
        now.saturating_sub(ago).unwrap_or(now)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and far below 2^53")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}
