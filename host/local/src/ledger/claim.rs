//! One claim: read the identity's rows since the entry's arrival, decide, write today's row.

use damper_core::day::Day;
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::{Claim, ClaimDecision, ClaimGrant, ClaimRequest, ClaimRow, ClaimState, Owner, decide_claim};
use damper_core::resume::ResumeState;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::rows::{self, micros, timestamp};
use crate::database::SqlError;

const WHAT: &str = "ledger row";

const SELECT: &str = "
SELECT day, state, owner, lease, attempts, not_before, sequence, abandoned, polls, resume FROM ledger
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

    fn borrow(&self) -> ClaimRequest<'_> {
        let Self { provider, identity, sequence, owner, .. } = self;
        let (today, since, now, lease) = (self.today, self.since, self.now, self.lease);
        ClaimRequest { provider, identity, sequence, today, since, owner, now, lease }
    }
}

pub(super) fn claim(connection: &Connection, request: &OwnedClaimRequest) -> Result<Claim, SqlError> {
    let today = request.today.to_string();
    // If the entry arrived today, no earlier day's row matters.
    if request.since == request.today && take_first(connection, request, &today)? {
        return Ok(Claim::Granted { attempt: 1, abandoned: Vec::new(), resume: None });
    }
    let since = request.since.to_string();
    let mut past = Vec::new();
    let mut statement = connection.prepare_cached(SELECT)?;
    let mut found = statement.query(params![request.provider, request.identity.as_str(), since, today])?;
    while let Some(row) = found.next()? {
        past.push(read_row(row)?);
    }
    match decide_claim(&past, &request.borrow()) {
        ClaimDecision::Refused(claim) => Ok(claim),
        ClaimDecision::Granted(grant) => write_grant(connection, request, &today, grant),
    }
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

fn write_grant(
    connection: &Connection,
    request: &OwnedClaimRequest,
    today: &str,
    grant: ClaimGrant,
) -> Result<Claim, SqlError> {
    for day in &grant.over {
        connection.prepare_cached(RELEASE_EARLIER_DAY)?.execute(params![
            request.provider,
            request.identity.as_str(),
            day.to_string()
        ])?;
    }
    connection.prepare_cached(TAKE)?.execute(params![
        request.provider,
        request.identity.as_str(),
        today,
        request.owner.as_str(),
        micros(request.lease),
        &*request.sequence.0,
        rows::abandoned_text(&grant.abandoned)?,
    ])?;
    Ok(grant.into_claim())
}

fn read_row(row: &Row<'_>) -> Result<ClaimRow, SqlError> {
    let time = |column: usize| -> Result<Option<Timestamp>, SqlError> {
        row.get::<_, Option<i64>>(column)?.map(|micros| timestamp(micros, WHAT)).transpose()
    };
    let state = match row.get_ref(1)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))? {
        "inflight" => ClaimState::InFlight {
            owner: Owner::from(row.get_ref(2)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))?),
            lease: time(3)?.ok_or_else(|| SqlError::unreadable(WHAT, "a claim without a lease"))?,
        },
        "retry" => ClaimState::Retry { due: time(5)?.unwrap_or(Timestamp::MIN) },
        "done" => ClaimState::Done,
        "dead" => ClaimState::Dead,
        other => return Err(SqlError::unreadable(WHAT, format!("the state {other:?}"))),
    };
    let day = row.get_ref(0)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))?;
    let resume = row.get::<_, Option<Vec<u8>>>(9)?;
    let polls = row.get(8)?;
    Ok(ClaimRow {
        day: rows::day(day, WHAT)?,
        state,
        attempts: row.get(4)?,
        sequence: SequenceNumber::from(row.get_ref(6)?.as_str().map_err(|error| SqlError::unreadable(WHAT, error))?),
        abandoned: rows::parse_abandoned(row.get::<_, Option<String>>(7)?.as_deref())?,
        resume: resume.map(|bytes| ResumeState { polls, bytes: bytes.into() }),
    })
}
