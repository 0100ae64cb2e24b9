//! The stream in SQLite: entries in order, a checkpoint, and what each entry came to.
//!
//! One shard a provider. Entries after the checkpoint that have not ended are delivered, in order; the checkpoint moves
//! only past what has ended. Unlike a shard in Kinesis it keeps account of each entry, so that one that waits holds up
//! no others. One poller at a time delivers: it holds a lease.
//!
//! Ended entries before the checkpoint are not read again. They stay, and may be trimmed one day.

use bytes::Bytes;
use damper_core::admin::Counts;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::pipeline::report::{End, Report};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::{Database, DatabaseError, SqlError};
use crate::ledger::rows::{micros, timestamp};

/// The largest entry that is fed, in bytes; Kinesis takes 1 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// The most payload of one batch, in bytes, as for a Lambda invocation; a batch has at least one entry nevertheless.
pub const MAX_BATCH_BYTES: usize = 6 * 1024 * 1024;

/// Every provider's stream in a [`Database`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use damper_core::pipeline::report::{End, Report};
/// # use damper_local::{Database, SqliteStream, stream::{BatchFinished, Hold}};
/// # let folder = tempfile::tempdir()?;
/// # let database = Database::open(folder.path().join("damper.db"))?;
/// let stream = SqliteStream::new(database);
/// let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
/// stream.feed("demo", vec![r#"{"id":"41"}"#.into(), r#"{"id":"42"}"#.into()], now).await?;
///
/// // A poller holds the stream for as long as its lease lasts, and delivers what has not ended.
/// assert_eq!(stream.hold("demo", "poller-1", now, now + Duration::from_secs(6)).await?, Hold::Held);
/// let batch = stream.next_batch("demo", 100).await?;
/// let [first, second] = &batch[..] else { panic!("two entries") };
///
/// // The first entry was fetched; the second one is delivered again.
/// let report = Report {
///     ended: vec![(first.sequence.clone(), End::Fetched)],
///     first_unfinished: Some(second.sequence.clone()),
///     ..Report::default()
/// };
/// let finished = stream.finish_batch("demo", "poller-1", &report).await?;
/// assert_eq!(finished, BatchFinished::Recorded { ended: 1, moved: true });
///
/// let counts = stream.counts("demo").await?;
/// assert_eq!((counts.fed, counts.fetched, counts.pending), (2, 1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStream {
    database: Database,
}

/// Entries to read for a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct BatchQuery {
    /// These first, by number.
    pub(crate) due: Vec<i64>,
    /// Then those after this one and the checkpoint ...
    pub(crate) after: i64,
    /// ... at most so many.
    pub(crate) fresh: u32,
}

/// Entries that were read.
#[derive(Debug, Default)]
pub(crate) struct BatchEntries {
    /// Those that have not ended.
    pub(crate) entries: Vec<Entry>,
    /// Which of [`BatchQuery::due`] are among them or have ended: not those for which a batch has no room.
    pub(crate) found: Vec<i64>,
}

/// Whether a poller may deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It may, until the lease it asked for ends.
    Held,
    /// Another may, until then.
    Other {
        /// When that lease ends if it is not renewed.
        until: Timestamp,
    },
}

/// The result of finishing a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFinished {
    /// Ends were recorded and the checkpoint was moved.
    Recorded {
        /// How many entries ended that had not before.
        ended: u64,
        /// Whether the checkpoint moved.
        moved: bool,
    },
    /// Another poller holds the stream now and will see for itself; nothing was recorded.
    Fenced,
}

