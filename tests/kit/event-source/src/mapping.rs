//! The mapping's state machine: records and answers in, invocations and discards out. Pure: no I/O, time is passed in.
//!
//! A shard's records are dealt to as many lanes as the parallelization factor says, by partition key; a lane has one
//! batch in flight at most, so that the order holds per key. The retry budget is the batch's. The checkpoint of a shard
//! is the last record before which nothing is unfinished.
//!
//! Two readings of AWS's documentation that no recording settles: the halves of a split batch begin with a fresh budget
//! ("splitting a batch doesn't count toward the retry quota"), and a batch of several records is split rather than
//! discarded when its budget is spent.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{MappingConfig, Pace};
use crate::record::{Record, SequenceNumber};
use crate::reply::{Reply, read_reply};

mod action;
mod lane;
mod rules;
mod shard;

pub use action::{Action, Answer, BatchId, Condition, Delivery, Discarded, LastAnswer};

use lane::Batch;
use rules::Rules;
use shard::Shard;

/// Most records that are read ahead of what is in flight, per shard: what one `GetRecords` may return.
const READ_AHEAD: usize = 10_000;

/// The state machine of one mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    config: MappingConfig,
    pace: Pace,
    shards: BTreeMap<String, Shard>,
    batches: u64,
    paused: bool,
}

impl Mapping {
    /// A mapping that has read nothing yet.
    #[must_use]
    pub fn new(config: MappingConfig, pace: Pace) -> Self {
        Self { config, pace, shards: BTreeMap::new(), batches: 0, paused: false }
    }

    /// Begins to read a shard, from the starting position. One that it has stays as it is.
    pub fn add_shard(&mut self, shard: &str) {
        let lanes = self.lanes();
        self.shards.entry(shard.to_owned()).or_insert_with(|| Shard::new(lanes));
    }

    /// Takes over new values. The batch size holds from the next new batch on; a new factor once nothing is in flight.
    pub fn configure(&mut self, config: &MappingConfig) {
        self.config = config.clone();
    }

    /// Stops: what was read and is not in flight is forgotten, and read again from the checkpoint by [`Self::resume`].
    pub fn pause(&mut self) {
        self.paused = true;
        self.shards.values_mut().for_each(Shard::forget_unsent);
    }

    /// Goes on from the checkpoints.
    pub fn resume(&mut self) {
        self.paused = false;
        self.shards.values_mut().for_each(Shard::read_from_checkpoint);
    }

    /// The shards that want to be read, and after which record (none: from the starting position).
    #[must_use]
    pub fn shards_to_read(&self) -> Vec<(String, Option<SequenceNumber>)> {
        let hungry = |shard: &Shard| !self.paused && shard.unsent_count() < READ_AHEAD;
        self.shards
            .iter()
            .filter(|(_, shard)| hungry(shard))
            .map(|(name, shard)| (name.clone(), shard.read_to().cloned()))
            .collect()
    }

