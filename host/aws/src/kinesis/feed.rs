//! Feeding a stream: many records a request, and what was refused is sent again, alone.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bytes::Bytes;
use damper_core::item::Item;
use damper_core::random::RandomSource;
use sha2::{Digest, Sha256};

use crate::backoff::Backoff;

/// PutRecords takes so many records ...
const RECORDS: usize = 500;
/// ... and so many bytes, keys included. A stream may be set to take more.
const BYTES: usize = 5 * 1024 * 1024;
/// A record of a stream whose limit nobody has raised.
const RECORD_BYTES: usize = 1024 * 1024;
/// The longest partition key, in characters.
const KEY_CHARACTERS: usize = 256;

/// A shard takes a thousand records a second: about a minute in all for one that takes none, and each that is taken
/// begins anew.
const REFUSED_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), waits: 16 };

/// The result of a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedSummary {
    /// Entries that the stream has accepted.
    pub accepted: u64,
    /// How often an entry was refused, and sent again.
    pub resent: u64,
}

/// Why not all was fed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// An entry is too large for a record. Nothing was fed.
    #[error(
        "entry {number} of {given} has {bytes} bytes, more than the {RECORD_BYTES} of a record in {stream:?}: nothing was fed"
    )]
    TooLarge {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        given: usize,
        /// How large.
        bytes: usize,
        /// The stream.
        stream: String,
    },
    /// There is no such stream.
    #[error(
        "there is no stream {stream:?}: deploy the provider's stack, or check the region; {accepted} entries were fed before"
    )]
    Unknown {
        /// The stream.
        stream: String,
        /// How many had been accepted.
        accepted: u64,
    },
    /// The credentials may not feed it.
    #[error(
        "these credentials have no permission to feed the stream {stream:?} ({message}): allow kinesis:PutRecords; {accepted} entries were fed before"
    )]
    Denied {
        /// The stream.
        stream: String,
        /// How many had been accepted.
        accepted: u64,
        /// AWS's message.
        message: String,
    },
    /// The stream refuses, and went on so.
    #[error(
        "the stream {stream:?} accepted {accepted} entries and refused the other {left} ({message}): feed the refused ones again later, or add shards"
    )]
    Refused {
        /// The stream.
        stream: String,
        /// How many were accepted.
        accepted: u64,
        /// How many were not, or may not have been.
        left: u64,
        /// AWS's message.
        message: String,
    },
}

impl FeedError {
    /// How many entries were fed before it failed.
    #[must_use]
    pub fn accepted_count(&self) -> u64 {
        match self {
            Self::TooLarge { .. } => 0,
            Self::Unknown { accepted, .. } | Self::Denied { accepted, .. } | Self::Refused { accepted, .. } => {
                *accepted
            }
        }
    }
}

/// Feeds one stream.
///
/// ```no_run
/// # async fn example() -> Result<(), damper_aws::kinesis::FeedError> {
/// use damper_aws::{AwsClients, kinesis::Feeder};
///
/// let clients = AwsClients::load().await;
/// let feeder = Feeder::new(clients.kinesis(), "damper-gleif");
/// let summary = feeder.feed(vec![r#"{"id":"41"}"#.into(), r#"{"id":"42"}"#.into()]).await?;
/// assert_eq!(summary.accepted, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Feeder {
    client: Client,
    stream: String,
    random: RandomSource,
}

impl Feeder {
    /// A feeder of the stream of this name.
    #[must_use]
    pub fn new(client: Client, stream: impl Into<String>) -> Self {
        Self { client, stream: stream.into(), random: RandomSource::System }
    }

