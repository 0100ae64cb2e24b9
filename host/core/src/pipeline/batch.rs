//! A batch in progress: entries parsed, duplicates merged, and for each identity the work that is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::dead_letter::{DeadLetter, Reason};
use crate::item::{Entry, Identity, Item, SequenceNumber};
use crate::ledger::Parked;
use crate::pipeline::report::{Aside, End, Report, Stopped};
use crate::pipeline::verdict::Failures;

/// One identity to fetch: the work of all entries that name it.
#[derive(Debug)]
pub(crate) struct Work {
    /// The item to fetch.
    pub(crate) item: Item,
    /// Its identity.
    pub(crate) identity: Identity,
    /// The entry that stands for it: the first that names it.
    pub(crate) sequence: SequenceNumber,
    /// When that entry arrived.
    pub(crate) arrived: Timestamp,
    /// That entry's bytes.
    pub(crate) payload: Bytes,
}

/// Which work of the batch.
pub(crate) type WorkIndex = usize;

/// How a work was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Its record was stored for the work's own entry.
    Fetched,
    /// The work's own entry was given up on.
    Dead,
    /// It had been stored, or given up on, before: for this entry.
    Before {
        /// The entry.
        by: SequenceNumber,
        /// How that one ended.
        end: End,
    },
}

/// One entry, and its end.
#[derive(Debug)]
struct BatchRow {
    entry: Entry,
    /// Until when it was parked, where it was taken up from there. More than one time where a call died after it had
    /// parked the entry once more, and before it could forget the earlier time.
    parked: Vec<Timestamp>,
    end: Option<End>,
}

/// An entry whose item waits for long.
#[derive(Debug)]
pub(crate) struct Late {
    /// The entry.
    pub(crate) entry: Entry,
    /// Until when it was parked, where it was taken up from there.
    pub(crate) parked: Vec<Timestamp>,
    /// When its item is due.
    pub(crate) due: Instant,
}

/// Until when a batch waits for works that are not due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For works whose record was not ready.
    pub(crate) for_polls: Instant,
    /// For all others.
    pub(crate) for_others: Instant,
}

/// A batch and the work that is left of it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Those that were taken up first, then those that were delivered; none twice.
    rows: Vec<BatchRow>,
    /// The positions of the delivered ones, in the stream's order.
    delivered: Vec<usize>,
    works: Vec<Arc<Work>>,
    entries_of: Vec<Vec<usize>>,
    /// How many works it began with; later ones are of entries that joined it.
    fresh_works: usize,
    /// Entries that are no items, with the letters to keep.
    unreadable: Vec<(usize, DeadLetter)>,
    ready: VecDeque<WorkIndex>,
    delayed: BTreeSet<(Instant, WorkIndex)>,
    failures: BTreeMap<WorkIndex, Failures>,
    /// Works that the API has taken and that wait for their next poll.
    polled: BTreeSet<WorkIndex>,
    /// These, and works whose poll has failed: each comes before fresh works when it is due.
    preferred: BTreeSet<WorkIndex>,
}

impl Batch {
    /// Parse the entries that were taken up and those that were delivered, and collapse those of one identity.
    pub(crate) fn parse(
        taken_up: Vec<Parked>,
        delivered: Vec<Entry>,
        provider: &str,
        identity_params: &[String],
        now: Timestamp,
    ) -> Self {
        let mut batch = Self::default();
        let mut known: BTreeMap<Identity, WorkIndex> = BTreeMap::new();
        for (position, entry) in batch.list(taken_up, delivered) {
            batch.add(position, entry, &mut known, provider, identity_params, now);
        }
        batch.ready = (0..batch.works.len()).collect();
        batch.fresh_works = batch.works.len();
        batch
    }

    /// Add entries of earlier batches that have become due. They are started next, in their order.
    pub(crate) fn join(&mut self, due: Vec<Entry>, provider: &str, identity_params: &[String], now: Timestamp) {
        // A work that has ended did so for its own entries alone: the claim of a later entry says how.
        let unsettled = self.works.iter().enumerate().filter(|(index, _)| !self.has_ended(*index));
        let mut known: BTreeMap<Identity, WorkIndex> =
            unsettled.map(|(index, work)| (work.identity.clone(), index)).collect();
        let held: BTreeSet<SequenceNumber> = self.rows.iter().map(|row| row.entry.sequence.clone()).collect();
        let (first_row, first_work) = (self.rows.len(), self.works.len());
        for entry in due.into_iter().filter(|entry| !held.contains(&entry.sequence)) {
            self.rows.push(BatchRow { entry: entry.clone(), parked: Vec::new(), end: None });
            self.add(self.rows.len() - 1, entry, &mut known, provider, identity_params, now);
        }
        // Earlier batches are earlier in the stream.
        self.delivered.splice(0..0, first_row..self.rows.len());
        (first_work..self.works.len()).rev().for_each(|index| self.ready.push_front(index));
    }

    /// Whether work of the batch itself, not of entries that joined it, can start.
    pub(crate) fn has_fresh_work(&self) -> bool {
        self.ready.iter().any(|index| *index < self.fresh_works)
    }

