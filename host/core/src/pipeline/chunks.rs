//! Chunks: records that wait to be stored together, and what is to be finished once they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::day::Day;
use crate::dead_letter::{DeadLetter, Reason};
use crate::ledger::{Claimed, Finish};
use crate::pipeline::batch::WorkIndex;

/// A chunk is flushed when it holds so many items,
const FULL_ITEMS: usize = 500;
/// or so many bytes,
const FULL_BYTES: usize = 4 * 1024 * 1024;
/// or is so old.
pub(crate) const FULL_AGE: Duration = Duration::from_secs(5);
/// No fetch starts while so many bytes wait for a flush.
const ROOM_BYTES: usize = 3 * FULL_BYTES;

/// Who waits for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A work of the batch.
    Work(WorkIndex),
    /// An entry that is no item, by its position in the batch.
    Unreadable(usize),
}

/// Records of one day that are stored as one object.
#[derive(Debug)]
pub(crate) struct Chunk {
    opened: Instant,
    /// Lines of NDJSON; none where there is only something to finish.
    pub(crate) lines: Vec<u8>,
    /// What to finish once the lines are stored, and who waits for it.
    pub(crate) finishes: Vec<(Waiting, Finish)>,
}

/// A chunk on its way to the sink.
#[derive(Debug)]
pub(crate) struct Flush {
    /// Its day.
    pub(crate) day: Day,
    /// Its number among the owner's chunks of that day.
    pub(crate) number: u32,
    /// What it holds.
    pub(crate) chunk: Chunk,
}

/// The open chunks of one owner, one a day.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    open: BTreeMap<Day, Chunk>,
    numbers: BTreeMap<Day, u32>,
    /// The works whose dead letters an operator has allowed: they are not taken back.
    allowed: BTreeSet<WorkIndex>,
}

impl Chunks {
    /// A record is to be stored.
    pub(crate) fn fetched(&mut self, index: WorkIndex, claimed: Claimed, line: &[u8]) {
        let chunk = self.chunk(claimed.day);
        chunk.lines.extend_from_slice(line);
        chunk.finishes.push((Waiting::Work(index), Finish::Fetched(claimed)));
    }

    /// A record is in the sink already and only to be finished.
    pub(crate) fn recovered(&mut self, index: WorkIndex, claimed: Claimed) {
        self.chunk(claimed.day).finishes.push((Waiting::Work(index), Finish::Fetched(claimed)));
    }

    /// An item is to be given up on.
    pub(crate) fn dead(&mut self, waiting: Waiting, day: Day, claimed: Option<Claimed>, letter: DeadLetter) {
        self.chunk(day).finishes.push((waiting, Finish::Dead { claimed, letter }));
    }

    /// An operator has allowed the dead letter of this work.
    pub(crate) fn allow(&mut self, index: WorkIndex) {
        self.allowed.insert(index);
    }

    /// Take back the dead letters of items that no flush has taken yet and that no operator has allowed: whatever made so many of them may
    /// have made all.
    pub(crate) fn reprieve(&mut self) -> Vec<(WorkIndex, Claimed, Reason)> {
        let mut reprieved = Vec::new();
        let allowed = &self.allowed;
        for chunk in self.open.values_mut() {
            chunk.finishes.retain(|(waiting, finish)| match (waiting, finish) {
                (Waiting::Work(index), Finish::Dead { claimed: Some(claimed), letter }) if !allowed.contains(index) => {
                    reprieved.push((*index, claimed.clone(), letter.reason));
                    false
                }
                _ => true,
            });
        }
        self.open.retain(|_, chunk| !chunk.finishes.is_empty());
        reprieved
    }

    /// Whether another record may be fetched.
    pub(crate) fn have_room(&self) -> bool {
        self.open.values().map(|chunk| chunk.lines.len()).sum::<usize>() < ROOM_BYTES
    }

    /// Whether nothing waits to be flushed.
    pub(crate) fn are_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When a chunk is to be flushed at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().map(|chunk| chunk.opened + FULL_AGE).min()
    }

    /// A chunk that is to be flushed now: full, too old, or any where `all` is set.
    pub(crate) fn take_due(&mut self, now: Instant, all: bool) -> Option<Flush> {
        let due = |chunk: &Chunk| {
            all || chunk.finishes.len() >= FULL_ITEMS
                || chunk.lines.len() >= FULL_BYTES
                || chunk.opened + FULL_AGE <= now
        };
        let day = self.open.iter().find(|(_, chunk)| due(chunk)).map(|(day, _)| *day)?;
        let chunk = self.open.remove(&day)?;
        let next = self.numbers.entry(day).or_default();
        let number = *next;
        // Only chunks with lines become objects, and an owner's objects are numbered without a gap.
        if !chunk.lines.is_empty() {
            *next += 1;
        }
        Some(Flush { day, number, chunk })
    }

    fn chunk(&mut self, day: Day) -> &mut Chunk {
        self.open.entry(day).or_insert_with(|| Chunk {
            opened: Instant::now(),
            lines: Vec::new(),
            finishes: Vec::new(),
        })
    }
}