/// Why entries were not fed. None of that call was.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// One is too large.
    #[error(
        "entry {position} of this feed has {length} bytes, more than {MAX_PAYLOAD_BYTES}: feed the id and its parameters only"
    )]
    TooLarge {
        /// Which of the entries, counted from 1.
        position: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl SqliteStream {
    /// The streams in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Append entries in order, all in one transaction; they are durable when this returns how many there were. Some
    /// thousands at a time are fast.
    ///
    /// # Errors
    /// If an entry is larger than [`MAX_PAYLOAD_BYTES`], or the database fails; then none was appended.
    pub async fn feed(&self, provider: &str, payloads: Vec<Bytes>, arrived: Timestamp) -> Result<u64, FeedError> {
        if let Some((index, payload)) = payloads.iter().enumerate().find(|(_, it)| it.len() > MAX_PAYLOAD_BYTES) {
            return Err(FeedError::TooLarge { position: index.saturating_add(1), length: payload.len() });
        }
        let provider = provider.to_owned();
        let work = move |connection: &Connection| append(connection, &provider, &payloads, arrived);
        Ok(self.database.write(work).await?)
    }

    /// The entries after the checkpoint that have not ended, in order: at most `limit` of them and [`MAX_BATCH_BYTES`]
    /// of payload, and at least one if there is one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_batch(&self, provider: &str, limit: u32) -> Result<Vec<Entry>, DatabaseError> {
        let query = BatchQuery { fresh: limit, ..BatchQuery::default() };
        Ok(self.read(provider, query).await?.entries)
    }

    /// The entries that are wanted and have not ended: at most [`MAX_BATCH_BYTES`] of payload, and at least one if
    /// there is one.
    pub(crate) async fn read(&self, provider: &str, query: BatchQuery) -> Result<BatchEntries, DatabaseError> {
        let provider = provider.to_owned();
        self.database.read(move |connection| read_entries(connection, &provider, &query)).await
    }

    /// Record what a batch came to and move the checkpoint to just before `report.first_unfinished`, or past the batch.
    /// An entry's first end stays; the checkpoint never moves back, nor past an entry that has not ended.
    ///
    /// # Errors
    /// If the report names a sequence number that is none of this stream's, or the database fails.
    pub async fn finish_batch(
        &self,
        provider: &str,
        holder: &str,
        report: &Report,
    ) -> Result<BatchFinished, DatabaseError> {
        let (provider, holder) = (provider.to_owned(), holder.to_owned());
        let (ended, first_unfinished) = (report.ended.clone(), report.first_unfinished.clone());
        let work = move |connection: &Connection| {
            record_ends(connection, &provider, &holder, &ended, first_unfinished.as_ref())
        };
        self.database.write(work).await
    }

    /// Become, or stay, the one who delivers this provider's batches.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hold(
        &self,
        provider: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Hold, DatabaseError> {
        let (provider, holder) = (provider.to_owned(), holder.to_owned());
        let work = move |connection: &Connection| {
            let mut take = connection.prepare_cached(HOLD)?;
            if take.execute(params![provider, holder, micros(now), micros(until)])? == 1 {
                return Ok(Hold::Held);
            }
            let until = connection
                .prepare_cached("SELECT poller_until FROM shards WHERE provider = ?1")?
                .query_row([&provider], |row| row.get::<_, Option<i64>>(0))?;
            Ok(Hold::Other { until: until.map_or(Ok(now), |until| timestamp(until, "poller lease"))? })
        };
        self.database.write(work).await
    }

    /// Let another poller deliver at once. Does nothing where `holder` does not hold.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn free(&self, provider: &str, holder: &str) -> Result<(), DatabaseError> {
        let (provider, holder) = (provider.to_owned(), holder.to_owned());
        let work = move |connection: &Connection| {
            connection.prepare_cached(FREE)?.execute(params![provider, holder])?;
            Ok(())
        };
        self.database.write(work).await
    }

    /// The provider's entries by outcome; all zero if it has no stream.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn counts(&self, provider: &str) -> Result<Counts, DatabaseError> {
        let provider = provider.to_owned();
        self.database.read(move |connection| read_counts(connection, &provider)).await
    }

    /// The providers that have a stream, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn providers(&self) -> Result<Vec<String>, DatabaseError> {
        let work = |connection: &Connection| {
            let mut statement = connection.prepare_cached("SELECT provider FROM shards ORDER BY provider")?;
            let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(names)
        };
        self.database.read(work).await
    }
}

