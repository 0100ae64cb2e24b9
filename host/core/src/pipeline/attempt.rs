//! One try at one item, once it has a permit: claim, recover, fetch, judge. It runs beside others and shares only [`Call`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::bundle::Bundle;
use crate::clock::Moment;
use crate::control::admission::{Admission, Outcome};
use crate::control::failure_monitor::{Alarm, OutcomeClass};
use crate::day::Day;
use crate::dead_letter::{DeadLetter, Reason};
use crate::fetcher::{FetchReport, FetchRequest};
use crate::item::SequenceNumber;
use crate::ledger::{Abandoned, Claim, ClaimRequest, Claimed, Release};
use crate::manifest::OnLeaseExpiry;
use crate::pipeline::batch::{Work, WorkIndex};
use crate::pipeline::call::{Call, Turn};
use crate::pipeline::report::End;
use crate::pipeline::slots::MARGIN;
use crate::pipeline::verdict::{Circumstances, Failures, Verdict, is_api_failure, judge, outcome, outcome_class};
use crate::record::{Failure, FailureKind, Fetched};
use crate::sink::Line;

/// The longest wait for the pacer between a claim and its fetch; a longer one gives the claim back.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// A worker's death spends no attempt, for it is seldom the item's fault; after so many of them in a row it may well be.
const MAX_ABANDONED: usize = 64;

/// One try, ended.
#[derive(Debug)]
pub(crate) struct Attempted {
    /// At which work.
    pub(crate) index: WorkIndex,
    /// With what result.
    pub(crate) step: Step,
    /// Why a person is needed, if so.
    pub(crate) alarm: Option<(Alarm, String)>,
    /// What went wrong, where the fetch failed.
    pub(crate) failed: Option<Failure>,
}

/// What came of one try.
#[derive(Debug)]
pub(crate) enum Step {
    /// The item had been settled before.
    Settled { by: SequenceNumber, end: End },
    /// It cannot be had before this time: held by another, waiting after a failure.
    NotBefore(Timestamp),
    /// It failed and is tried again at this instant.
    Retry {
        due: Instant,
        /// How it has failed in this delivery, this time included.
        failures: Failures,
    },
    /// It was claimed but its fetch could not start any more, and is given back.
    NotStarted,
    /// An abandoned owner has stored it.
    Recovered(Claimed),
    /// A record came.
    Fetched { claimed: Claimed, line: Vec<u8> },
    /// It is to be given up on. `is_allowed`: an operator has allowed it.
    GiveUp { claimed: Claimed, letter: Box<DeadLetter>, is_allowed: bool },
    /// The ledger or the sink failed.
    StorageFailed(String),
}

/// What a try has to tell besides its step.
#[derive(Debug, Default)]
struct Told {
    alarm: Option<(Alarm, String)>,
    failed: Option<Failure>,
}

/// A claim that was granted, with all that the rest of the try needs.
struct Granted {
    /// When it was asked for.
    asked: Moment,
    claimed: Claimed,
    attempt: u32,
    abandoned: Vec<Abandoned>,
}

/// Try one item. The permit comes back when the try ends, or when the API can no longer be working at it.
pub(crate) async fn attempt(
    call: Arc<Call>,
    index: WorkIndex,
    work: Arc<Work>,
    failures: Failures,
    permit: OwnedSemaphorePermit,
) -> Attempted {
    let mut told = Told::default();
    let claimed = claim(&call, &work).await;
    if claimed.is_err() {
        call.turn_taken();
    }
    let step = match claimed {
        Ok(granted) => match before_fetch(&call, &work, &granted, &mut told).await {
            Some(step) => {
                call.turn_taken();
                step
            }
            None => fetch(&call, &work, granted, failures, permit, &mut told).await,
        },
        Err(step) => step,
    };
    let Told { alarm, failed } = told;
    Attempted { index, step, alarm, failed }
}

