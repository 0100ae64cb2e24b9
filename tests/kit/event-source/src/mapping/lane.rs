//! One lane of a shard: the records that wait, the batches made of them, and the one in flight.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use super::action::{Action, BatchId, Condition, Delivery, Discarded, LastAnswer};
use super::rules::Rules;
use crate::clock::later;
use crate::record::Record;

/// A record's share of the event beside its data: names, numbers and punctuation.
const ENVELOPE_BYTES: usize = 512;

/// Records that are delivered together, and what became of it so far.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) lane: usize,
    pub(super) records: Vec<Record>,
    pub(super) attempts: u32,
    pub(super) not_before: Timestamp,
    pub(super) last: Option<LastAnswer>,
}

impl Batch {
    fn new(lane: usize, records: Vec<Record>, now: Timestamp, batches: &mut u64) -> Self {
        Self { id: next_id(batches), lane, records, attempts: 0, not_before: now, last: None }
    }

    /// Makes a new batch of it, with a fresh budget.
    pub(super) fn begin_anew(&mut self, batches: &mut u64) {
        self.id = next_id(batches);
        self.attempts = 0;
    }

    pub(super) fn into_discarded(self, shard: &str, condition: Condition, at: Timestamp) -> Discarded {
        // AWS counts the invocation that an expired batch would have got.
        let invoke_count = match condition {
            Condition::RetryAttemptsExhausted => self.attempts,
            Condition::RecordAgeExceeded => self.attempts.saturating_add(1),
        };
        Discarded { shard: shard.to_owned(), records: self.records, condition, invoke_count, last: self.last, at }
    }

    /// Takes the records out that are too old.
    fn take_expired(&mut self, rules: &Rules<'_>, now: Timestamp) -> Option<Self> {
        let age = rules.config.maximum_record_age?;
        let (expired, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.records).into_iter().partition(|record| later(record.arrived, age) < now);
        self.records = left;
        (!expired.is_empty()).then(|| Self { records: expired, ..self.clone() })
    }
}

fn next_id(batches: &mut u64) -> BatchId {
    *batches = batches.saturating_add(1);
    BatchId(*batches)
}

/// A lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    /// Read and in no batch yet, each with the time when it was read.
    waiting: VecDeque<(Record, Timestamp)>,
    /// To be delivered before anything that waits.
    ready: VecDeque<Batch>,
    pub(super) flying: Option<Batch>,
}

impl Lane {
    /// Takes a record in its order: what was in flight over a pause may be back before what was forgotten is read
    /// again.
    pub(super) fn push(&mut self, record: Record, now: Timestamp) {
        let place = self.waiting.partition_point(|(there, _)| there.sequence < record.sequence);
        self.waiting.insert(place, (record, now));
    }

    pub(super) fn unsent_count(&self) -> usize {
        self.waiting.len() + self.ready.iter().map(|batch| batch.records.len()).sum::<usize>()
    }

    /// Empties the lane but for what is in flight.
    pub(super) fn take_unsent(&mut self) -> Vec<Record> {
        let ready = self.ready.drain(..).flat_map(|batch| batch.records);
        ready.chain(self.waiting.drain(..).map(|(record, _)| record)).collect()
    }

    /// Puts batches before everything else, in their order.
    pub(super) fn push_front(&mut self, batches: Vec<Batch>) {
        batches.into_iter().rev().for_each(|batch| self.ready.push_front(batch));
    }

    /// Adds the lane's actions that are due; discards are finished records.
    pub(super) fn due(
        &mut self,
        place: (&str, usize),
        rules: &Rules<'_>,
        batches: &mut u64,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let (shard, index) = place;
        while self.flying.is_none() {
            if self.ready.is_empty() {
                let Some(records) = self.gather(rules, now) else { return };
                self.ready.push_back(Batch::new(index, records, now, batches));
            }
            let Some(mut batch) = self.ready.pop_front_if(|batch| batch.not_before <= now) else { return };
            if let Some(expired) = batch.take_expired(rules, now) {
                actions.push(Action::Discard(expired.into_discarded(shard, Condition::RecordAgeExceeded, now)));
            }
            if batch.records.is_empty() {
                continue;
            }
            actions.push(Action::Invoke(Delivery {
                batch: batch.id,
                shard: shard.to_owned(),
                records: Arc::from(batch.records.clone()),
                attempt: batch.attempts.saturating_add(1),
            }));
            self.flying = Some(batch);
        }
    }

    /// The records of a new batch, if it is full or its window has passed.
    fn gather(&mut self, rules: &Rules<'_>, now: Timestamp) -> Option<Vec<Record>> {
        let most = usize::try_from(rules.config.batch_size).unwrap_or(usize::MAX);
        let (_, first_read) = self.waiting.front()?;
        let window_ends = later(*first_read, rules.config.batching_window);
        let mut bytes = 0_usize;
        let fits = |(record, _): &&(Record, Timestamp)| {
            // Base64 writes three bytes as four.
            let encoded = record.data.len().div_ceil(3).saturating_mul(4);
            bytes = bytes.saturating_add(encoded).saturating_add(record.partition_key.len() + ENVELOPE_BYTES);
            bytes <= rules.pace.payload_bytes
        };
        let count = self.waiting.iter().take(most).take_while(fits).count();
        let is_full = count == most || bytes > rules.pace.payload_bytes;
        if !is_full && now < window_ends {
            return None;
        }
        // One record alone always fits: Kinesis takes at most 1 MB of each.
        Some(self.waiting.drain(..count.max(1)).map(|(record, _)| record).collect())
    }

    /// When it has something to do next.
    pub(super) fn next_wake(&self, window: std::time::Duration) -> Option<Timestamp> {
        if self.flying.is_some() {
            return None;
        }
        match self.ready.front() {
            Some(batch) => Some(batch.not_before),
            None => self.waiting.front().map(|(_, read)| later(*read, window)),
        }
    }
}
