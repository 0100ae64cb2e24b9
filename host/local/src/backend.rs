//! The operator's backend on this machine: streams, ledger, mapping and dead letters in one SQLite file.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use damper_core::admin::{
    AdminError, Backend, DeadLetterEntry, DeadLetterStore, FeedFailure, LetterId, ProviderCounts, RedriveTarget,
};
use damper_core::clock::WallClock;
use damper_core::day::Day;
use damper_core::dead_letter::{Filter, Redriven};
use damper_core::ledger::Ledger;
use damper_core::mapping::Mapping;
use jiff::Timestamp;

use crate::database::{Database, DatabaseError};
use crate::dead_letters::{DeadLetters, Redrive, StoredLetter};
use crate::ledger::SqliteLedger;
use crate::mapping::SqliteMapping;
use crate::stream::{FeedError, SqliteStream};

/// All that a [`Database`] holds of the providers.
#[derive(Debug)]
pub struct LocalBackend {
    stream: SqliteStream,
    ledger: SqliteLedger,
    mapping: SqliteMapping,
    letters: DeadLetters,
}

impl LocalBackend {
    /// The backend on this database. `lag`: how long a change of the mapping takes until it holds.
    #[must_use]
    pub fn new(database: Database, clock: WallClock, lag: Duration) -> Self {
        Self {
            stream: SqliteStream::new(database.clone()),
            ledger: SqliteLedger::new(database.clone()),
            mapping: SqliteMapping::new(database.clone(), clock).with_lag(lag),
            letters: DeadLetters::new(database),
        }
    }
}

#[async_trait]
impl Backend for LocalBackend {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn mapping(&self) -> &dyn Mapping {
        &self.mapping
    }

    fn dead_letters(&self) -> &dyn DeadLetterStore {
        &self.letters
    }

    async fn providers(&self) -> Result<Vec<String>, AdminError> {
        Ok(self.stream.providers().await?)
    }

    async fn count_provider(&self, provider: &str, day: Day, now: Timestamp) -> Result<ProviderCounts, AdminError> {
        let of_provider = Filter { provider: Some(provider.to_owned()), ..Filter::default() };
        Ok(ProviderCounts {
            stream: Some(self.stream.counts(provider).await?),
            today: Some(self.ledger.day_counts(provider, day).await?),
            waiting: Some(self.ledger.count_waiting(provider, now).await?),
            letters: self.letters.count(of_provider).await?,
        })
    }

    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, now: Timestamp) -> Result<(), FeedFailure> {
        let fed = self.stream.feed(provider, payloads, now).await;
        fed.map(drop).map_err(|error| FeedFailure { accepted: 0, error: error.into() })
    }
}

#[async_trait]
impl DeadLetterStore for DeadLetters {
    async fn list(&self, which: &Filter, limit: u32, _whole: bool) -> Result<Vec<DeadLetterEntry>, AdminError> {
        let found = self.list(which.clone(), limit).await?;
        Ok(found.into_iter().map(to_entry).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, AdminError> {
        Ok(Some(self.count(which.clone()).await?))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, AdminError> {
        Ok(self.show(local_number(id)?).await?.map(to_entry))
    }

    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, AdminError> {
        let which = match which {
            RedriveTarget::Letter(id) => Redrive::Letter(local_number(id)?),
            RedriveTarget::Provider(provider, reason) => {
                Redrive::Provider { provider: provider.clone(), reason: *reason }
            }
        };
        Ok(Redriven { fed: self.redrive(which, now).await?, fetched_meanwhile: 0 })
    }
}

impl From<DatabaseError> for AdminError {
    fn from(error: DatabaseError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<FeedError> for AdminError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Database(error) => error.into(),
            FeedError::TooLarge { .. } => Self::Refused(error.to_string()),
        }
    }
}

fn local_number(id: &LetterId) -> Result<i64, AdminError> {
    match id {
        LetterId::Number(number) => Ok(*number),
        LetterId::Entry { .. } => Err(AdminError::ForeignLetter(id.clone())),
    }
}

fn to_entry(stored: StoredLetter) -> DeadLetterEntry {
    let StoredLetter { id, redriven, letter } = stored;
    DeadLetterEntry { id: LetterId::Number(id), redriven, letter }
}
