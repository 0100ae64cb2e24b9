//! The port of the operator: what an operator may see and do, on this machine or in AWS.
//!
//! A [`Backend`] stands behind the commands of `damper`, and behind any other program that shows or changes the same
//! things. A value that a backend does not have is `None`. Pausing and resuming need the ledger and the mapping only:
//! see [`operate`](crate::operate).

pub mod status;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::day::Day;
use crate::dead_letter::{DeadLetter, Filter, Reason, Redriven};
use crate::item::SequenceNumber;
use crate::ledger::{Ledger, LedgerError};
use crate::mapping::{Mapping, MappingError};
use crate::pipeline::AdaptError;

/// The hint where a remote service failed.
pub const SERVICE_HINT: &str = "fix the cause and run the command again; nothing is lost, and nothing is fetched twice";

/// A place where providers' items are fetched.
#[async_trait]
pub trait Backend: Send + Sync {
    /// The ledger.
    fn ledger(&self) -> &dyn Ledger;

    /// The mapping, which delivers batches.
    fn mapping(&self) -> &dyn Mapping;

    /// The items given up on.
    fn dead_letters(&self) -> &dyn DeadLetterStore;

    /// The providers that have a stream, by name.
    async fn providers(&self) -> Result<Vec<String>, AdminError>;

    /// A provider's counts.
    async fn count_provider(&self, provider: &str, day: Day, now: Timestamp) -> Result<ProviderCounts, AdminError>;

    /// Enqueue entries.
    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, now: Timestamp) -> Result<(), FeedFailure>;
}

/// The dead letters of a backend.
#[async_trait]
pub trait DeadLetterStore: Send + Sync {
    /// At most `limit` letters, the oldest first. Unless `whole` is set, letters may come without their bundles.
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<DeadLetterEntry>, AdminError>;

    /// How many there are; `None` where each of them would have to be read for that.
    async fn count(&self, which: &Filter) -> Result<Option<u64>, AdminError>;

    /// One letter, redriven or not.
    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, AdminError>;

    /// Feed letters again that have not been redriven before.
    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, AdminError>;
}

/// Why a backend did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The control item or the mapping was not read or changed.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// The database or the stream failed; the message says what to do.
    #[error("{0}")]
    Storage(String),
    /// A remote service failed.
    #[error("{0}")]
    Service(String),
    /// The database does not take an entry as it is; the message says what to do.
    #[error("{0}")]
    Refused(String),
    /// The stream cannot be fed like this: it is not there, these credentials may not feed it, or an entry is too large
    /// for it. The message says what to do.
    #[error("{0}")]
    NoStream(String),
    /// A dead letter of the other backend was named.
    #[error("{}", describe_foreign(.0))]
    ForeignLetter(LetterId),
}

impl AdminError {
    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ForeignLetter(LetterId::Number(_)) => Some("copy its id from `damper dead-letters list --aws`"),
            Self::ForeignLetter(LetterId::Entry { .. }) => {
                Some("add --aws, or copy its id from `damper dead-letters list`")
            }
            Self::Service(_) => Some(SERVICE_HINT),
            Self::Ledger(_) | Self::Adapt(_) | Self::Storage(_) | Self::Refused(_) | Self::NoStream(_) => None,
        }
    }
}

impl From<MappingError> for AdminError {
    fn from(error: MappingError) -> Self {
        Self::Adapt(error.into())
    }
}

fn describe_foreign(id: &LetterId) -> String {
    match id {
        LetterId::Number(number) => {
            format!("{number} is the id of a dead letter on this machine, and an id in AWS is PROVIDER/ENTRY")
        }
        LetterId::Entry { .. } => {
            format!("{id} is the id of a dead letter in AWS, and an id on this machine is a number")
        }
    }
}

/// Entries that were not enqueued, or not all.
#[derive(Debug)]
pub struct FeedFailure {
    /// How many of them were.
    pub accepted: u64,
    /// Why not the others.
    pub error: AdminError,
}

