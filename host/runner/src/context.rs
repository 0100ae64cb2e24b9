//! The parts that all providers of a run share: the database, the output folder, the clock and the marks of crashes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use damper_config::Config;
use damper_core::admin::Counts;
use damper_core::clock::WallClock;
use damper_core::ledger::{Control, Ledger, ProviderStop};
use damper_core::mapping::Mapping;
use damper_core::pipeline::Stores;
use damper_core::random::RandomSource;
use damper_local::{
    Database, DatabaseError, SqliteKeyUsage, SqliteLedger, SqliteMapping, SqliteStream, SqliteTokens, folder,
};
use damper_plugins::{CrashMarks, ExecutionMarks, KeyCounting, TokenSharing};

use crate::error::RunError;

/// The parts that all providers of a run share.
#[derive(Clone)]
pub struct RunContext {
    pub(crate) database: Database,
    pub(crate) stream: SqliteStream,
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) mapping: SqliteMapping,
    pub(crate) stores: Stores,
    pub(crate) clock: WallClock,
    /// How often the governor looks at a mapping that is off.
    pub(crate) tick: Duration,
    pub(crate) crash_marks: Arc<CrashMarks>,
}

impl RunContext {
    /// The stores of this machine. `warn` tells the operator of a mark that cannot be kept.
    ///
    /// # Errors
    /// If the output folder cannot be used.
    pub fn open(
        config: &Config,
        database: Database,
        clock: WallClock,
        warn: impl Fn(String),
    ) -> Result<Self, RunError> {
        let sink = folder::open(&config.output)?;
        let leftovers = folder::clean(&config.output, clock.now());
        tracing::debug!(leftovers, "removed temporary files of killed runs");
        let ledger = Arc::new(SqliteLedger::new(database.clone()));
        let mapping = SqliteMapping::new(database.clone(), clock.clone()).with_lag(config.mapping.lag);
        let stores = Stores {
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            sink: Arc::new(sink),
            compression: config.compression,
            mapping: Arc::new(mapping.clone()) as Arc<dyn Mapping>,
            clock: clock.clone(),
            random: RandomSource::System,
        };
        let (stream, tick) = (SqliteStream::new(database.clone()), config.mapping.tick);
        let crash_marks = Arc::new(open_marks(&config.database, warn));
        Ok(Self { database, stream, ledger, mapping, stores, clock, tick, crash_marks })
    }

    /// The providers that have a stream.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn providers(&self) -> Result<Vec<String>, DatabaseError> {
        self.stream.providers().await
    }

    /// The current counts of a provider's stream.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn counts(&self, name: &str) -> Result<Counts, DatabaseError> {
        self.stream.counts(name).await
    }

    /// The marks of this process, for the host of its components; `None`: they cannot be kept.
    #[must_use]
    pub fn execution_marks(&self) -> Option<Arc<ExecutionMarks>> {
        self.crash_marks.own()
    }

    /// The store of the tokens that all processes on this database share, for the host of the components.
    #[must_use]
    pub fn token_sharing(&self) -> TokenSharing {
        share_tokens(self.database.clone(), &self.clock)
    }

    /// The store in which all processes on this database count the requests of keys, for the host of the components.
    #[must_use]
    pub fn key_counting(&self) -> KeyCounting {
        count_keys(self.database.clone(), &self.clock)
    }

    /// The error to report if a provider needs an operator.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn find_stop_error(&self, name: &str) -> Result<Option<RunError>, RunError> {
        let control = self.control(name).await?;
        let needs_operator = control.needs_operator();
        Ok(match control.breaker {
            ProviderStop::Open { since, by, reason } if needs_operator => {
                Some(RunError::Stopped { provider: name.to_owned(), since, by, reason })
            }
            ProviderStop::Open { .. } | ProviderStop::Closed => None,
        })
    }

    /// A provider's control item.
    pub(crate) async fn control(&self, name: &str) -> Result<Control, RunError> {
        Ok(self.ledger.control(name).await?)
    }
}

/// The tokens of this database, as the host of components needs them.
#[must_use]
pub fn share_tokens(database: Database, clock: &WallClock) -> TokenSharing {
    TokenSharing::new(Arc::new(SqliteTokens::new(database)), clock.clone())
}

/// The counts of keys' requests in this database, as the host of components needs them.
#[must_use]
pub fn count_keys(database: Database, clock: &WallClock) -> KeyCounting {
    KeyCounting::new(Arc::new(SqliteKeyUsage::new(database)), clock.clone())
}

/// Reads what earlier runs on this database left behind, and marks this one.
fn open_marks(database: &Path, warn: impl Fn(String)) -> CrashMarks {
    let folder = marks_folder(database);
    CrashMarks::open(&folder, |error| {
        warn(format!(
            "execution marks cannot be written to {}: {error}; if this run crashes, the component that ran is not \
                known",
            folder.display()
        ));
    })
}

/// Beside the database, under its name.
fn marks_folder(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-marks");
    PathBuf::from(name)
}
