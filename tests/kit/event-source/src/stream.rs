//! The source of a mapping's records: a stand-in's Kinesis over the SDK, or memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::Bytes;
use jiff::Timestamp;

use crate::record::{Record, SequenceNumber};

/// Most records of one read: Kinesis allows 10,000.
const READ_MOST: i32 = 10_000;

/// A position to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest record.
    TrimHorizon,
    /// Records that arrived at this time or later.
    At(Timestamp),
    /// Records after this one.
    After(SequenceNumber),
}

/// Why a stream could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what} of {stream}: {why}")]
pub struct StreamError {
    what: &'static str,
    stream: String,
    why: String,
}

impl StreamError {
    /// An error of an operation on a stream, with its cause.
    #[must_use]
    pub fn new(what: &'static str, stream: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what, stream: stream.into(), why: why.into() }
    }
}

/// A stream of shards.
#[async_trait]
pub trait Stream: Send + Sync {
    /// The shards' names.
    async fn shards(&self) -> Result<Vec<String>, StreamError>;

    /// Records from a position on, in order; none when there is nothing new.
    async fn read(&self, shard: &str, from: &Position) -> Result<Vec<Record>, StreamError>;
}

/// A stream behind the Kinesis API.
#[derive(Debug)]
pub struct KinesisStream {
    client: Client,
    arn: String,
    /// The iterator that goes on from a position, by shard.
    iterators: Mutex<HashMap<String, (Position, String)>>,
}

impl KinesisStream {
    /// The stream of that ARN.
    #[must_use]
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self { client, arn: arn.into(), iterators: Mutex::default() }
    }

    fn stream_error<E>(&self, what: &'static str, error: &E) -> StreamError
    where
        E: std::error::Error + ProvideErrorMetadata,
    {
        StreamError::new(what, &self.arn, DisplayErrorContext(error).to_string())
    }

    async fn iterator(&self, shard: &str, from: &Position) -> Result<String, StreamError> {
        if let Some((_, iterator)) = lock(&self.iterators).get(shard).filter(|(position, _)| position == from) {
            return Ok(iterator.clone());
        }
        let request = self.client.get_shard_iterator().stream_arn(&self.arn).shard_id(shard);
        let request = match from {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::At(time) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Position::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        let answer = request.send().await.map_err(|error| self.stream_error("get a shard iterator", &error))?;
        Ok(answer.shard_iterator.unwrap_or_default())
    }
}

#[async_trait]
impl Stream for KinesisStream {
    async fn shards(&self) -> Result<Vec<String>, StreamError> {
        let request = self.client.list_shards().stream_arn(&self.arn);
        let answer = request.send().await.map_err(|error| self.stream_error("list the shards", &error))?;
        Ok(answer.shards.unwrap_or_default().into_iter().map(|shard| shard.shard_id).collect())
    }

    async fn read(&self, shard: &str, from: &Position) -> Result<Vec<Record>, StreamError> {
        let iterator = self.iterator(shard, from).await?;
        let request = self.client.get_records().stream_arn(&self.arn).shard_iterator(iterator).limit(READ_MOST);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                // An iterator lives for five minutes; the next read gets a new one.
                lock(&self.iterators).remove(shard);
                return Err(self.stream_error("get the records", &error));
            }
        };
        let records: Vec<_> = answer.records.into_iter().map(record).collect();
        let reached = records.last().map_or_else(|| from.clone(), |last| Position::After(last.sequence.clone()));
        if let Some(next) = answer.next_shard_iterator {
            lock(&self.iterators).insert(shard.to_owned(), (reached, next));
        }
        Ok(records)
    }
}

fn record(record: aws_sdk_kinesis::types::Record) -> Record {
    let arrived = record.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
    Record {
        sequence: SequenceNumber::new(record.sequence_number),
        partition_key: record.partition_key.unwrap_or_default(),
        data: Bytes::from(record.data.into_inner()),
        arrived: arrived.and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// A stream in memory.
#[derive(Debug, Default)]
pub struct MemoryStream {
    shards: Mutex<BTreeMap<String, Vec<Record>>>,
}

impl MemoryStream {
    /// An empty stream with that many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let shards = (0..shards).map(|index| (format!("shardId-{index:012}"), Vec::new())).collect();
        Self { shards: Mutex::new(shards) }
    }

    /// Puts a record behind all others; its sequence number comes back.
    pub fn put(&self, shard: usize, partition_key: &str, data: impl Into<Bytes>, arrived: Timestamp) -> SequenceNumber {
        let mut shards = lock(&self.shards);
        let records = shards.entry(format!("shardId-{shard:012}")).or_default();
        let sequence = SequenceNumber::new(format!("4959{shard:012}{:036}", records.len()));
        let partition_key = partition_key.to_owned();
        records.push(Record { sequence: sequence.clone(), partition_key, data: data.into(), arrived });
        sequence
    }
}

#[async_trait]
impl Stream for MemoryStream {
    async fn shards(&self) -> Result<Vec<String>, StreamError> {
        Ok(lock(&self.shards).keys().cloned().collect())
    }

    async fn read(&self, shard: &str, from: &Position) -> Result<Vec<Record>, StreamError> {
        let is_wanted = |record: &&Record| match from {
            Position::TrimHorizon => true,
            Position::At(time) => record.arrived >= *time,
            Position::After(sequence) => record.sequence > *sequence,
        };
        let shards = lock(&self.shards);
        Ok(shards.get(shard).into_iter().flatten().filter(is_wanted).cloned().collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