    /// Takes records that were read. Those that were finished or are in flight already are left out.
    pub fn add_records(&mut self, shard: &str, records: Vec<Record>, now: Timestamp) {
        if self.paused {
            return;
        }
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.take(records, now);
        }
    }

    /// The actions that are due at `now`; each action is returned once.
    pub fn due(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.paused {
            return actions;
        }
        let lanes = self.lanes();
        let rules = Rules { config: &self.config, pace: &self.pace };
        for (name, shard) in &mut self.shards {
            shard.deal_to(lanes, now);
            shard.due(name, &rules, &mut self.batches, now, &mut actions);
        }
        actions
    }

    /// Takes the answer to a batch; what that discards comes back.
    pub fn on_answer(&mut self, batch: BatchId, answer: &Answer, now: Timestamp) -> Option<Discarded> {
        let rules = Rules { config: &self.config, pace: &self.pace };
        let (name, shard, mut batch) = self
            .shards
            .iter_mut()
            .find_map(|(name, shard)| shard.take_batch(batch).map(|batch| (name, shard, batch)))?;
        let lane = batch.lane;
        let Some((last, reply)) = rules.read(answer, &batch.records) else {
            batch.not_before = crate::clock::later(now, rules.pace.backoff(1));
            shard.hand_back(lane, vec![batch], self.paused);
            return None;
        };
        batch.attempts = batch.attempts.saturating_add(1);
        batch.last = Some(last);
        match rules.after(reply, batch, &mut self.batches, now) {
            After::Finished(records) => {
                shard.finish(&records);
                None
            }
            After::Again { finished, batches } => {
                shard.finish(&finished);
                shard.hand_back(lane, batches, self.paused);
                None
            }
            After::Spent(batch) => {
                shard.finish(&batch.records);
                Some(batch.into_discarded(name, Condition::RetryAttemptsExhausted, now))
            }
        }
    }

    /// When [`Self::due`] has something next, if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.paused {
            return None;
        }
        self.shards.values().filter_map(|shard| shard.next_wake(self.config.batching_window)).min()
    }

    /// The last record of a shard before which, itself included, nothing is unfinished.
    #[must_use]
    pub fn checkpoint(&self, shard: &str) -> Option<&SequenceNumber> {
        self.shards.get(shard).and_then(Shard::checkpoint)
    }

    /// The shards' names, each with its checkpoint.
    pub fn checkpoints(&self) -> impl Iterator<Item = (&str, Option<&SequenceNumber>)> {
        self.shards.iter().map(|(name, shard)| (name.as_str(), shard.checkpoint()))
    }

    /// How many batches are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shards.values().map(Shard::in_flight).sum()
    }

    fn lanes(&self) -> usize {
        usize::try_from(self.config.parallelization_factor).unwrap_or(1).max(1)
    }
}

/// The next step of an answered batch.
enum After {
    Finished(Vec<Record>),
    Again { finished: Vec<Record>, batches: Vec<Batch> },
    Spent(Batch),
}

impl Rules<'_> {
    /// The meaning of an answer; nothing, if there was no invocation.
    fn read(&self, answer: &Answer, records: &[Record]) -> Option<(LastAnswer, Reply)> {
        match answer {
            Answer::Replied { request_id, body } => {
                let last = LastAnswer { request_id: request_id.clone(), unhandled: false };
                Some((last, read_reply(body, self.config.report_batch_item_failures, records)))
            }
            Answer::Failed { request_id, message } => {
                let last = LastAnswer { request_id: request_id.clone(), unhandled: true };
                Some((last, Reply::Whole(message.clone())))
            }
            Answer::NotInvoked => None,
        }
    }

    fn after(&self, reply: Reply, mut batch: Batch, batches: &mut u64, now: Timestamp) -> After {
        match reply {
            Reply::Success => After::Finished(batch.records),
            Reply::From(sequence) => {
                let done = batch.records.iter().take_while(|record| record.sequence < sequence).count();
                batch.not_before = crate::clock::later(now, self.pace.after_partial);
                if done == 0 {
                    return self.retry(batch);
                }
                // The rest is a new batch, with a budget of its own.
                let left = batch.records.split_off(done);
                let finished = std::mem::replace(&mut batch.records, left);
                batch.begin_anew(batches);
                After::Again { finished, batches: vec![batch] }
            }
            Reply::Whole(_) => {
                batch.not_before = crate::clock::later(now, self.pace.backoff(batch.attempts));
                if !self.config.bisect_batch_on_function_error || batch.records.len() < 2 {
                    return self.retry(batch);
                }
                let mut second = batch.clone();
                second.records = batch.records.split_off(batch.records.len() / 2);
                batch.begin_anew(batches);
                second.begin_anew(batches);
                After::Again { finished: Vec::new(), batches: vec![batch, second] }
            }
        }
    }

    fn retry(&self, batch: Batch) -> After {
        match self.config.maximum_retry_attempts {
            Some(retries) if batch.attempts > retries => After::Spent(batch),
            _ => After::Again { finished: Vec::new(), batches: vec![batch] },
        }
    }
}
