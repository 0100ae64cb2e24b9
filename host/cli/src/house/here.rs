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

use super::{Chosen, Counted, House, KeptLetter, LetterBox, LetterId, Unfed};
use crate::config::Config;
use crate::context::Context;
use crate::error::CliError;

pub(super) struct Here {
    stream: SqliteStream,
    ledger: SqliteLedger,
    mapping: SqliteMapping,
    letters: DeadLetters,
}

impl Here {
    pub(super) fn new(database: Database, context: &Context, config: &Config) -> Self {
        Self {
            stream: SqliteStream::new(database.clone()),
            ledger: SqliteLedger::new(database.clone()),
            mapping: SqliteMapping::new(database.clone(), context.clock.clone()).with_lag(config.mapping.lag),
            letters: DeadLetters::new(database),
        }
    }

    /// With a new database where there is none.
    pub(super) fn made(context: &Context, config: &Config) -> Result<Self, CliError> {
        Ok(Self::new(Database::open(&config.database)?, context, config))
    }
}

#[async_trait]
impl House for Here {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn mapping(&self) -> &dyn Mapping {
        &self.mapping
    }

    fn letters(&self) -> &dyn LetterBox {
        &self.letters
    }

    async fn providers(&self) -> Result<Vec<String>, CliError> {
        Ok(self.stream.providers().await?)
    }

    async fn counted(&self, provider: &str, day: Day, now: Timestamp) -> Result<Counted, CliError> {
        let of_provider = Filter { provider: Some(provider.to_owned()), ..Filter::default() };
        Ok(Counted {
            stream: Some(self.stream.counts(provider).await?),
            today: Some(self.ledger.day_counts(provider, day).await?),
            waiting: Some(self.ledger.count_waiting(provider, now).await?),
            letters: self.letters.count(of_provider).await?,
        })
    }

    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, now: Timestamp) -> Result<(), Unfed> {
        let fed = self.stream.feed(provider, payloads, now).await;
        fed.map(drop).map_err(|error| Unfed { accepted: 0, error: error.into() })
    }
}

#[async_trait]
impl LetterBox for DeadLetters {
    async fn list(&self, which: &Filter, limit: u32, _whole: bool) -> Result<Vec<KeptLetter>, CliError> {
        let found = self.list(which.clone(), limit).await?;
        Ok(found.into_iter().map(kept).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError> {
        Ok(Some(self.count(which.clone()).await?))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<KeptLetter>, CliError> {
        Ok(self.show(number(id)?).await?.map(kept))
    }

    async fn redrive(&self, which: &Chosen, now: Timestamp) -> Result<Redriven, CliError> {
        let which = match which {
            Chosen::Letter(id) => Redrive::Letter(number(id)?),
            Chosen::Provider(provider, reason) => Redrive::Provider { provider: provider.clone(), reason: *reason },
        };
        Ok(Redriven { fed: self.redrive(which, now).await?, fetched_meanwhile: 0 })
    }
}

fn number(id: &LetterId) -> Result<i64, CliError> {
    match id {
        LetterId::Number(number) => Ok(*number),
        LetterId::Entry { .. } => Err(id.foreign()),
    }
}

fn kept(stored: StoredLetter) -> KeptLetter {
    let StoredLetter { id, redriven, letter } = stored;
    KeptLetter { id: LetterId::Number(id), redriven, letter }
}
