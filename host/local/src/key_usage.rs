//! The counts of requests by key and day in SQLite: `key_usage` of the [schema](crate::schema).

use async_trait::async_trait;
use damper_core::key_usage::{KeyDay, KeyReservation, KeyUsage, KeyUsageStore};
use damper_core::ledger::LedgerError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::{Database, DatabaseError};

/// The counts in a [`Database`], which the processes that open its file share.
#[derive(Debug, Clone)]
pub struct SqliteKeyUsage {
    database: Database,
}

impl SqliteKeyUsage {
    /// The counts in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const READ: &str = "SELECT requests, version FROM key_usage WHERE provider = ?1 AND key = ?2 AND day = ?3";

// No row comes back where the count would be above the quota, or is one that no release of Damper has written.
const RESERVE: &str = "
INSERT INTO key_usage (provider, key, day, requests, version)
SELECT ?1, ?2, ?3, ?4, 0 WHERE ?4 <= ?5
ON CONFLICT (provider, key, day) DO UPDATE SET requests = key_usage.requests + excluded.requests
WHERE key_usage.requests BETWEEN 0 AND ?5 - excluded.requests
RETURNING requests, version";

// By days and not by a clock: a clock that is ahead for a moment deletes no count of today.
const TRIM: &str = "
DELETE FROM key_usage WHERE provider = ?1 AND day <> ?2 AND day NOT IN
    (SELECT DISTINCT day FROM key_usage WHERE provider = ?1 ORDER BY day DESC LIMIT ?3)";

const RETURN: &str = "
UPDATE key_usage SET requests = requests - ?4, version = version + 1
WHERE provider = ?1 AND key = ?2 AND day = ?3 AND version = ?5 AND requests >= ?4";

/// How many days' counts of a provider are kept: the latest ones.
const DAYS_KEPT: i64 = 32;

#[async_trait]
impl KeyUsageStore for SqliteKeyUsage {
    async fn reserve_requests(
        &self,
        key: KeyDay<'_>,
        requests: u64,
        quota: u64,
    ) -> Result<KeyReservation, LedgerError> {
        let (name, quota) = (RowName::of(key), to_integer(quota));
        let work = move |connection: &Connection| {
            let RowName { provider, key, day } = &name;
            // As many as no quota allows are refused.
            let wanted = i64::try_from(requests).ok().filter(|wanted| *wanted <= quota);
            let values = params![provider, key, day, wanted.unwrap_or(i64::MAX), quota];
            let reserved = match wanted {
                Some(_) => connection.prepare_cached(RESERVE)?.query_row(values, parse_row).optional()?,
                None => None,
            };
            if let Some(usage) = reserved {
                // The first of the day, for this key.
                if usage == (KeyUsage { requests, version: 0 }) {
                    connection.prepare_cached(TRIM)?.execute(params![provider, day, DAYS_KEPT])?;
                }
                return Ok(KeyReservation { is_granted: true, usage });
            }
            Ok(KeyReservation { is_granted: false, usage: read_row(connection, &name)? })
        };
        self.database.write(work).await.map_err(to_ledger_error("reserve requests of a key"))
    }

    async fn read_key_usage(&self, key: KeyDay<'_>) -> Result<KeyUsage, LedgerError> {
        let name = RowName::of(key);
        let work = move |connection: &Connection| Ok(read_row(connection, &name)?);
        self.database.read(work).await.map_err(to_ledger_error("read the requests of a key"))
    }

    async fn return_requests(&self, key: KeyDay<'_>, requests: u64, version: u64) -> Result<bool, LedgerError> {
        let (name, requests, version) = (RowName::of(key), to_integer(requests), to_integer(version));
        let work = move |connection: &Connection| {
            let RowName { provider, key, day } = &name;
            let values = params![provider, key, day, requests, version];
            Ok(connection.prepare_cached(RETURN)?.execute(values)? == 1)
        };
        self.database.write(work).await.map_err(to_ledger_error("return requests of a key"))
    }
}

/// The key of a row.
struct RowName {
    provider: String,
    key: String,
    day: String,
}

impl RowName {
    fn of(key: KeyDay<'_>) -> Self {
        Self { provider: key.provider.to_owned(), key: key.key.to_owned(), day: key.day.to_string() }
    }
}

fn to_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read_row(connection: &Connection, name: &RowName) -> rusqlite::Result<KeyUsage> {
    let RowName { provider, key, day } = name;
    let found = connection.prepare_cached(READ)?.query_row(params![provider, key, day], parse_row).optional()?;
    Ok(found.unwrap_or_default())
}

/// A count below zero was not written by a release of Damper: nothing is left of its day.
fn parse_row(row: &Row<'_>) -> rusqlite::Result<KeyUsage> {
    Ok(KeyUsage {
        requests: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(u64::MAX),
        version: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(u64::MAX),
    })
}

fn to_ledger_error(action: &'static str) -> impl Fn(DatabaseError) -> LedgerError {
    move |error| LedgerError::Failed { action, message: error.to_string() }
}