    /// Parse the entry of a row: a work of its own, or one more entry of a known one.
    fn add(
        &mut self,
        position: usize,
        entry: Entry,
        known: &mut BTreeMap<Identity, WorkIndex>,
        provider: &str,
        identity_params: &[String],
        now: Timestamp,
    ) {
        let parsed = Item::parse(&entry.payload)
            .and_then(|item| item.identity(identity_params).map(|identity| (item, identity)));
        let (item, identity) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.unreadable.push((position, unreadable(provider, entry, error.to_string(), now)));
                return;
            }
        };
        let index = *known.entry(identity.clone()).or_insert_with(|| {
            let Entry { sequence, arrived, payload } = entry;
            self.works.push(Arc::new(Work { item, identity, sequence, arrived, payload }));
            self.entries_of.push(Vec::new());
            self.works.len() - 1
        });
        if let Some(positions) = self.entries_of.get_mut(index) {
            positions.push(position);
        }
    }

    /// Whether the entries of a work have ended.
    fn has_ended(&self, index: WorkIndex) -> bool {
        let positions = self.entries_of.get(index).into_iter().flatten();
        positions.filter_map(|position| self.rows.get(*position)).all(|row| row.end.is_some())
    }

    /// List all entries, each once: what was parked may be delivered again, if the call that parked it did not live to
    /// say so. Answers them with their positions.
    fn list(&mut self, taken_up: Vec<Parked>, delivered: Vec<Entry>) -> Vec<(usize, Entry)> {
        let mut places: BTreeMap<SequenceNumber, usize> = BTreeMap::new();
        for Parked { entry, due } in taken_up {
            let position = *places.entry(entry.sequence.clone()).or_insert(self.rows.len());
            match self.rows.get_mut(position) {
                Some(row) => row.parked.push(due),
                None => self.rows.push(BatchRow { entry, parked: vec![due], end: None }),
            }
        }
        for entry in delivered {
            let position = places.get(&entry.sequence).copied().unwrap_or(self.rows.len());
            self.delivered.push(position);
            if position == self.rows.len() {
                self.rows.push(BatchRow { entry, parked: Vec::new(), end: None });
            }
        }
        self.rows.iter().map(|row| row.entry.clone()).enumerate().collect()
    }

    fn delivered_rows(&self) -> impl Iterator<Item = &BatchRow> {
        self.delivered.iter().filter_map(|position| self.rows.get(*position))
    }

    /// The letters of entries that are no items; to be handed out once.
    pub(crate) fn take_unreadable(&mut self) -> Vec<(usize, DeadLetter)> {
        std::mem::take(&mut self.unreadable)
    }

    /// An entry that is no item is kept as a dead letter.
    pub(crate) fn on_unreadable_kept(&mut self, position: usize) -> End {
        self.end(position, End::DeadLetter);
        End::DeadLetter
    }

    /// How many entries it was delivered with.
    pub(crate) fn len(&self) -> usize {
        self.delivered.len()
    }

    /// Whether this entry was delivered.
    pub(crate) fn holds(&self, entry: &SequenceNumber) -> bool {
        self.delivered_rows().any(|row| row.entry.sequence == *entry)
    }

    /// All works.
    pub(crate) fn works(&self) -> impl Iterator<Item = (WorkIndex, &Arc<Work>)> {
        self.works.iter().enumerate()
    }

    /// Take works out of the queue that need no try. Asks once for each work in the queue.
    pub(crate) fn withdraw(&mut self, mut is_settled: impl FnMut(WorkIndex) -> bool) {
        self.ready.retain(|queued| !is_settled(*queued));
    }

    /// The lowest unfinished entry, if one behind it has ended.
    pub(crate) fn first_before_an_end(&self) -> Option<SequenceNumber> {
        let mut unfinished = self.delivered_rows().skip_while(|row| row.end.is_some());
        let first = unfinished.next()?;
        unfinished.any(|row| row.end.is_some()).then(|| first.entry.sequence.clone())
    }

    /// The work behind an index.
    pub(crate) fn work(&self, index: WorkIndex) -> Option<&Arc<Work>> {
        self.works.get(index)
    }

    /// The next work that is due, taken out of the queue.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<WorkIndex> {
        while let Some((due, index)) = self.delayed.first().copied()
            && due <= now
        {
            self.delayed.pop_first();
            // An order that the API works at comes before orders that it has not got yet.
            if self.preferred.contains(&index) {
                self.ready.push_front(index);
            } else {
                self.ready.push_back(index);
            }
        }
        self.ready.pop_front()
    }

    /// Put a work back to the front: it was taken but could not start.
    pub(crate) fn put_back(&mut self, index: WorkIndex) {
        self.ready.push_front(index);
    }

    /// Try a work again when its time has come.
    pub(crate) fn delay(&mut self, index: WorkIndex, due: Instant) {
        self.delayed.insert((due, index));
    }

    /// Let a work come before fresh ones when it is due.
    pub(crate) fn prefer(&mut self, index: WorkIndex) {
        self.preferred.insert(index);
    }

    /// Poll a work when its time has come: its record was not ready.
    pub(crate) fn poll_later(&mut self, index: WorkIndex, due: Instant) {
        self.polled.insert(index);
        self.preferred.insert(index);
        self.delayed.insert((due, index));
    }

    /// Whether the API has taken this work, and its record was not ready.
    pub(crate) fn is_polled(&self, index: WorkIndex) -> bool {
        self.polled.contains(&index)
    }

    /// How a work has failed in this delivery.
    pub(crate) fn failures(&self, index: WorkIndex) -> Failures {
        self.failures.get(&index).copied().unwrap_or_default()
    }

    /// Note that a work failed once more, which makes these its failures.
    pub(crate) fn record_failures(&mut self, index: WorkIndex, failures: Failures) {
        self.failures.insert(index, failures);
    }

    /// When the next delayed work is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Whether nothing waits any more.
    pub(crate) fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }

    /// A work is settled: all of its entries end. One line in the sink is one entry fetched, one letter kept is one
    /// dead; the entries beside them are skipped. Returns the ends, for counting.
    pub(crate) fn settle(&mut self, index: WorkIndex, settled: &Settled) -> Vec<End> {
        let positions = self.entries_of.get(index).cloned().unwrap_or_default();
        let mut ends = Vec::with_capacity(positions.len());
        for (rank, position) in positions.into_iter().enumerate() {
            let sequence = self.rows.get(position).map(|row| &row.entry.sequence);
            let end = match settled {
                Settled::Fetched if rank == 0 => End::Fetched,
                Settled::Dead if rank == 0 => End::DeadLetter,
                Settled::Before { by, end } if sequence == Some(by) => *end,
                _ => End::Skipped,
            };
            self.end(position, end);
            ends.push(end);
        }
        ends
    }

    /// Whether all works that are left wait longer than the batch does, and there is one: continuing gains nothing.
    pub(crate) fn only_waits(&self, patience: Patience) -> bool {
        self.ready.is_empty()
            && !self.delayed.is_empty()
            && self.delayed.iter().all(|work| self.is_late(*work, patience))
    }

    fn is_late(&self, (due, index): (Instant, WorkIndex), patience: Patience) -> bool {
        due > if self.polled.contains(&index) { patience.for_polls } else { patience.for_others }
    }

    /// Take out the works that wait longer than the batch does, with all entries of each identity.
    pub(crate) fn take_waiting(&mut self, patience: Patience) -> Vec<Late> {
        let (waiting, rest) = std::mem::take(&mut self.delayed)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|work| self.is_late(*work, patience));
        self.delayed = rest;
        let mut late = Vec::with_capacity(waiting.len());
        for (due, index) in waiting {
            let rows = self.entries_of.get(index).into_iter().flatten().filter_map(|position| self.rows.get(*position));
            late.extend(rows.map(|row| Late { entry: row.entry.clone(), parked: row.parked.clone(), due }));
        }
        late
    }

    /// The entries that were taken up, as they were parked, with whether they have ended.
    pub(crate) fn taken_up(&self) -> impl Iterator<Item = (Parked, bool)> {
        let parked = |row: &BatchRow, due: Timestamp| (Parked { entry: row.entry.clone(), due }, row.end.is_some());
        self.rows.iter().flat_map(move |row| row.parked.iter().map(move |due| parked(row, *due)))
    }

    /// The report of the batch, with the entries that wait for long and were set aside.
    pub(crate) fn into_report(self, stopped: Option<Stopped>, aside: Aside) -> Report {
        let Aside { waiting, parked } = aside;
        let is_parked: BTreeSet<&SequenceNumber> = parked.iter().collect();
        let is_left = |row: &&BatchRow| row.end.is_none() && !is_parked.contains(&row.entry.sequence);
        let first_unfinished = self.delivered_rows().find(is_left).map(|row| row.entry.sequence.clone());
        let ended = |row: &BatchRow| Some((row.entry.sequence.clone(), row.end?));
        let in_stream: BTreeSet<usize> = self.delivered.iter().copied().collect();
        let taken_up = self.rows.iter().enumerate().filter(|(position, _)| !in_stream.contains(position));
        let taken_up = taken_up.filter_map(|(_, row)| ended(row)).collect();
        let ended = self.delivered_rows().filter_map(ended).collect();
        Report { ended, first_unfinished, waiting, parked, taken_up, stopped }
    }

    fn end(&mut self, position: usize, end: End) {
        if let Some(row) = self.rows.get_mut(position) {
            row.end = Some(end);
        }
    }
}

fn unreadable(provider: &str, entry: Entry, message: String, now: Timestamp) -> DeadLetter {
    DeadLetter {
        provider: provider.to_owned(),
        sequence: entry.sequence,
        arrived: entry.arrived,
        died: now,
        payload: entry.payload,
        reason: Reason::Unreadable,
        message,
        status: None,
        attempts: 0,
        component: String::new(),
        bundle: None,
    }
}

#[cfg(test)]
mod tests;