async fn claim(call: &Call, work: &Work) -> Result<Granted, Step> {
    let asked = call.clock().moment();
    let now = asked.wall;
    let today = call.window().day(now);
    let lease = now.saturating_add(call.lease).unwrap_or(now);
    let request = ClaimRequest {
        provider: call.provider(),
        identity: &work.identity,
        sequence: &work.sequence,
        today,
        since: call.window().day(work.arrived).min(today),
        owner: &call.owner,
        now,
        lease,
    };
    match call.ledger().claim(request).await {
        Ok(Claim::Granted { attempt, abandoned }) => {
            let (identity, sequence) = (work.identity.clone(), work.sequence.clone());
            let claimed = Claimed { identity, day: today, sequence, lease };
            Ok(Granted { asked, claimed, attempt, abandoned })
        }
        Ok(Claim::Done { by }) => Err(Step::Settled { by, end: End::Fetched }),
        Ok(Claim::Dead { by }) => Err(Step::Settled { by, end: End::DeadLetter }),
        Ok(Claim::Held { until } | Claim::Waiting { until }) => Err(Step::NotBefore(until)),
        Err(error) => Err(Step::StorageFailed(error.to_string())),
    }
}

/// What can settle a claimed item without a fetch: an abandoned owner's objects, age, spent attempts.
async fn before_fetch(call: &Call, work: &Work, granted: &Granted, told: &mut Told) -> Option<Step> {
    let Granted { claimed, attempt, abandoned, .. } = granted;
    if !abandoned.is_empty() {
        match call.has_stored(abandoned, &work.identity).await {
            Ok(true) => return Some(Step::Recovered(claimed.clone())),
            Ok(false) => {}
            Err(error) => return Some(Step::StorageFailed(error.to_string())),
        }
    }
    let retry = &call.manifest().retry;
    let spent = attempt.saturating_sub(1);
    let age = call.clock().now().duration_since(work.arrived).unsigned_abs();
    let give_up = if !abandoned.is_empty() && retry.on_lease_expiry == OnLeaseExpiry::Park {
        Some((Reason::Uncertain, "a claim expired while the API may have been called, and `on_lease_expiry` says park"))
    } else if abandoned.len() > MAX_ABANDONED {
        Some((Reason::AttemptsSpent, "too many workers died or hung while they had this item"))
    } else if age > retry.max_item_age && work.arrived < call.clock().now() {
        Some((Reason::TooOld, "the item is older than `max_item_age`"))
    } else {
        None
    };
    let (reason, message) = give_up?;
    // Nobody was asked, but where many items end so a person is needed all the same: a clock may be wrong.
    let monitor_verdict = match call.record_outcome(OutcomeClass::DeadLetter(reason)).await {
        Ok(monitor_verdict) => monitor_verdict,
        Err(error) => return Some(Step::StorageFailed(error.to_string())),
    };
    told.alarm = monitor_verdict.alarm.map(|alarm| (alarm, message.to_owned()));
    let letter = letter(call, work, reason, Failure::new(FailureKind::Rejected, message), spent);
    Some(Step::GiveUp { claimed: claimed.clone(), letter: Box::new(letter), is_allowed: monitor_verdict.is_allowed })
}

async fn fetch(
    call: &Arc<Call>,
    work: &Work,
    granted: Granted,
    failures: Failures,
    permit: OwnedSemaphorePermit,
    told: &mut Told,
) -> Step {
    let Granted { asked, claimed, attempt, .. } = granted;
    let turn = turn(call, &asked).await;
    call.turn_taken();
    let Some(turn) = turn else {
        return give_back(call, claimed, "its fetch could not start in time", call.clock().now()).await;
    };
    let request = FetchRequest {
        id: work.item.id.clone(),
        params: work.item.params.clone(),
        attempt,
        day: claimed.day,
        timeout: call.manifest().limits.fetch_timeout,
    };
    let counted = call.progress().fetching();
    let report = call.fetcher().fetch(request, call.permits.clone()).await;
    drop(counted);
    call.progress().sent(report.requests);
    // Before anything else may start.
    turn.ended(report.requests, outcome_of(&report));
    match report.unanswered_since {
        // The API may still be working at it: nobody else gets this permit until it must be done.
        Some(since) => {
            call.permits.hold(permit, since + call.manifest().limits.fetch_timeout + MARGIN);
        }
        None => drop(permit),
    }
    match report.outcome {
        Ok(record) => {
            call.record_success();
            call.note_end(&work.identity, false);
            Step::Fetched { line: line(call, work, &record, claimed.day, attempt), claimed }
        }
        Err(failure) => {
            let bundle = Bundle::of(&failure, claimed.day, attempt, report.exchanges);
            failed(call, work, claimed, failures, failure, bundle, told).await
        }
    }
}

