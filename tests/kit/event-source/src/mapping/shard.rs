//! One shard: what was read of it and is not finished, its checkpoint, and its lanes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use super::action::{Action, BatchId};
use super::lane::{Batch, Lane};
use super::rules::Rules;
use crate::record::{Record, SequenceNumber};

/// The progress of a record that was read and lies above the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// In a lane.
    Open,
    /// In no lane any more; it will be read again. The checkpoint must not pass it.
    Forgotten,
    Finished,
}

/// A shard.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    checkpoint: Option<SequenceNumber>,
    read_to: Option<SequenceNumber>,
    above: BTreeMap<SequenceNumber, Progress>,
    lanes: Vec<Lane>,
}

impl Shard {
    pub(super) fn new(lanes: usize) -> Self {
        Self { checkpoint: None, read_to: None, above: BTreeMap::new(), lanes: vec![Lane::default(); lanes] }
    }

    pub(super) fn checkpoint(&self) -> Option<&SequenceNumber> {
        self.checkpoint.as_ref()
    }

    pub(super) fn read_to(&self) -> Option<&SequenceNumber> {
        self.read_to.as_ref()
    }

    pub(super) fn unsent_count(&self) -> usize {
        self.lanes.iter().map(Lane::unsent_count).sum()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.flying.is_some()).count()
    }

    pub(super) fn take(&mut self, records: Vec<Record>, now: Timestamp) {
        for record in records {
            if self.read_to.as_ref().is_none_or(|last| *last < record.sequence) {
                self.read_to = Some(record.sequence.clone());
            }
            let is_past = self.checkpoint.as_ref().is_some_and(|checkpoint| record.sequence <= *checkpoint);
            let is_known = self.above.get(&record.sequence).is_some_and(|progress| *progress != Progress::Forgotten);
            if !is_past && !is_known {
                self.deal(record, now);
            }
        }
    }

    fn deal(&mut self, record: Record, now: Timestamp) {
        self.above.insert(record.sequence.clone(), Progress::Open);
        let lane = lane_of(&record.partition_key, self.lanes.len());
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push(record, now);
        }
    }

    /// Deals anew when the number of lanes changed, once nothing is in flight: a key must not be in two lanes.
    pub(super) fn deal_to(&mut self, lanes: usize, now: Timestamp) {
        if lanes == self.lanes.len() || self.in_flight() > 0 {
            return;
        }
        let mut records: Vec<_> = self.lanes.iter_mut().flat_map(Lane::take_unsent).collect();
        records.sort_by(|one, other| one.sequence.cmp(&other.sequence));
        self.lanes = vec![Lane::default(); lanes];
        records.into_iter().for_each(|record| self.deal(record, now));
    }

    pub(super) fn due(
        &mut self,
        name: &str,
        rules: &Rules<'_>,
        batches: &mut u64,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let wanted = usize::try_from(rules.config.parallelization_factor).unwrap_or(1).max(1);
        if wanted != self.lanes.len() {
            // It waits for what is in flight, to be dealt anew.
            return;
        }
        let known = actions.len();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.due((name, index), rules, batches, now, actions);
        }
        for action in actions.iter().skip(known) {
            if let Action::Discard(discarded) = action {
                self.finish(&discarded.records);
            }
        }
    }

    /// Takes the batch out of its lane, if it is of this shard.
    pub(super) fn take_batch(&mut self, batch: BatchId) -> Option<Batch> {
        self.lanes.iter_mut().find_map(|lane| lane.flying.take_if(|flying| flying.id == batch))
    }

    /// Gives batches back to their lane, to be delivered again; while paused they are forgotten, to be read again.
    pub(super) fn hand_back(&mut self, lane: usize, batches: Vec<Batch>, paused: bool) {
        if paused {
            batches.iter().for_each(|batch| self.forget(&batch.records));
        } else if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push_front(batches);
        }
    }

    /// Marks records as done with, and moves the checkpoint as far as that allows.
    pub(super) fn finish(&mut self, records: &[Record]) {
        for record in records {
            if let Some(progress) = self.above.get_mut(&record.sequence) {
                *progress = Progress::Finished;
            }
        }
        while let Some(first) = self.above.first_entry().filter(|first| *first.get() == Progress::Finished) {
            self.checkpoint = Some(first.remove_entry().0);
        }
    }

    pub(super) fn forget_unsent(&mut self) {
        let records: Vec<_> = self.lanes.iter_mut().flat_map(Lane::take_unsent).collect();
        self.forget(&records);
    }

    fn forget(&mut self, records: &[Record]) {
        for record in records {
            self.above.insert(record.sequence.clone(), Progress::Forgotten);
        }
    }

    pub(super) fn read_from_checkpoint(&mut self) {
        self.read_to = self.checkpoint.clone();
    }

    pub(super) fn next_wake(&self, window: Duration) -> Option<Timestamp> {
        self.lanes.iter().filter_map(|lane| lane.next_wake(window)).min()
    }
}

/// The lane of a partition key: always the same, for the same number of lanes.
fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    partition_key.hash(&mut hasher);
    let lanes = u64::try_from(lanes).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}