    /// Feed entries, in order as far as Kinesis keeps it: a record that is refused comes after those that were not.
    /// Entries of one id go to one shard, where they meet.
    ///
    /// # Errors
    /// If the stream is missing, or refuses for about a minute; the error says how many were accepted.
    pub async fn feed(&self, payloads: Vec<Bytes>) -> Result<FeedSummary, FeedError> {
        let given = payloads.len();
        let mut records = Vec::with_capacity(given);
        for (index, payload) in payloads.into_iter().enumerate() {
            if payload.len() > RECORD_BYTES {
                let (number, bytes, stream) = (index + 1, payload.len(), self.stream.clone());
                return Err(FeedError::TooLarge { number, given, bytes, stream });
            }
            records.push((partition_key(&payload), payload));
        }
        let (mut fed, mut number) = (FeedSummary::default(), 0);
        let mut left = records;
        while !left.is_empty() {
            let rest = left.split_off(request_length(&left));
            let sent = left.len();
            let (refused, message) = self.put_records(left, fed.accepted).await?;
            let accepted = sent - refused.len();
            fed.accepted += accepted as u64;
            fed.resent += refused.len() as u64;
            left = refused;
            left.extend(rest);
            let Some(message) = message else { continue };
            number = if accepted > 0 { 0 } else { number };
            if !REFUSED_BACKOFF.sleep(number, &self.random).await {
                let (stream, accepted) = (self.stream.clone(), fed.accepted);
                return Err(FeedError::Refused { stream, accepted, left: left.len() as u64, message });
            }
            number += 1;
        }
        Ok(fed)
    }

    /// One request: what was refused, and why.
    async fn put_records(
        &self,
        records: Vec<Record>,
        accepted: u64,
    ) -> Result<(Vec<Record>, Option<String>), FeedError> {
        let entry = |(key, payload): &Record| {
            PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(&payload[..])).build().ok()
        };
        let entries = records.iter().map(entry).collect::<Option<Vec<_>>>();
        match self.client.put_records().stream_name(&self.stream).set_records(entries).send().await {
            Ok(answer) => {
                let mut message = None;
                let mut refused = Vec::new();
                for (record, result) in records.into_iter().zip(answer.records()) {
                    if let Some(code) = result.error_code() {
                        message = Some(code.to_owned());
                        refused.push(record);
                    }
                }
                Ok((refused, message))
            }
            Err(error) => match error.code() {
                Some("ResourceNotFoundException") => Err(FeedError::Unknown { stream: self.stream.clone(), accepted }),
                Some("AccessDeniedException") => Err(FeedError::Denied {
                    stream: self.stream.clone(),
                    accepted,
                    message: error.message().unwrap_or("access denied").to_owned(),
                }),
                Some("ProvisionedThroughputExceededException" | "KMSThrottlingException" | "InternalFailure") => {
                    Ok((records, error.code().map(str::to_owned)))
                }
                _ => Err(FeedError::Refused {
                    stream: self.stream.clone(),
                    accepted,
                    left: records.len() as u64,
                    message: DisplayErrorContext(&error).to_string(),
                }),
            },
        }
    }
}

/// A record's partition key and its bytes.
type Record = (String, Bytes);

/// How many of these go into one request.
fn request_length(records: &[Record]) -> usize {
    let mut bytes = 0_usize;
    let fits = records.iter().take(RECORDS).take_while(|(key, payload)| {
        bytes += key.len() + payload.len();
        bytes <= BYTES
    });
    fits.count().max(1)
}

/// The item's id, where it is short enough; else a digest of what there is.
fn partition_key(payload: &Bytes) -> String {
    match Item::parse(payload) {
        Ok(item) if item.id.chars().count() <= KEY_CHARACTERS => item.id,
        Ok(item) => digest(item.id.as_bytes()),
        Err(_) => digest(payload),
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_full_at_its_records_or_at_its_bytes() {
        let records = |count: usize, size: usize| vec![("k".to_owned(), Bytes::from(vec![0; size])); count];
        assert_eq!(request_length(&records(501, 10)), 500);
        assert_eq!(request_length(&records(3, 10)), 3);
        assert_eq!(request_length(&records(10, 1024 * 1024)), 4, "keys count too");
        assert_eq!(request_length(&records(2, BYTES)), 1, "one always goes");
    }

    #[test]
    fn entries_of_one_id_meet_in_one_shard() {
        let key = |payload: &str| partition_key(&Bytes::copy_from_slice(payload.as_bytes()));
        assert_eq!(key(r#"{"id":"a"}"#), "a");
        assert_eq!(key(r#"{"params":{"hint":"x"},"id":"a"}"#), "a");
        let long = format!(r#"{{"id":"{}"}}"#, "ä".repeat(256));
        assert_eq!(key(&long).chars().count(), 256);
        let longer = format!(r#"{{"id":"{}"}}"#, "x".repeat(257));
        assert_eq!(key(&longer).len(), 64);
        assert_ne!(key("nonsense"), key("other nonsense"));
    }
}
