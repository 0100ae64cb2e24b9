//! The mapping port for the local poller: batch size and enabled live in the stream's row.

use std::time::Duration;

use async_trait::async_trait;
use damper_core::clock::WallClock;
use damper_core::mapping::{Mapping, MappingChange, MappingError, MappingState};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::{Database, DatabaseError, SqlError};
use crate::ledger::rows::micros;

/// The batch size of a stream for which nobody has set one.
pub const DEFAULT_BATCH_SIZE: u32 = 100;
/// The largest batch, as at Kinesis.
pub const MAX_BATCH_SIZE: u32 = 10_000;

/// The mapping of every stream in a [`Database`].
#[derive(Debug, Clone)]
pub struct SqliteMapping {
    database: Database,
    clock: WallClock,
    lag: Duration,
}

impl SqliteMapping {
    /// The mappings in this database. A change holds at once.
    #[must_use]
    pub fn new(database: Database, clock: WallClock) -> Self {
        Self { database, clock, lag: Duration::ZERO }
    }

    /// Let each change wait for `lag` before it holds, as the event source mapping does.
    #[must_use]
    pub fn with_lag(self, lag: Duration) -> Self {
        Self { lag, ..self }
    }

    /// Make sure that the provider has a stream, and give it this batch size if nobody has set one. Values outside 1 to
    /// [`MAX_BATCH_SIZE`] are brought to the nearer end.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn ensure(&self, provider: &str, start_batch: u32) -> Result<(), DatabaseError> {
        let (provider, size) = (provider.to_owned(), start_batch.clamp(1, MAX_BATCH_SIZE));
        let work = move |connection: &Connection| {
            connection.prepare_cached(ENSURE)?.execute(params![provider, size])?;
            Ok(())
        };
        self.database.write(work).await
    }
}

const ENSURE: &str = "
INSERT INTO shards (provider, batch_size) VALUES (?1, ?2)
ON CONFLICT DO UPDATE SET batch_size = ?2 WHERE batch_size IS NULL AND pending_batch_size IS NULL";

const READ: &str = "
SELECT CASE WHEN pending_at <= ?2 THEN COALESCE(pending_batch_size, batch_size) ELSE batch_size END,
       CASE WHEN pending_at <= ?2 THEN COALESCE(pending_enabled, enabled) ELSE enabled END,
       COALESCE(pending_at > ?2, 0)
FROM shards WHERE provider = ?1";

const SETTLE: &str = "
UPDATE shards SET batch_size = COALESCE(pending_batch_size, batch_size), enabled = COALESCE(pending_enabled, enabled),
    pending_batch_size = NULL, pending_enabled = NULL, pending_at = NULL
WHERE provider = ?1 AND pending_at <= ?2";

const CHANGE: &str = "
UPDATE shards SET pending_batch_size = ?2, pending_enabled = ?3, pending_at = ?4 WHERE provider = ?1";

fn state(connection: &Connection, provider: &str, now: i64) -> Result<Option<MappingState>, SqlError> {
    let found = connection.prepare_cached(READ)?.query_row(params![provider, now], |row| {
        Ok(MappingState {
            batch_size: row.get::<_, Option<u32>>(0)?.unwrap_or(DEFAULT_BATCH_SIZE),
            enabled: row.get(1)?,
            pending: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

#[async_trait]
impl Mapping for SqliteMapping {
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
        let (name, now) = (provider.to_owned(), micros(self.clock.now()));
        let found = self.database.read(move |connection| state(connection, &name, now)).await;
        found.map_err(mapping_error(provider))?.ok_or_else(|| MappingError::Unknown(provider.to_owned()))
    }

    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError> {
        if let Some(size) = change.batch_size.filter(|size| !(1..=MAX_BATCH_SIZE).contains(size)) {
            let message = format!("the batch size {size} is not allowed: it must be from 1 to {MAX_BATCH_SIZE}");
            return Err(MappingError::Failed { provider: provider.to_owned(), message });
        }
        let now = self.clock.now();
        let holds_from = now.saturating_add(self.lag).unwrap_or(Timestamp::MAX);
        let (name, now, holds_from) = (provider.to_owned(), micros(now), micros(holds_from));
        let work = move |connection: &Connection| {
            let Some(state) = state(connection, &name, now)? else { return Ok(ApplyOutcome::Unknown) };
            if state.pending {
                return Ok(ApplyOutcome::Pending);
            }
            connection.prepare_cached(SETTLE)?.execute(params![name, now])?;
            connection.prepare_cached(CHANGE)?.execute(params![name, change.batch_size, change.enabled, holds_from])?;
            connection.prepare_cached(SETTLE)?.execute(params![name, now])?;
            Ok(ApplyOutcome::Done)
        };
        match self.database.write(work).await.map_err(mapping_error(provider))? {
            ApplyOutcome::Done => Ok(()),
            ApplyOutcome::Unknown => Err(MappingError::Unknown(provider.to_owned())),
            ApplyOutcome::Pending => Err(MappingError::Pending(provider.to_owned())),
        }
    }
}

enum ApplyOutcome {
    Done,
    Unknown,
    Pending,
}

fn mapping_error(provider: &str) -> impl FnOnce(DatabaseError) -> MappingError {
    move |error| MappingError::Failed { provider: provider.to_owned(), message: error.to_string() }
}
