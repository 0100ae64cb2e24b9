//! The ledger port in SQLite: `ledger`, `slots`, `control` and `dead_letters` of the [schema](crate::schema).

mod claim;
pub(crate) mod rows;

use async_trait::async_trait;
use damper_core::admin::{DayCounts, WaitingItems};
use damper_core::control::slots::{Share, grant};
use damper_core::day::Day;
use damper_core::dead_letter::DeadLetter;
use damper_core::ledger::{
    Claim, ClaimRequest, Claimed, Control, Finish, Finished, Granted, Ledger, LedgerError, LongWaits, Owner, Release,
    SlotRequest,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::{Database, DatabaseError, SqlError};
use crate::ledger::rows::micros;

/// A ledger in a [`Database`]; every answer is durable.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use damper_core::{day::Day, item::{Item, SequenceNumber}};
/// # use damper_core::ledger::{Claim, ClaimRequest, Ledger, Owner};
/// # use damper_local::{Database, SqliteLedger};
/// # let folder = tempfile::tempdir()?;
/// let ledger = SqliteLedger::new(Database::open(folder.path().join("damper.db"))?);
///
/// let identity = Item::parse(br#"{"id":"42"}"#)?.identity(&[])?;
/// let (sequence, owner) = (SequenceNumber::from("1"), Owner::from("worker-1"));
/// let (day, now): (Day, jiff::Timestamp) = ("2026-11-22".parse()?, "2026-11-22T10:00:00Z".parse()?);
/// let lease = now + Duration::from_secs(60);
/// let request = ClaimRequest {
///     provider: "demo", identity: &identity, sequence: &sequence, today: day, since: day, owner: &owner, now, lease,
/// };
/// assert_eq!(ledger.claim(request).await?, Claim::Granted { attempt: 1, abandoned: vec![], resume: None });
/// let counts = ledger.day_counts("demo", day).await?;
/// assert_eq!((counts.fetched, counts.dead, counts.waiting), (0, 0, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    database: Database,
}

impl SqliteLedger {
    /// The ledger in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The counts of a provider's items on one day, by state.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn day_counts(&self, provider: &str, day: Day) -> Result<DayCounts, DatabaseError> {
        let provider = provider.to_owned();
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(COUNT_DAY)?;
            let count = |row: &rusqlite::Row<'_>| {
                Ok(DayCounts { fetched: row.get(0)?, dead: row.get(1)?, waiting: row.get(2)? })
            };
            Ok(statement.query_row(params![provider, day.to_string()], count)?)
        };
        self.database.read(work).await
    }

    /// The provider's items that failed and are not due yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn count_waiting(&self, provider: &str, now: Timestamp) -> Result<WaitingItems, DatabaseError> {
        let provider = provider.to_owned();
        let work = move |connection: &Connection| {
            let found = connection
                .prepare_cached(COUNT_WAITING)?
                .query_row(params![provider, micros(now)], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
            let (items, next_due) = found;
            Ok(WaitingItems { items, next_due: next_due.map(|due| rows::timestamp(due, "ledger row")).transpose()? })
        };
        self.database.read(work).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let request = claim::OwnedClaimRequest::of(&request);
        self.database
            .write(move |connection| claim::claim(connection, &request))
            .await
            .map_err(to_ledger_error("claim an item"))
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        let (provider, owner) = (provider.to_owned(), owner.clone());
        let work = move |connection: &Connection| {
            items.iter().map(|item| finish(connection, &provider, &owner, item)).collect::<Result<Vec<_>, _>>()
        };
        self.database.write(work).await.map_err(to_ledger_error("finish items"))
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        let (provider, owner) = (provider.to_owned(), owner.clone());
        let work = move |connection: &Connection| {
            let Release { claimed, counted, not_before, error, resume } = &release;
            connection.prepare_cached(RELEASE)?.execute(params![
                provider,
                claimed.identity.as_str(),
                claimed.day.to_string(),
                owner.as_str(),
                counted,
                micros(*not_before),
                error,
                micros(claimed.lease),
                resume.as_ref().map(|resume| resume.polls),
                resume.as_ref().map(|resume| &resume.bytes[..]),
            ])?;
            Ok(())
        };
        self.database.write(work).await.map_err(to_ledger_error("release a claim"))
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        let (provider, owner) = (provider.to_owned(), request.owner.clone());
        let SlotRequest { want, in_use, cap, now, until, .. } = request;
        let work = move |connection: &Connection| {
            let request = SlotRequest { owner: &owner, want, in_use, cap, now, until };
            change_slots(connection, &provider, &request)
        };
        self.database.write(work).await.map_err(to_ledger_error("change slots"))
    }

    /// The stream beside it keeps account of each entry.
    fn long_waits(&self) -> LongWaits {
        LongWaits::Reported
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        let provider = provider.to_owned();
        let work = move |connection: &Connection| {
            let stored: Option<(u64, String)> = connection
                .prepare_cached("SELECT version, item FROM control WHERE provider = ?1")?
                .query_row([&provider], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((version, item)) = stored else { return Ok(Control::default()) };
            let control: Control =
                serde_json::from_str(&item).map_err(|error| SqlError::unreadable("control item", error))?;
            Ok(Control { version, ..control })
        };
        self.database.read(work).await.map_err(to_ledger_error("read the control item"))
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        const ACTION: &str = "write the control item";
        let (provider, expected) = (provider.to_owned(), control.version);
        let next = Control { version: expected.saturating_add(1), ..control.clone() };
        let item = serde_json::to_string(&next)
            .map_err(|error| LedgerError::Failed { action: ACTION, message: error.to_string() })?;
        let work = move |connection: &Connection| {
            let statement = if expected == 0 { FIRST_CONTROL } else { NEXT_CONTROL };
            let written =
                connection.prepare_cached(statement)?.execute(params![provider, expected, next.version, item])?;
            Ok(written == 1)
        };
        self.database.write(work).await.map_err(to_ledger_error(ACTION))
    }
}

