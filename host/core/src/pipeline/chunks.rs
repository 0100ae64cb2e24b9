//! Chunks: records that wait to be stored together, and the items to finish afterwards.

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

/// The part of the batch that waits for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchPart {
    /// A work of the batch.
    Work(WorkIndex),
    /// An entry that is no item, by its position in the batch.
    Unreadable(usize),
}

/// Records of one day that are stored as one object.
#[derive(Debug)]
pub(crate) struct Chunk {
    opened: Instant,
    /// Lines of NDJSON; empty if there are only items to finish.
    pub(crate) lines: Vec<u8>,
    /// The items whose records are in `lines`: fetched once these are stored.
    pub(crate) records: Vec<(WorkIndex, Claimed)>,
    /// The finishes that do not depend on the lines, and who waits for them: dead letters, and records that are in the
    /// sink already.
    pub(crate) finishes: Vec<(BatchPart, Finish)>,
}

/// A chunk on its way to the sink.
#[derive(Debug)]
pub(crate) struct Flush {
    /// Its day.
    pub(crate) day: Day,
    /// Its number among the owner's chunks of that day; `None` if there is nothing to store, or the owner may store
    /// nothing more.
    pub(crate) number: Option<u32>,
    /// Its content.
    pub(crate) chunk: Chunk,
}

/// The use of a chunk's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberUse {
    /// The chunk is stored under it.
    Used,
    /// Nothing was sent under it, and it can be given to another chunk.
    Free,
    /// It is taken by a seal, or its use is unknown: no number can be used after it.
    Ended,
}

/// How an owner's chunks of one day are numbered: without a gap, and no number before it is known what became of the
/// last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbering {
    /// The next chunk gets this number.
    Next(u32),
    /// A chunk with this number is on its way.
    Taken(u32),
    /// No more chunk of this day is stored.
    Ended,
}

/// The open chunks of one owner, one a day.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    open: BTreeMap<Day, Chunk>,
    numbers: BTreeMap<Day, Numbering>,
    /// The works whose dead letters an operator has allowed: they are not taken back.
    allowed: BTreeSet<WorkIndex>,
}

impl Chunks {
    /// A record is to be stored.
    pub(crate) fn add_record(&mut self, index: WorkIndex, claimed: Claimed, line: &[u8]) {
        let chunk = self.chunk(claimed.day);
        chunk.lines.extend_from_slice(line);
        chunk.records.push((index, claimed));
    }

    /// A record is in the sink already and only to be finished.
    pub(crate) fn add_recovered(&mut self, index: WorkIndex, claimed: Claimed) {
        self.chunk(claimed.day).finishes.push((BatchPart::Work(index), Finish::Fetched(claimed)));
    }

    /// An item is to be given up on.
    pub(crate) fn add_dead_letter(
        &mut self,
        waiting: BatchPart,
        day: Day,
        claimed: Option<Claimed>,
        letter: DeadLetter,
    ) {
        self.chunk(day).finishes.push((waiting, Finish::Dead { claimed, letter }));
    }

    /// An operator has allowed the dead letter of this work.
    pub(crate) fn allow(&mut self, index: WorkIndex) {
        self.allowed.insert(index);
    }

    /// Discard the dead letters of items that no flush has taken yet and that no operator has allowed: they may all
    /// have the same cause.
    pub(crate) fn discard_pending_dead_letters(&mut self) -> Vec<(WorkIndex, Claimed, Reason)> {
        let mut discarded = Vec::new();
        let allowed = &self.allowed;
        for chunk in self.open.values_mut() {
            chunk.finishes.retain(|(waiting, finish)| match (waiting, finish) {
                (BatchPart::Work(index), Finish::Dead { claimed: Some(claimed), letter })
                    if !allowed.contains(index) =>
                {
                    discarded.push((*index, claimed.clone(), letter.reason));
                    false
                }
                _ => true,
            });
        }
        self.open.retain(|_, chunk| chunk.items() > 0);
        discarded
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
            all || chunk.items() >= FULL_ITEMS || chunk.lines.len() >= FULL_BYTES || chunk.opened + FULL_AGE <= now
        };
        let day = self.open.iter().find(|(_, chunk)| due(chunk)).map(|(day, _)| *day)?;
        let chunk = self.open.remove(&day)?;
        let number = if chunk.lines.is_empty() { None } else { self.take_number(day) };
        Some(Flush { day, number, chunk })
    }

    /// The next number of a day. `None` if a chunk is still on its way, or was the last.
    fn take_number(&mut self, day: Day) -> Option<u32> {
        let numbering = self.numbers.entry(day).or_insert(Numbering::Next(0));
        let Numbering::Next(number) = *numbering else { return None };
        *numbering = Numbering::Taken(number);
        Some(number)
    }

    /// A chunk of this day has come to its end.
    pub(crate) fn on_number_used(&mut self, day: Day, used: NumberUse) {
        let Some(numbering) = self.numbers.get_mut(&day) else { return };
        *numbering = match (*numbering, used) {
            (Numbering::Taken(number), NumberUse::Used) => Numbering::Next(number.saturating_add(1)),
            (Numbering::Taken(number), NumberUse::Free) => Numbering::Next(number),
            _ => Numbering::Ended,
        };
    }

    fn chunk(&mut self, day: Day) -> &mut Chunk {
        self.open.entry(day).or_insert_with(|| Chunk {
            opened: Instant::now(),
            lines: Vec::new(),
            records: Vec::new(),
            finishes: Vec::new(),
        })
    }
}

impl Chunk {
    /// How many items it holds.
    fn items(&self) -> usize {
        self.records.len() + self.finishes.len()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::item::{Item, Params, SequenceNumber};

    fn day() -> Day {
        "2026-11-22".parse().unwrap()
    }

    fn claim_of(id: &str) -> Claimed {
        let identity = Item::new(id.to_owned(), Params::new()).unwrap().identity(&[]).unwrap();
        Claimed { identity, day: day(), sequence: SequenceNumber::from(0), lease: Timestamp::UNIX_EPOCH }
    }

    /// The number of the next chunk that holds a line.
    fn next(chunks: &mut Chunks) -> Option<u32> {
        chunks.add_record(0, claim_of("a"), b"{}\n");
        chunks.take_due(Instant::now(), true).unwrap().number
    }

    #[tokio::test]
    async fn a_number_is_used_once_and_left_out_never() {
        let mut chunks = Chunks::default();
        assert_eq!(next(&mut chunks), Some(0));
        chunks.on_number_used(day(), NumberUse::Used);
        assert_eq!(next(&mut chunks), Some(1));
        chunks.on_number_used(day(), NumberUse::Free);
        assert_eq!(next(&mut chunks), Some(1), "nothing was sent under it");
        chunks.on_number_used(day(), NumberUse::Ended);
        assert_eq!(next(&mut chunks), None);
        assert_eq!(next(&mut chunks), None, "for good");
    }

    #[tokio::test]
    async fn no_number_follows_one_whose_outcome_is_not_known() {
        let mut chunks = Chunks::default();
        assert_eq!(next(&mut chunks), Some(0));
        assert_eq!(next(&mut chunks), None);
    }

    #[tokio::test]
    async fn what_has_no_line_takes_no_number() {
        let mut chunks = Chunks::default();
        chunks.add_recovered(0, claim_of("a"));
        assert_eq!(chunks.take_due(Instant::now(), true).unwrap().number, None);
        assert_eq!(next(&mut chunks), Some(0));
    }
}