/// A lease that ends more than a minute later than this one would was taken before the clock was set back: its holder
/// renews it within seconds, or is gone. To take it over is safe at any time: what the other one reports is fenced.
const HOLD: &str = "
INSERT INTO shards (provider, poller, poller_until) VALUES (?1, ?2, ?4)
ON CONFLICT DO UPDATE SET poller = ?2, poller_until = ?4
WHERE poller IS NULL OR poller = ?2 OR poller_until <= ?3 OR poller_until > ?4 + 60000000";

const FREE: &str = "UPDATE shards SET poller = NULL, poller_until = NULL WHERE provider = ?1 AND poller = ?2";

const COUNT_FED: &str = "
INSERT INTO shards (provider, fed) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET fed = fed + ?2 RETURNING fed";

const DUE: &str = "
SELECT sequence, arrived, payload FROM entries WHERE provider = ?1 AND sequence = ?2 AND outcome IS NULL";

const FRESH: &str = "
SELECT sequence, arrived, payload FROM entries
WHERE provider = ?1 AND sequence > MAX(?2, (SELECT checkpoint FROM shards WHERE provider = ?1)) AND outcome IS NULL
ORDER BY sequence LIMIT ?3";

const END: &str = "UPDATE entries SET outcome = ?3 WHERE provider = ?1 AND sequence = ?2 AND outcome IS NULL";

const COUNT_ENDED: &str = "
UPDATE shards SET fetched = fetched + ?2, skipped = skipped + ?3, dead_letters = dead_letters + ?4 WHERE provider = ?1";

const FIRST_PENDING: &str = "
SELECT MIN(sequence) FROM entries WHERE provider = ?1 AND sequence > ?2 AND sequence <= ?3 AND outcome IS NULL";

const OLDEST_PENDING: &str = "
SELECT arrived FROM entries
WHERE provider = ?1 AND sequence > (SELECT checkpoint FROM shards WHERE provider = ?1) AND outcome IS NULL
ORDER BY sequence LIMIT 1";

/// Append within a transaction that somebody else has begun.
pub(crate) fn append(
    connection: &Connection,
    provider: &str,
    payloads: &[Bytes],
    arrived: Timestamp,
) -> Result<u64, SqlError> {
    let count = i64::try_from(payloads.len()).unwrap_or(i64::MAX);
    let fed: i64 = connection.prepare_cached(COUNT_FED)?.query_row(params![provider, count], |row| row.get(0))?;
    let mut insert = connection
        .prepare_cached("INSERT INTO entries (provider, sequence, arrived, payload) VALUES (?1, ?2, ?3, ?4)")?;
    for (sequence, payload) in (fed.saturating_sub(count).saturating_add(1)..).zip(payloads) {
        insert.execute(params![provider, sequence, micros(arrived), &payload[..]])?;
    }
    Ok(u64::try_from(count).unwrap_or_default())
}

fn read_entries(connection: &Connection, provider: &str, query: &BatchQuery) -> Result<BatchEntries, SqlError> {
    let (mut read, mut bytes) = (BatchEntries::default(), 0_usize);
    let mut due = connection.prepare_cached(DUE)?;
    for sequence in &query.due {
        if let Some(entry) = due.query_row(params![provider, sequence], |row| Ok(read_entry(row))).optional()? {
            let entry = entry?;
            bytes = bytes.saturating_add(entry.payload.len());
            if bytes > MAX_BATCH_BYTES && !read.entries.is_empty() {
                return Ok(read);
            }
            read.entries.push(entry);
        }
        read.found.push(*sequence);
    }
    let mut fresh = connection.prepare_cached(FRESH)?;
    let mut rows = fresh.query(params![provider, query.after, query.fresh])?;
    while let Some(row) = rows.next()? {
        let entry = read_entry(row)?;
        bytes = bytes.saturating_add(entry.payload.len());
        if bytes > MAX_BATCH_BYTES && !read.entries.is_empty() {
            break;
        }
        read.entries.push(entry);
    }
    Ok(read)
}