const COUNT_DAY: &str = "
SELECT COUNT(*) FILTER (WHERE state = 'done'), COUNT(*) FILTER (WHERE state = 'dead'),
       COUNT(*) FILTER (WHERE state IN ('inflight', 'retry'))
FROM ledger WHERE provider = ?1 AND day = ?2";

const COUNT_WAITING: &str = "
SELECT COUNT(DISTINCT identity), MIN(not_before) FROM ledger
WHERE provider = ?1 AND state = 'retry' AND not_before > ?2";

const FETCHED: &str = "
UPDATE ledger SET state = 'done', lease = NULL, not_before = NULL, abandoned = NULL, error = NULL, sequence = ?5,
    polls = 0, resume = NULL
WHERE provider = ?1 AND identity = ?2 AND day = ?3 AND owner = ?4 AND state IN ('inflight', 'done')";

const DEAD: &str = "
UPDATE ledger SET state = 'dead', lease = NULL, not_before = NULL, abandoned = NULL, error = ?6, sequence = ?5,
    polls = 0, resume = NULL
WHERE provider = ?1 AND identity = ?2 AND day = ?3 AND owner = ?4 AND state IN ('inflight', 'dead')";

const RELEASE: &str = "
UPDATE ledger SET state = 'retry', owner = NULL, lease = NULL, abandoned = NULL,
    attempts = attempts + ?5, not_before = ?6, error = ?7, polls = coalesce(?9, polls), resume = coalesce(?10, resume)
WHERE provider = ?1 AND identity = ?2 AND day = ?3 AND owner = ?4 AND state = 'inflight' AND lease = ?8";

const SHARES: &str = "SELECT owner, count, wanted, since FROM slots WHERE provider = ?1 AND until > ?2";

const CUT_SLOTS: &str = "UPDATE slots SET until = ?2 WHERE provider = ?1 AND until > ?2";

const FORGET_SLOTS: &str = "DELETE FROM slots WHERE provider = ?1 AND (owner = ?2 OR until <= ?3)";

const TAKE_SLOTS: &str =
    "INSERT INTO slots (provider, owner, count, wanted, until, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

