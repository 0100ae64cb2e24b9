//! One claim: read the identity's rows since the entry's arrival, decide, write today's row.

use damper_core::day::Day;
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::{Abandoned, Claim, ClaimRequest, Owner, is_held, is_waiting};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::rows::{self, micros, timestamp};
use crate::database::SqlError;

const WHAT: &str = "ledger row";

const SELECT: &str = "
SELECT day, state, owner, lease, attempts, not_before, sequence, abandoned FROM ledger
WHERE provider = ?1 AND identity = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day";

/// Almost every claim is the first of its item: then this is all there is to do.
const TAKE_FIRST: &str = "
INSERT INTO ledger (provider, identity, day, state, owner, lease, sequence)
VALUES (?1, ?2, ?3, 'inflight', ?4, ?5, ?6) ON CONFLICT DO NOTHING";

const TAKE: &str = "
INSERT INTO ledger (provider, identity, day, state, owner, lease, sequence, abandoned)
VALUES (?1, ?2, ?3, 'inflight', ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET
    state = 'inflight', owner = ?4, lease = ?5, sequence = ?6, abandoned = ?7, not_before = NULL";

/// Releases an earlier day's claim; its abandoned claims have moved into today's row.
const RELEASE_EARLIER_DAY: &str = "
UPDATE ledger SET state = 'retry', owner = NULL, lease = NULL, abandoned = NULL
WHERE provider = ?1 AND identity = ?2 AND day = ?3";

/// A claim's request, owned: it travels to the writer's thread.
pub(super) struct OwnedClaimRequest {
    provider: String,
    identity: Identity,
    sequence: SequenceNumber,
    today: Day,
    since: Day,
    owner: Owner,
    now: Timestamp,
    lease: Timestamp,
}

impl OwnedClaimRequest {
    pub(super) fn of(request: &ClaimRequest<'_>) -> Self {
        Self {
            provider: request.provider.to_owned(),
            identity: request.identity.clone(),
            sequence: request.sequence.clone(),
            today: request.today,
            // A clock that went back must not hide what was done today.
            since: request.since.min(request.today),
            owner: request.owner.clone(),
            now: request.now,
            lease: request.lease,
        }
    }
}

/// One row of the ledger, as far as a claim looks at it.
struct LedgerRow {
    day: String,
    state: RowState,
    attempts: u32,
    sequence: SequenceNumber,
    abandoned: Vec<Abandoned>,
}

enum RowState {
    InFlight { owner: Owner, lease: Timestamp },
    Retry { not_before: Option<Timestamp> },
    Done,
    Dead,
}

pub(super) fn claim(connection: &Connection, request: &OwnedClaimRequest) -> Result<Claim, SqlError> {
    let today = request.today.to_string();
    // If the entry arrived today, no earlier day's row matters.
    if request.since == request.today && take_first(connection, request, &today)? {
        return Ok(Claim::Granted { attempt: 1, abandoned: Vec::new() });
    }
    let since = request.since.to_string();
    let mut past = Vec::new();
    let mut statement = connection.prepare_cached(SELECT)?;
    let mut found = statement.query(params![request.provider, request.identity.as_str(), since, today])?;
    while let Some(row) = found.next()? {
        past.push(read_row(row)?);
    }
    if let Some(refused) = find_end(&past, &request.sequence).or_else(|| find_hold_or_wait(&past, request)) {
        return Ok(refused);
    }
    grant(connection, request, today, past)
}

/// Claims an item that has no row today; returns whether it had none.
fn take_first(connection: &Connection, request: &OwnedClaimRequest, today: &str) -> Result<bool, SqlError> {
    let taken = connection.prepare_cached(TAKE_FIRST)?.execute(params![
        request.provider,
        request.identity.as_str(),
        today,
        request.owner.as_str(),
        micros(request.lease),
        &*request.sequence.0,
    ])?;
    Ok(taken == 1)
}

/// The end that the item has come to already: this very entry's if there is one, else a record before a dead letter,
/// and the earliest.
fn find_end(past: &[LedgerRow], sequence: &SequenceNumber) -> Option<Claim> {
    let ended = || {
        past.iter().filter_map(|row| match row.state {
            RowState::Done => Some((row, Claim::Done { by: row.sequence.clone() })),
            RowState::Dead => Some((row, Claim::Dead { by: row.sequence.clone() })),
            RowState::InFlight { .. } | RowState::Retry { .. } => None,
        })
    };
    ended()
        .find(|(row, _)| row.sequence == *sequence)
        .or_else(|| ended().find(|(_, end)| matches!(end, Claim::Done { .. })))
        .or_else(|| ended().next())
        .map(|(_, end)| end)
}

/// `Held` if another owner has the item, `Waiting` if its next attempt is not due yet.
fn find_hold_or_wait(past: &[LedgerRow], request: &OwnedClaimRequest) -> Option<Claim> {
    let held = past.iter().filter_map(|row| match &row.state {
        RowState::InFlight { owner, lease } if is_held(*lease, request.now) && *owner != request.owner => Some(*lease),
        _ => None,
    });
    let waiting = past.iter().filter_map(|row| match row.state {
        RowState::Retry { not_before } => not_before.filter(|due| is_waiting(*due, request.now)),
        _ => None,
    });
    held.max().map(|until| Claim::Held { until }).or_else(|| waiting.max().map(|until| Claim::Waiting { until }))
}

fn grant(
    connection: &Connection,
    request: &OwnedClaimRequest,
    today: String,
    past: Vec<LedgerRow>,
) -> Result<Claim, SqlError> {
    let counted: u32 = past.iter().map(|row| row.attempts).fold(0, u32::saturating_add);
    let mut abandoned = Vec::new();
    for row in past {
        let had_any = !row.abandoned.is_empty();
        abandoned.extend(row.abandoned);
        let in_flight = matches!(row.state, RowState::InFlight { .. });
        if let RowState::InFlight { owner, .. } = row.state
            && owner != request.owner
        {
            abandoned.push(Abandoned { day: rows::day(&row.day, WHAT)?, owner });
        }
        if row.day != today && (in_flight || had_any) {
            connection.prepare_cached(RELEASE_EARLIER_DAY)?.execute(params![
                request.provider,
                request.identity.as_str(),
                row.day
            ])?;
        }
    }
    connection.prepare_cached(TAKE)?.execute(params![
        request.provider,
        request.identity.as_str(),
        today,
        request.owner.as_str(),
        micros(request.lease),
        &*request.sequence.0,
        rows::abandoned_text(&abandoned)?,
    ])?;
    // Claims abandoned before this entry arrived stay in the row for an older entry; this entry ignores them.
    abandoned.retain(|claim| claim.day >= request.since);
    Ok(Claim::Granted { attempt: counted.saturating_add(1), abandoned })
}

fn read_row(row: &Row<'_>) -> Result<LedgerRow, SqlError> {
    let time = |column: usize| -> Result<Option<Timestamp>, SqlError> {
        row.get::<_, Option<i64>>(column)?.map(|micros| timestamp(micros, WHAT)).transpose()
    };
    let state = match row.get_ref(1)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))? {
        "inflight" => RowState::InFlight {
            owner: Owner::from(row.get_ref(2)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))?),
            lease: time(3)?.ok_or_else(|| SqlError::unreadable(WHAT, "a claim without a lease"))?,
        },
        "retry" => RowState::Retry { not_before: time(5)? },
        "done" => RowState::Done,
        "dead" => RowState::Dead,
        other => return Err(SqlError::unreadable(WHAT, format!("the state {other:?}"))),
    };
    Ok(LedgerRow {
        day: row.get(0)?,
        state,
        attempts: row.get(4)?,
        sequence: SequenceNumber::from(row.get_ref(6)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))?),
        abandoned: rows::parse_abandoned(row.get::<_, Option<String>>(7)?.as_deref())?,
    })
}