/// A provider's counts; `None` if the backend does not count them.
#[derive(Debug, Default)]
pub struct ProviderCounts {
    /// All entries of the stream by outcome.
    pub stream: Option<Counts>,
    /// The day's items by state.
    pub today: Option<DayCounts>,
    /// The items that wait for their next attempt.
    pub waiting: Option<WaitingItems>,
    /// Dead letters that are kept and have not been redriven.
    pub letters: u64,
}

/// A stream's entries by outcome: `fed = fetched + skipped + dead_letters + pending`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All entries there ever were.
    pub fed: u64,
    /// Those whose record was fetched for them.
    pub fetched: u64,
    /// Those that another entry of the same identity settled.
    pub skipped: u64,
    /// Those that became dead letters; one that was redriven still counts here, and its new entry by itself.
    pub dead_letters: u64,
    /// Those that have not ended.
    pub pending: u64,
    /// When the oldest pending entry came in.
    pub oldest_pending: Option<Timestamp>,
}

impl Counts {
    /// Whether the counts add up: each entry that was fed has ended in one way, or is pending.
    #[must_use]
    pub fn add_up(&self) -> bool {
        let Self { fed, fetched, skipped, dead_letters, pending, oldest_pending } = *self;
        let sum = u128::from(fetched) + u128::from(skipped) + u128::from(dead_letters) + u128::from(pending);
        sum == u128::from(fed) && (pending == 0) == oldest_pending.is_none()
    }
}

/// Items that wait for their next attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingItems {
    /// How many.
    pub items: u64,
    /// When the first of them is due; `None`: there is none.
    pub next_due: Option<Timestamp>,
}

/// Identities of one day, by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// Their records are in the sink.
    pub fetched: u64,
    /// They were given up on.
    pub dead: u64,
    /// They are claimed, or failed and wait for another try.
    pub waiting: u64,
}

/// Which letters to redrive.
#[derive(Debug, Clone)]
pub enum RedriveTarget {
    /// This one.
    Letter(LetterId),
    /// All of a provider, of one reason if there is one.
    Provider(String, Option<Reason>),
}

/// A dead letter and its name.
#[derive(Debug, Serialize)]
pub struct DeadLetterEntry {
    /// Its name.
    pub id: LetterId,
    /// When it was redriven; `None`: it was not.
    pub redriven: Option<Timestamp>,
    /// The letter itself.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// A dead letter's name: a number on this machine, in AWS its provider and its entry in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterId {
    /// On this machine.
    Number(i64),
    /// In AWS.
    Entry {
        /// The provider.
        provider: String,
        /// The entry.
        sequence: SequenceNumber,
    },
}

impl FromStr for LetterId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        match text.split_once('/') {
            Some((provider, sequence)) if !provider.is_empty() && !sequence.is_empty() => {
                Ok(Self::Entry { provider: provider.to_owned(), sequence: SequenceNumber::from(sequence) })
            }
            _ => Err("it must be a number, or with --aws PROVIDER/ENTRY, as `list` prints it"),
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Entry { provider, sequence } => write!(f, "{provider}/{sequence}"),
        }
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Entry { .. } => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_do_not_add_up_are_found() {
        let counts = Counts { fed: 3, fetched: 1, skipped: 1, dead_letters: 1, pending: 0, oldest_pending: None };
        assert!(counts.add_up());
        assert!(!Counts { fetched: 2, ..counts }.add_up());
        assert!(!Counts { pending: 1, fed: 4, ..counts }.add_up(), "pending, and no entry is");
    }

    #[test]
    fn a_letter_s_name_is_read_as_it_is_written() {
        for text in ["17", "gleif/4956", "sec-edgar/4956/0"] {
            assert_eq!(text.parse::<LetterId>().unwrap().to_string(), text);
        }
        for text in ["", "gleif", "gleif/", "/4956", "4956.0"] {
            assert!(text.parse::<LetterId>().is_err(), "{text}");
        }
    }
}