// Version 0 is what `control` answers where there is no row. The unused ?2 keeps the parameters of both alike.
const FIRST_CONTROL: &str = "
INSERT INTO control (provider, version, item) SELECT ?1, ?3, ?4 WHERE ?2 = 0 ON CONFLICT DO NOTHING";

const NEXT_CONTROL: &str = "UPDATE control SET version = ?3, item = ?4 WHERE provider = ?1 AND version = ?2";

/// Like the ledger's row, a letter of a claimed item is written anew where the item was redriven and died again.
const STORE_LETTER: &str = "
INSERT INTO dead_letters (provider, sequence, identity, day, reason, letter) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (provider, sequence) DO UPDATE SET
    identity = excluded.identity, day = excluded.day, reason = excluded.reason, letter = excluded.letter,
    redriven = NULL
WHERE excluded.identity IS NOT NULL";

fn change_slots(connection: &Connection, provider: &str, request: &SlotRequest<'_>) -> Result<Granted, SqlError> {
    let (owner, now) = (request.owner.as_str(), micros(request.now));
    connection.prepare_cached(CUT_SLOTS)?.execute(params![provider, micros(request.latest_until())])?;
    let mut shares = connection.prepare_cached(SHARES)?;
    let shares = shares.query_map(params![provider, now], |row| {
        let since = Timestamp::from_microsecond(row.get(3)?).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok((row.get::<_, String>(0)?, Share { has: row.get(1)?, wants: row.get(2)?, since }))
    })?;
    let (ours, others): (Vec<_>, Vec<_>) =
        shares.collect::<Result<Vec<_>, _>>()?.into_iter().partition(|(name, _)| name == owner);
    let decided = grant(&request.wish(), ours.first().map(|(_, share)| *share), &others);
    connection.prepare_cached(FORGET_SLOTS)?.execute(params![provider, owner, now])?;
    if let Some((share, until)) = decided.kept {
        let Share { has, wants, since } = share;
        let values = params![provider, owner, has, wants, micros(until), micros(since)];
        connection.prepare_cached(TAKE_SLOTS)?.execute(values)?;
    }
    Ok(decided.granted)
}

fn finish(connection: &Connection, provider: &str, owner: &Owner, item: &Finish) -> Result<Finished, SqlError> {
    match item {
        Finish::Fetched(claimed) => {
            let Claimed { identity, day, sequence, .. } = claimed;
            let written = connection.prepare_cached(FETCHED)?.execute(params![
                provider,
                identity.as_str(),
                day.to_string(),
                owner.as_str(),
                &*sequence.0
            ])?;
            Ok(if written == 1 { Finished::Written } else { Finished::Fenced })
        }
        Finish::Dead { claimed: None, letter } => {
            store_letter(connection, provider, None, letter)?;
            Ok(Finished::Written)
        }
        Finish::Dead { claimed: Some(claimed), letter } => {
            let Claimed { identity, day, sequence, .. } = claimed;
            let written = connection.prepare_cached(DEAD)?.execute(params![
                provider,
                identity.as_str(),
                day.to_string(),
                owner.as_str(),
                &*sequence.0,
                letter.message
            ])?;
            if written == 0 {
                return Ok(Finished::Fenced);
            }
            store_letter(connection, provider, Some(claimed), letter)?;
            Ok(Finished::Written)
        }
    }
}

fn store_letter(
    connection: &Connection,
    provider: &str,
    claimed: Option<&Claimed>,
    letter: &DeadLetter,
) -> Result<(), SqlError> {
    let text = serde_json::to_string(letter).map_err(|error| SqlError::unreadable("dead letter", error))?;
    connection.prepare_cached(STORE_LETTER)?.execute(params![
        provider,
        &*letter.sequence.0,
        claimed.map(|claimed| claimed.identity.as_str()),
        claimed.map(|claimed| claimed.day.to_string()),
        rows::reason_text(letter.reason)?,
        text,
    ])?;
    Ok(())
}

fn to_ledger_error(action: &'static str) -> impl Fn(DatabaseError) -> LedgerError {
    move |error| match error {
        DatabaseError::Unreadable { what, message, .. } => LedgerError::Unreadable { what, message },
        error => LedgerError::Failed { action, message: error.to_string() },
    }
}