fn read_entry(row: &Row<'_>) -> Result<Entry, SqlError> {
    let number: i64 = row.get(0)?;
    let sequence = SequenceNumber::from(number.to_string().as_str());
    let payload = Bytes::from(row.get::<_, Vec<u8>>(2)?);
    Ok(Entry { sequence, arrived: timestamp(row.get(1)?, "stream entry")?, payload })
}

fn record_ends(
    connection: &Connection,
    provider: &str,
    holder: &str,
    ended: &[(SequenceNumber, End)],
    first_unfinished: Option<&SequenceNumber>,
) -> Result<BatchFinished, SqlError> {
    let checkpoint: Option<i64> = connection
        .prepare_cached("SELECT checkpoint FROM shards WHERE provider = ?1 AND poller = ?2")?
        .query_row(params![provider, holder], |row| row.get(0))
        .optional()?;
    let Some(checkpoint) = checkpoint else { return Ok(BatchFinished::Fenced) };
    let (mut fetched, mut skipped, mut dead, mut last) = (0_usize, 0_usize, 0_usize, checkpoint);
    let mut update = connection.prepare_cached(END)?;
    for (sequence, end) in ended {
        let (outcome, count) = match end {
            End::Fetched => ("fetched", &mut fetched),
            End::Skipped => ("skipped", &mut skipped),
            End::DeadLetter => ("dead-letter", &mut dead),
        };
        let sequence = parse_number(sequence)?;
        *count = count.saturating_add(update.execute(params![provider, sequence, outcome])?);
        last = last.max(sequence);
    }
    connection.prepare_cached(COUNT_ENDED)?.execute(params![provider, fetched, skipped, dead])?;
    let target = first_unfinished.map(parse_number).transpose()?.map_or(last, |first| first.saturating_sub(1));
    let pending: Option<i64> =
        connection.prepare_cached(FIRST_PENDING)?.query_row(params![provider, checkpoint, target], |row| row.get(0))?;
    let target = pending.map_or(target, |pending| pending.saturating_sub(1));
    let moved = target > checkpoint;
    if moved {
        connection
            .prepare_cached("UPDATE shards SET checkpoint = ?2 WHERE provider = ?1")?
            .execute(params![provider, target])?;
    }
    let ended = fetched.saturating_add(skipped).saturating_add(dead);
    Ok(BatchFinished::Recorded { ended: u64::try_from(ended).unwrap_or(u64::MAX), moved })
}

fn parse_number(sequence: &SequenceNumber) -> Result<i64, SqlError> {
    sequence.0.parse().map_err(|error| SqlError::unreadable("sequence number", format!("{sequence:?}: {error}")))
}

fn read_counts(connection: &Connection, provider: &str) -> Result<Counts, SqlError> {
    let found = connection
        .prepare_cached("SELECT fed, fetched, skipped, dead_letters FROM shards WHERE provider = ?1")?
        .query_row([provider], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((fed, fetched, skipped, dead_letters)) = found else { return Ok(Counts::default()) };
    let pending = [fetched, skipped, dead_letters].iter().fold(fed, |rest: u64, ended| rest.saturating_sub(*ended));
    let oldest: Option<i64> =
        connection.prepare_cached(OLDEST_PENDING)?.query_row([provider], |row| row.get(0)).optional()?;
    let oldest_pending = oldest.map(|micros| timestamp(micros, "stream entry")).transpose()?;
    Ok(Counts { fed, fetched, skipped, dead_letters, pending, oldest_pending })
}
