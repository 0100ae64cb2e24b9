//! Dead letters: list, show, and redrive.

use bytes::Bytes;
use damper_core::dead_letter::{DeadLetter, Reason};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use crate::database::{Database, DatabaseError, SqlError};
use crate::ledger::rows::{micros, reason_text, timestamp};
use crate::stream;

pub use damper_core::dead_letter::Filter;

/// The dead letters of a [`Database`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use damper_core::{clock::WallClock, dead_letter::{DeadLetter, Reason}, ledger::{Finish, Ledger, Owner}};
/// # use damper_local::{Database, DeadLetters, SqliteLedger, dead_letters::Filter};
/// # let folder = tempfile::tempdir()?;
/// # let database = Database::open(folder.path().join("damper.db"))?;
/// # let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
/// // An entry that is no item was given up on.
/// let letter = DeadLetter {
///     provider: "demo".to_owned(), sequence: "7".into(), arrived: now, died: now, payload: "not JSON".into(),
///     reason: Reason::Unreadable, message: "the entry is not an item".to_owned(), status: None, attempts: 0,
///     component: String::new(), bundle: None,
/// };
/// let ledger = SqliteLedger::new(database.clone());
/// ledger.finish("demo", &Owner::from("worker-1"), vec![Finish::Dead { claimed: None, letter }]).await?;
///
/// let unreadable = Filter { reason: Some(Reason::Unreadable), ..Filter::default() };
/// let letters = DeadLetters::new(database).list(unreadable, 10).await?;
/// assert_eq!(letters.len(), 1);
/// assert_eq!(letters[0].letter.payload, "not JSON");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DeadLetters {
    database: Database,
}

/// A dead letter and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredLetter {
    /// Its name in this database.
    pub id: i64,
    /// When it was redriven; `None`: it was not.
    pub redriven: Option<Timestamp>,
    /// The letter itself.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// Which letters to redrive.
#[derive(Debug, Clone)]
pub enum Redrive {
    /// This one.
    Letter(i64),
    /// All of a provider that have not been redriven, of one reason if there is one.
    Provider {
        /// The provider's name.
        provider: String,
        /// Of this reason only.
        reason: Option<Reason>,
    },
}

impl DeadLetters {
    /// The dead letters in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// At most `limit` letters, the oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(&self, filter: Filter, limit: u32) -> Result<Vec<StoredLetter>, DatabaseError> {
        let work = move |connection: &Connection| {
            let reason = filter.reason.map(reason_text).transpose()?;
            let mut statement = connection.prepare_cached(LIST)?;
            let mut rows = statement.query(params![filter.provider, reason, filter.with_redriven, limit])?;
            let mut letters = Vec::new();
            while let Some(row) = rows.next()? {
                letters.push(read_letter(row)?);
            }
            Ok(letters)
        };
        self.database.read(work).await
    }

    /// How many letters there are.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count(&self, filter: Filter) -> Result<u64, DatabaseError> {
        let work = move |connection: &Connection| {
            let reason = filter.reason.map(reason_text).transpose()?;
            let mut statement = connection.prepare_cached(COUNT)?;
            Ok(statement.query_row(params![filter.provider, reason, filter.with_redriven], |row| row.get(0))?)
        };
        self.database.read(work).await
    }

    /// One letter, redriven or not; `None` if there is none of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn show(&self, id: i64) -> Result<Option<StoredLetter>, DatabaseError> {
        self.database.read(move |connection| find(connection, id)).await
    }

    /// Feed letters again, in one transaction: each payload becomes a new entry that arrives at `now`, its ledger row
    /// opens again with no attempts and is due at once, and the letter is marked and kept. Returns how many; a letter
    /// that was redriven before is not fed twice.
    ///
    /// # Errors
    /// If the database fails; then none was redriven.
    pub async fn redrive(&self, which: Redrive, now: Timestamp) -> Result<u64, DatabaseError> {
        let work = move |connection: &Connection| {
            let (id, provider, reason) = match &which {
                Redrive::Letter(id) => (Some(*id), None, None),
                Redrive::Provider { provider, reason } => (None, Some(provider), *reason),
            };
            let reason = reason.map(reason_text).transpose()?;
            let ids: Vec<i64> = connection
                .prepare_cached(SELECT_FOR_REDRIVE)?
                .query_map(params![id, provider, reason], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            // One letter at a time: a provider's letters together may be larger than memory.
            let mut redriven = 0_u64;
            for id in ids {
                let Some(stored) = find(connection, id)? else { continue };
                feed_again(connection, stored, now)?;
                redriven = redriven.saturating_add(1);
            }
            Ok(redriven)
        };
        self.database.write(work).await
    }
}

const LIST: &str = "
SELECT id, letter, redriven FROM dead_letters
WHERE (?1 IS NULL OR provider = ?1) AND (?2 IS NULL OR reason = ?2) AND (?3 OR redriven IS NULL)
ORDER BY id LIMIT ?4";

const COUNT: &str = "
SELECT COUNT(*) FROM dead_letters
WHERE (?1 IS NULL OR provider = ?1) AND (?2 IS NULL OR reason = ?2) AND (?3 OR redriven IS NULL)";

const SELECT_FOR_REDRIVE: &str = "
SELECT id FROM dead_letters
WHERE redriven IS NULL AND (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR provider = ?2) AND (?3 IS NULL OR reason = ?3)
ORDER BY id";

const OPEN_AGAIN: &str = "
UPDATE ledger SET state = 'retry', owner = NULL, lease = NULL, not_before = NULL, attempts = 0
WHERE state = 'dead' AND (provider, identity, day) = (SELECT provider, identity, day FROM dead_letters WHERE id = ?1)";

fn feed_again(connection: &Connection, stored: StoredLetter, now: Timestamp) -> Result<(), SqlError> {
    let payload: Bytes = stored.letter.payload;
    stream::append(connection, &stored.letter.provider, &[payload], now)?;
    connection.prepare_cached(OPEN_AGAIN)?.execute([stored.id])?;
    connection
        .prepare_cached("UPDATE dead_letters SET redriven = ?2 WHERE id = ?1")?
        .execute(params![stored.id, micros(now)])?;
    Ok(())
}

fn find(connection: &Connection, id: i64) -> Result<Option<StoredLetter>, SqlError> {
    let mut statement = connection.prepare_cached("SELECT id, letter, redriven FROM dead_letters WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read_letter).transpose()
}

fn read_letter(row: &Row<'_>) -> Result<StoredLetter, SqlError> {
    const WHAT: &str = "dead letter";
    let text: String = row.get(1)?;
    let letter = serde_json::from_str(&text).map_err(|error| SqlError::unreadable(WHAT, error))?;
    let redriven: Option<i64> = row.get(2)?;
    let redriven = redriven.map(|micros| timestamp(micros, WHAT)).transpose()?;
    Ok(StoredLetter { id: row.get(0)?, redriven, letter })
}
