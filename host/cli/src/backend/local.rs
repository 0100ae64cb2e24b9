//! This machine: streams, ledger, mapping and dead letters in one SQLite file.

use async_trait::async_trait;
use bytes::Bytes;
use damper_core::day::Day;
use damper_core::dead_letter::{Filter, Redriven};
use damper_core::ledger::Ledger;
use damper_core::mapping::Mapping;
use damper_local::dead_letters::{DeadLetters, Redrive};
use damper_local::{Database, SqliteLedger, SqliteMapping, SqliteStream, StoredLetter};
use jiff::Timestamp;

use super::{Backend, DeadLetterEntry, DeadLetterStore, FeedFailure, LetterId, ProviderCounts, RedriveTarget};
use crate::config::Config;
use crate::context::Context;
use crate::error::CliError;

pub(super) struct LocalBackend {
    stream: SqliteStream,
    ledger: SqliteLedger,
    mapping: SqliteMapping,
    letters: DeadLetters,
}

impl LocalBackend {
    pub(super) fn new(database: Database, context: &Context, config: &Config) -> Self {
        Self {
            stream: SqliteStream::new(database.clone()),
            ledger: SqliteLedger::new(database.clone()),
            mapping: SqliteMapping::new(database.clone(), context.clock.clone()).with_lag(config.mapping.lag),
            letters: DeadLetters::new(database),
        }
    }

    /// With a new database if there is none.
    pub(super) fn open_or_create(context: &Context, config: &Config) -> Result<Self, CliError> {
        Ok(Self::new(Database::open(&config.database)?, context, config))
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

    async fn providers(&self) -> Result<Vec<String>, CliError> {
        Ok(self.stream.providers().await?)
    }

    async fn count_provider(&self, provider: &str, day: Day, now: Timestamp) -> Result<ProviderCounts, CliError> {
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
    async fn list(&self, which: &Filter, limit: u32, _whole: bool) -> Result<Vec<DeadLetterEntry>, CliError> {
        let found = self.list(which.clone(), limit).await?;
        Ok(found.into_iter().map(to_entry).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError> {
        Ok(Some(self.count(which.clone()).await?))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, CliError> {
        Ok(self.show(local_number(id)?).await?.map(to_entry))
    }

    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, CliError> {
        let which = match which {
            RedriveTarget::Letter(id) => Redrive::Letter(local_number(id)?),
            RedriveTarget::Provider(provider, reason) => {
                Redrive::Provider { provider: provider.clone(), reason: *reason }
            }
        };
        Ok(Redriven { fed: self.redrive(which, now).await?, fetched_meanwhile: 0 })
    }
}

fn local_number(id: &LetterId) -> Result<i64, CliError> {
    match id {
        LetterId::Number(number) => Ok(*number),
        LetterId::Entry { .. } => Err(id.wrong_backend_error()),
    }
}

fn to_entry(stored: StoredLetter) -> DeadLetterEntry {
    let StoredLetter { id, redriven, letter } = stored;
    DeadLetterEntry { id: LetterId::Number(id), redriven, letter }
}
