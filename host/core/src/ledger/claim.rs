//! The one decision about a claim, for every ledger: what the rows of an item give to an owner that asks for it. Pure.
//!
//! ```text
//! rows since the entry's arrival
//!   one is done or dead ----------------------------> Done, Dead   this entry's end, else a record, the earliest
//!   one is in flight under another owner's lease ---> Held         until the last of these leases ends
//!   one waits for its next attempt -----------------> Waiting      until the last of these is due
//!   none of these ----------------------------------> granted      with all claims that expired
//! ```
//!
//! A grant is only a decision: each ledger writes it in its own way, and decides anew if the rows have changed
//! meanwhile.

use std::time::Duration;

use jiff::Timestamp;

use super::{Abandoned, Claim, ClaimRequest, Owner};
use crate::day::Day;
use crate::item::SequenceNumber;
use crate::resume::ResumeState;

/// The longest time for which a claim holds: a fetch of ten minutes, a chunk's age, a flush, and what clocks may be
/// late.
const LONGEST_LEASE: Duration = Duration::from_secs(600 + 5 + 10 + 1);
/// The longest time that an item waits between two tries: a Retry-After of a day, and an hour for what else may be
/// added.
const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3600);

/// A row of the ledger, one identity on one day, as far as a claim looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    /// Its day.
    pub day: Day,
    /// Its state.
    pub state: ClaimState,
    /// The entry it is, or was last, claimed for.
    pub sequence: SequenceNumber,
    /// Attempts that count.
    pub attempts: u32,
    /// Earlier claims that expired and were not recovered yet, oldest first. Empty unless the row is in flight.
    pub abandoned: Vec<Abandoned>,
    /// The resume state of that day's last call, if the record was not ready.
    pub resume: Option<ResumeState>,
}

/// The state of a row, as far as a claim looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimState {
    /// An owner has claimed it.
    InFlight {
        /// The owner.
        owner: Owner,
        /// When the claim expires.
        lease: Timestamp,
    },
    /// It is free from a time on.
    Retry {
        /// When it is due.
        due: Timestamp,
    },
    /// Its record is in the sink.
    Done,
    /// It is given up on.
    Dead,
}

/// The decision about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimDecision {
    /// Nothing is written.
    Refused(Claim),
    /// The grant is to be written.
    Granted(ClaimGrant),
}

/// A claim that is granted. Today's row gets the owner, the lease and the entry of the request; its count of attempts
/// stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimGrant {
    /// Which attempt it is.
    pub attempt: u32,
    /// All claims that expired, for today's row: also those from before the entry's arrival, for an older entry.
    pub abandoned: Vec<Abandoned>,
    /// Earlier days whose rows are to be released: their claims are over, and listed in today's row from now on.
    pub over: Vec<Day>,
    /// Whether today's row holds this very claim already: it was written, and its answer was lost. A ledger whose
    /// answers can be lost must not write it again, or the next answer could be lost as well, and so on.
    pub is_written: bool,
    /// The latest resume state of the item.
    pub resume: Option<ResumeState>,
    since: Day,
}

impl ClaimGrant {
    /// The answer to the request, after the grant was written. It lists the expired claims since the entry's arrival.
    #[must_use]
    pub fn into_claim(self) -> Claim {
        let Self { attempt, mut abandoned, resume, since, .. } = self;
        abandoned.retain(|claim| claim.day >= since);
        Claim::Granted { attempt, abandoned, resume }
    }
}

/// Decide about a claim by the item's rows of the days from the entry's arrival to today, oldest first.
#[must_use]
pub fn decide_claim(rows: &[ClaimRow], request: &ClaimRequest<'_>) -> ClaimDecision {
    if let Some(refused) = find_end(rows, request.sequence).or_else(|| find_hold_or_wait(rows, request)) {
        return ClaimDecision::Refused(refused);
    }
    let attempt = rows.iter().map(|row| row.attempts).fold(1, u32::saturating_add);
    let (mut abandoned, mut over, mut is_written) = (Vec::new(), Vec::new(), false);
    for row in rows {
        abandoned.extend(row.abandoned.iter().cloned());
        let owner = if let ClaimState::InFlight { owner, .. } = &row.state { Some(owner) } else { None };
        if let Some(owner) = owner.filter(|owner| *owner != request.owner) {
            abandoned.push(Abandoned { day: row.day, owner: owner.clone() });
        }
        if row.day == request.today {
            is_written = is_this_claim(row, request);
        } else if owner.is_some() || !row.abandoned.is_empty() {
            over.push(row.day);
        }
    }
    // Claims of earlier days that are over have yet to be released.
    is_written &= over.is_empty();
    // A clock that went back must not hide what was done today.
    let since = request.since.min(request.today);
    let resume = rows.iter().rev().find_map(|row| row.resume.clone());
    ClaimDecision::Granted(ClaimGrant { attempt, abandoned, over, is_written, resume, since })
}

/// Whether a row holds the claim that is asked for, with the same lease: an owner's next claim of the item has a later
/// one.
fn is_this_claim(row: &ClaimRow, request: &ClaimRequest<'_>) -> bool {
    let holds = |owner: &Owner, lease: Timestamp| {
        // As exact as it is stored.
        owner == request.owner && lease.as_microsecond() == request.lease.as_microsecond()
    };
    row.sequence == *request.sequence
        && matches!(&row.state, ClaimState::InFlight { owner, lease } if holds(owner, *lease))
}

/// The end that the item has come to already: this very entry's if there is one, else a record before a dead letter,
/// and the earliest.
fn find_end(rows: &[ClaimRow], sequence: &SequenceNumber) -> Option<Claim> {
    let rank = |row: &ClaimRow| (row.sequence != *sequence, row.state != ClaimState::Done);
    let ended = rows.iter().filter(|row| matches!(row.state, ClaimState::Done | ClaimState::Dead));
    // Of equals the first, which is the earliest.
    let row = ended.min_by_key(|row| rank(row))?;
    let by = row.sequence.clone();
    Some(if row.state == ClaimState::Done { Claim::Done { by } } else { Claim::Dead { by } })
}

/// `Held` if another owner has the item, `Waiting` if its next attempt is not due yet.
fn find_hold_or_wait(rows: &[ClaimRow], request: &ClaimRequest<'_>) -> Option<Claim> {
    let held = rows.iter().filter_map(|row| match &row.state {
        ClaimState::InFlight { owner, lease } if is_held(*lease, request.now) && owner != request.owner => Some(*lease),
        _ => None,
    });
    let waiting = rows.iter().filter_map(|row| match row.state {
        ClaimState::Retry { due } if is_waiting(due, request.now) => Some(due),
        _ => None,
    });
    held.max().map(|until| Claim::Held { until }).or_else(|| waiting.max().map(|until| Claim::Waiting { until }))
}

/// Whether a claim with this lease holds at `now`. A lease that ends later than any can was written before the clock
/// was set back; the claim is taken over, which is safe at any time, for its owner is fenced and sealed.
fn is_held(lease: Timestamp, now: Timestamp) -> bool {
    is_ahead(lease, now, LONGEST_LEASE)
}

/// Whether an item that failed is not due at `now`. One that is due later than any can be was released before the clock
/// was set back, and is due.
#[must_use]
pub fn is_waiting(due: Timestamp, now: Timestamp) -> bool {
    is_ahead(due, now, LONGEST_WAIT)
}

fn is_ahead(instant: Timestamp, now: Timestamp, longest: Duration) -> bool {
    instant > now && now.saturating_add(longest).is_ok_and(|latest| instant <= latest)
}

#[cfg(test)]
mod tests;