/// What the limiter sees of a fetch.
fn outcome_of(report: &FetchReport) -> Option<Outcome> {
    report.outcome.as_ref().map_or_else(outcome, |_| Some(Outcome::Ok))
}

/// Wait for the limiter's word that the fetch may start. `None`: it may not start in time, under a claim that was asked for then.
async fn turn(call: &Arc<Call>, claim_asked: &Moment) -> Option<Turn> {
    loop {
        if !call.may_start() || !call.claim_covers_fetch(claim_asked) || call.is_stopping() {
            return None;
        }
        match call.try_start() {
            Ok(turn) => return Some(turn),
            Err(Admission::At(at)) if at.saturating_sub(call.elapsed()) <= LONGEST_TURN => {
                tokio::time::sleep(at.saturating_sub(call.elapsed())).await;
            }
            Err(_) => return None,
        }
    }
}

async fn failed(
    call: &Call,
    work: &Work,
    claimed: Claimed,
    failures: Failures,
    failure: Failure,
    bundle: Bundle,
    told: &mut Told,
) -> Step {
    let attempt = bundle.attempt;
    let retry = &call.manifest().retry;
    call.note_end(&work.identity, is_api_failure(&failure.kind));
    let circumstances = Circumstances {
        attempt,
        failures,
        others_succeed: call.others_succeed(),
        others_fail: call.others_fail(&work.identity),
        left: call.time_to_start(),
        retry,
        jitter: call.random_unit(),
    };
    let verdict = judge(&failure, circumstances);
    let monitor_verdict = match call.record_outcome(outcome_class(&failure, verdict)).await {
        Ok(monitor_verdict) => monitor_verdict,
        Err(error) => return Step::StorageFailed(error.to_string()),
    };
    told.alarm = monitor_verdict.alarm.map(|alarm| (alarm, failure.to_string()));
    told.failed = Some(failure.clone());
    call.progress().failed(&failure.kind);
    tracing::debug!(provider = call.provider(), id = work.item.id, attempt, %failure, ?verdict, "fetch failed");
    match verdict {
        Verdict::GiveUp(reason) => {
            let letter = letter(call, work, reason, failure, attempt);
            let letter = Box::new(DeadLetter { bundle: Some(Box::new(bundle)), ..letter });
            Step::GiveUp { claimed, letter, is_allowed: monitor_verdict.is_allowed }
        }
        Verdict::Retry { wait, counted, .. } => {
            let now = call.clock().now();
            let release = Release {
                claimed,
                counted,
                not_before: now.saturating_add(wait).unwrap_or(now),
                error: failure.to_string(),
            };
            let due = Instant::now() + wait;
            match call.ledger().release(call.provider(), &call.owner, release).await {
                Ok(()) => Step::Retry { due, failures: failures.and(verdict) },
                Err(error) => Step::StorageFailed(error.to_string()),
            }
        }
    }
}

/// Give a claim back whose attempt does not count.
async fn give_back(call: &Call, claimed: Claimed, why: &str, not_before: Timestamp) -> Step {
    let release = Release { claimed, counted: false, not_before, error: why.to_owned() };
    match call.ledger().release(call.provider(), &call.owner, release).await {
        Ok(()) => Step::NotStarted,
        Err(error) => Step::StorageFailed(error.to_string()),
    }
}

fn line(call: &Call, work: &Work, record: &Fetched, day: Day, attempt: u32) -> Vec<u8> {
    let identity = &call.manifest().identity;
    let params: BTreeMap<&str, &str> = work
        .item
        .params
        .iter()
        .filter(|(name, _)| identity.contains(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let line = Line {
        provider: call.provider(),
        id: &work.item.id,
        params,
        day,
        fetched_at: call.clock().now(),
        attempt,
        component: call.fetcher().digest(),
    };
    let mut text = Vec::with_capacity(record.body.len() + 512);
    line.write(record, &mut text);
    text
}

fn letter(call: &Call, work: &Work, reason: Reason, failure: Failure, attempts: u32) -> DeadLetter {
    DeadLetter {
        provider: call.provider().to_owned(),
        sequence: work.sequence.clone(),
        arrived: work.arrived,
        died: call.clock().now(),
        payload: work.payload.clone(),
        reason,
        message: failure.message,
        status: failure.status,
        attempts,
        component: call.fetcher().digest().to_owned(),
        bundle: None,
    }
}
