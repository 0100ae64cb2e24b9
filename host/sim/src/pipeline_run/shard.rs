//! One shard of a stream: entries in order, how each has ended, and a checkpoint.
//!
//! It is what the local poller's stream and a Kinesis shard have in common: a batch is what comes after the checkpoint,
//! entries that have ended among it, and the checkpoint moves to just before the lowest entry that has not.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use damper_core::clock::WallClock;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::report::{End, Report};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::units::{number, seconds};
use crate::work::Work;

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
    /// Entries that have not ended and with which the shard is done: the ledger keeps them.
    parked: BTreeSet<u64>,
    counts: Counts,
}

#[derive(Debug)]
struct Delivered {
    arrived: Timestamp,
    end: Option<End>,
    is_parked: bool,
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
        Self {
            work,
            clock,
            began,
            checkpoint: 0,
            delivered: VecDeque::new(),
            parked: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// How many entries it has been fed; `None`: there is no end of them.
    pub(super) fn fed_count(&self) -> Option<u64> {
        if self.work.backlog.is_none() && self.work.per_second <= 0.0 {
            return None;
        }
        let arrived = whole(self.began.elapsed().as_secs_f64() * self.work.per_second);
        Some(self.work.backlog.unwrap_or_default() + arrived)
    }

    /// Entries that were delivered or could be.
    pub(super) fn deliverable_count(&self) -> u64 {
        self.fed_count().unwrap_or(self.checkpoint + self.delivered.len() as u64)
    }

    /// How many have not ended; `None`: there is no end of them.
    pub(super) fn pending(&self) -> Option<u64> {
        self.fed_count().map(|fed| fed.saturating_sub(self.ended_count()))
    }

    /// How many have ended.
    pub(super) fn ended_count(&self) -> u64 {
        let Counts { fetched, skipped, dead } = self.counts;
        fetched + skipped + dead
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The next batch: at most `limit` entries after the checkpoint.
    pub(super) fn batch(&mut self, limit: u32) -> Vec<Entry> {
        let available = self.fed_count().map_or(u64::MAX, |fed| fed - self.checkpoint);
        let count = usize::try_from(available.min(u64::from(limit))).unwrap_or(usize::MAX);
        while self.delivered.len() < count {
            let arrived = self.arrival_time(self.checkpoint + self.delivered.len() as u64);
            self.delivered.push_back(Delivered { arrived, end: None, is_parked: false });
        }
        let first = self.checkpoint + 1;
        let entry = |(sequence, delivered): (u64, &Delivered)| Entry {
            sequence: SequenceNumber::from(sequence),
            arrived: delivered.arrived,
            payload: Bytes::from(format!("{{\"id\":\"item-{sequence}\"}}")),
        };
        (first..).zip(self.delivered.iter().take(count)).map(entry).collect()
    }

    /// Take in what a batch came to, and what had been parked. Says whether anything has.
    pub(super) fn finish(&mut self, report: &Report) -> bool {
        let mut moved = false;
        for (sequence, end) in report.ended.iter().chain(&report.taken_up) {
            let delivered = self.position(sequence).and_then(|position| self.delivered.get_mut(position));
            let is_new = match delivered {
                Some(delivered) if delivered.end.is_none() => {
                    delivered.end = Some(*end);
                    true
                }
                Some(_) => false,
                None => number_of(sequence).is_some_and(|sequence| self.parked.remove(&sequence)),
            };
            if is_new {
                self.count(*end);
                moved = true;
            }
        }
        for sequence in &report.parked {
            if let Some(delivered) = self.position(sequence).and_then(|position| self.delivered.get_mut(position)) {
                delivered.is_parked = true;
                moved = true;
            }
        }
        while let Some(delivered) = self.delivered.front()
            && (delivered.end.is_some() || delivered.is_parked)
        {
            let is_pending = delivered.end.is_none();
            self.delivered.pop_front();
            self.checkpoint += 1;
            if is_pending {
                self.parked.insert(self.checkpoint);
            }
        }
        moved
    }

    fn count(&mut self, end: End) {
        let counter = match end {
            End::Fetched => &mut self.counts.fetched,
            End::Skipped => &mut self.counts.skipped,
            End::DeadLetter => &mut self.counts.dead,
        };
        *counter += 1;
    }

    fn position(&self, sequence: &SequenceNumber) -> Option<usize> {
        usize::try_from(number_of(sequence)?.checked_sub(self.checkpoint + 1)?).ok()
    }

    /// When the entry with so many before it came in. One of an endless backlog comes when it is asked for.
    fn arrival_time(&self, before: u64) -> Timestamp {
        let now = self.clock.now();
        if self.work.per_second <= 0.0 {
            return now;
        }
        let later = number(before.saturating_sub(self.work.backlog.unwrap_or_default()) + 1) / self.work.per_second;
        let ago = self.began.elapsed().saturating_sub(seconds(later)).min(Duration::from_secs(1 << 30));
        now.saturating_sub(ago).unwrap_or(now)
    }
}

fn number_of(sequence: &SequenceNumber) -> Option<u64> {
    sequence.0.parse().ok()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and far below 2^53")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: &[u64]) -> Vec<SequenceNumber> {
        numbers.iter().map(|number| SequenceNumber::from(*number)).collect()
    }

    fn fetched_ends(numbers: &[u64]) -> Vec<(SequenceNumber, End)> {
        names(numbers).into_iter().map(|name| (name, End::Fetched)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_checkpoint_passes_what_is_parked_and_it_is_pending_until_it_ends() {
        let work = Work { backlog: Some(4), per_second: 0.0 };
        let mut shard = Shard::new(work, WallClock::System, Instant::now());
        assert_eq!(shard.batch(3).len(), 3);
        assert!(shard.finish(&Report { ended: fetched_ends(&[2]), parked: names(&[1, 3]), ..Report::default() }));
        let next: Vec<_> = shard.batch(3).into_iter().map(|entry| entry.sequence).collect();
        assert_eq!((next, shard.pending()), (names(&[4]), Some(3)));
        assert!(shard.finish(&Report { taken_up: fetched_ends(&[3]), parked: names(&[1]), ..Report::default() }));
        assert!(!shard.finish(&Report { taken_up: fetched_ends(&[3]), ..Report::default() }), "told twice");
        assert_eq!(shard.pending(), Some(2));
        assert!(shard.finish(&Report { ended: fetched_ends(&[4]), taken_up: fetched_ends(&[1]), ..Report::default() }));
        assert_eq!((shard.pending(), shard.counts().fetched), (Some(0), 4));
    }
}
