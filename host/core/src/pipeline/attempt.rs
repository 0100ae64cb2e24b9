//! One try at one item, once it has a permit: claim, recover, fetch, judge. It runs beside others and shares only
//! [`BatchContext`].

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
use crate::pipeline::batch_context::{BatchContext, InFlightGuard};
use crate::pipeline::capacity::slots::MARGIN;
use crate::pipeline::report::End;
use crate::pipeline::verdict::{
    Circumstances, Failures, Verdict, is_api_failure, judge, limiter_outcome, outcome_class,
};
use crate::record::{Failure, FailureKind, Fetched};
use crate::resume::ResumeState;
use crate::sink::{Line, LineComponent};

/// The longest wait for the pacer between a claim and its fetch; a longer one gives the claim back.
const LONGEST_START_WAIT: Duration = Duration::from_secs(1);

/// A worker's crash spends no attempt, because the item is seldom the cause; after this many in a row it may be.
const MAX_ABANDONED: usize = 64;

/// One try, ended.
#[derive(Debug)]
pub(crate) struct FinishedAttempt {
    /// At which work.
    pub(crate) index: WorkIndex,
    /// With what result.
    pub(crate) outcome: AttemptOutcome,
    /// Why an operator is needed, if so.
    pub(crate) alarm: Option<(Alarm, String)>,
    /// The failure, if the fetch failed.
    pub(crate) failed: Option<Failure>,
}

/// The result of one try.
#[derive(Debug)]
pub(crate) enum AttemptOutcome {
    /// The item had been settled before.
    Settled { by: SequenceNumber, end: End },
    /// It cannot be had before this time: held by another, waiting after a failure.
    NotBefore(Timestamp),
    /// It failed and is tried again at this instant.
    Retry {
        due: Instant,
        /// How it has failed in this delivery, this time included.
        failures: Failures,
        /// Whether the API has taken its order: it was a poll that failed.
        is_ordered: bool,
    },
    /// The API has taken the order, and the record is not ready. It is asked for again at this instant.
    NotReady { due: Instant, until: Timestamp },
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

/// The findings of a try besides its outcome.
#[derive(Debug, Default)]
struct AttemptSignals {
    alarm: Option<(Alarm, String)>,
    failed: Option<Failure>,
}

/// A claim that was granted, with all that the rest of the try needs.
struct GrantedClaim {
    /// When it was asked for.
    asked: Moment,
    claimed: Claimed,
    attempt: u32,
    abandoned: Vec<Abandoned>,
    /// The resume state of the item's last call.
    resume: Option<ResumeState>,
}

/// Try one item. The permit comes back when the try ends, or when the API can no longer be processing it.
pub(crate) async fn attempt(
    context: Arc<BatchContext>,
    index: WorkIndex,
    work: Arc<Work>,
    failures: Failures,
    permit: OwnedSemaphorePermit,
) -> FinishedAttempt {
    let mut signals = AttemptSignals::default();
    let claimed = claim(&context, &work).await;
    if claimed.is_err() {
        context.leave_queue();
    }
    let outcome = match claimed {
        Ok(granted) => match before_fetch(&context, &work, &granted, &mut signals).await {
            Some(outcome) => {
                context.leave_queue();
                outcome
            }
            None => fetch(&context, &work, granted, failures, permit, &mut signals).await,
        },
        Err(outcome) => outcome,
    };
    let AttemptSignals { alarm, failed } = signals;
    FinishedAttempt { index, outcome, alarm, failed }
}

async fn claim(context: &BatchContext, work: &Work) -> Result<GrantedClaim, AttemptOutcome> {
    let asked = context.clock().moment();
    let now = asked.wall;
    let today = context.window().day(now);
    let lease = now.saturating_add(context.lease).unwrap_or(now);
    let request = ClaimRequest {
        provider: context.provider(),
        identity: &work.identity,
        sequence: &work.sequence,
        today,
        since: context.window().day(work.arrived).min(today),
        owner: &context.owner,
        now,
        lease,
    };
    match context.ledger().claim(request).await {
        Ok(Claim::Granted { attempt, abandoned, resume }) => {
            let (identity, sequence) = (work.identity.clone(), work.sequence.clone());
            let claimed = Claimed { identity, day: today, sequence, lease };
            Ok(GrantedClaim { asked, claimed, attempt, abandoned, resume })
        }
        Ok(Claim::Done { by }) => Err(AttemptOutcome::Settled { by, end: End::Fetched }),
        Ok(Claim::Dead { by }) => Err(AttemptOutcome::Settled { by, end: End::DeadLetter }),
        Ok(Claim::Held { until } | Claim::Waiting { until }) => Err(AttemptOutcome::NotBefore(until)),
        Err(error) => Err(AttemptOutcome::StorageFailed(error.to_string())),
    }
}

/// Settle a claimed item without a fetch, if possible: by an abandoned owner's objects, by its age, by spent attempts.
async fn before_fetch(
    context: &BatchContext,
    work: &Work,
    granted: &GrantedClaim,
    signals: &mut AttemptSignals,
) -> Option<AttemptOutcome> {
    let GrantedClaim { claimed, attempt, abandoned, .. } = granted;
    if !abandoned.is_empty() {
        match context.has_stored(abandoned, &work.identity).await {
            Ok(true) => return Some(AttemptOutcome::Recovered(claimed.clone())),
            Ok(false) => {}
            Err(error) => return Some(AttemptOutcome::StorageFailed(error.to_string())),
        }
    }
    let retry = &context.manifest().retry;
    let spent = attempt.saturating_sub(1);
    let age = context.clock().now().duration_since(work.arrived).unsigned_abs();
    let give_up = if !abandoned.is_empty() && retry.on_lease_expiry == OnLeaseExpiry::Park {
        Some((
            Reason::Uncertain,
            "a claim expired after the API may have been called, and `on_lease_expiry` is \"park\"",
        ))
    } else if abandoned.len() > MAX_ABANDONED {
        Some((Reason::AttemptsSpent, "too many workers crashed or hung while they processed this item"))
    } else if age > retry.max_item_age && work.arrived < context.clock().now() {
        Some((Reason::TooOld, "the item is older than `max_item_age`"))
    } else {
        None
    };
    let (reason, message) = give_up?;
    // No request was sent, but if many items end so, an operator is needed all the same: a clock may be wrong.
    let monitor_verdict = match context.record_outcome(OutcomeClass::DeadLetter(reason)).await {
        Ok(monitor_verdict) => monitor_verdict,
        Err(error) => return Some(AttemptOutcome::StorageFailed(error.to_string())),
    };
    signals.alarm = monitor_verdict.alarm.map(|alarm| (alarm, message.to_owned()));
    let letter = letter(context, work, reason, Failure::new(FailureKind::Rejected, message), spent);
    Some(AttemptOutcome::GiveUp {
        claimed: claimed.clone(),
        letter: Box::new(letter),
        is_allowed: monitor_verdict.is_allowed,
    })
}

async fn fetch(
    context: &Arc<BatchContext>,
    work: &Work,
    granted: GrantedClaim,
    failures: Failures,
    permit: OwnedSemaphorePermit,
    signals: &mut AttemptSignals,
) -> AttemptOutcome {
    let GrantedClaim { asked, claimed, attempt, resume, .. } = granted;
    let in_flight = wait_to_start(context, &asked).await;
    context.leave_queue();
    let Some(in_flight) = in_flight else {
        return give_back(context, claimed, "its fetch could not start in time", context.clock().now()).await;
    };
    let request = FetchRequest {
        id: work.item.id.clone(),
        params: work.item.params.clone(),
        attempt,
        day: claimed.day,
        timeout: context.manifest().limits.fetch_timeout,
        resume: resume.as_ref().map(|resume| resume.bytes.clone()),
    };
    let counted = context.progress().track_fetch();
    let started = Instant::now();
    let report = context.fetcher().fetch(request, context.permits.clone()).await;
    drop(counted);
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_ok = report.outcome.is_ok();
    tracing::debug!(provider = context.provider(), id = work.item.id, attempt, elapsed_ms, is_ok, "fetch ended");
    context.progress().count_requests(report.requests);
    // Before anything else may start.
    in_flight.finish(report.requests, limiter_outcome_of(&report));
    match report.unanswered_since {
        // The API may still be processing it: the permit is held back until it must be done.
        Some(since) => {
            context.permits.hold(permit, since + context.manifest().limits.fetch_timeout + MARGIN);
        }
        None => drop(permit),
    }
    match report.outcome {
        Ok(record) => {
            context.record_success();
            context.note_end(&work.identity, false);
            AttemptOutcome::Fetched { line: line(context, work, &record, claimed.day, attempt), claimed }
        }
        Err(failure) => {
            let bundle = Bundle {
                resume: resume.as_ref().map(|resume| resume.bytes.clone()),
                ..Bundle::of(&failure, claimed.day, attempt, report.exchanges)
            };
            let past = PastCalls { failures, polls: resume.map_or(0, |resume| resume.polls) };
            on_fetch_failed(context, work, claimed, past, failure, bundle, signals).await
        }
    }
}

/// The outcome of a fetch for the limiter.
fn limiter_outcome_of(report: &FetchReport) -> Option<Outcome> {
    report.outcome.as_ref().map_or_else(limiter_outcome, |_| Some(Outcome::Ok))
}

/// Wait until the limiter lets the fetch start. `None`: it cannot start in time under a claim of that age.
async fn wait_to_start(context: &Arc<BatchContext>, claim_asked: &Moment) -> Option<InFlightGuard> {
    loop {
        if !context.may_start() || !context.claim_covers_fetch(claim_asked) || context.is_stopping() {
            return None;
        }
        match context.try_start() {
            Ok(in_flight) => return Some(in_flight),
            Err(Admission::At(at)) if at.saturating_sub(context.limiter_now()) <= LONGEST_START_WAIT => {
                tokio::time::sleep(at.saturating_sub(context.limiter_now())).await;
            }
            Err(_) => return None,
        }
    }
}

/// The earlier calls of an item.
#[derive(Debug, Clone, Copy)]
struct PastCalls {
    /// How it has failed in this delivery.
    failures: Failures,
    /// How often it was not ready.
    polls: u32,
}

async fn on_fetch_failed(
    context: &BatchContext,
    work: &Work,
    claimed: Claimed,
    past: PastCalls,
    failure: Failure,
    bundle: Bundle,
    signals: &mut AttemptSignals,
) -> AttemptOutcome {
    let attempt = bundle.attempt;
    let retry = &context.manifest().retry;
    context.note_end(&work.identity, is_api_failure(&failure));
    let circumstances = Circumstances {
        attempt,
        failures: past.failures,
        polls: past.polls,
        others_succeed: context.others_succeed(),
        others_fail: context.others_fail(&work.identity),
        left: context.time_to_start(),
        retry,
        jitter: context.random_unit(),
    };
    let verdict = judge(&failure, circumstances);
    let monitor_verdict = match context.record_outcome(outcome_class(&failure, verdict)).await {
        Ok(monitor_verdict) => monitor_verdict,
        Err(error) => return AttemptOutcome::StorageFailed(error.to_string()),
    };
    signals.alarm = monitor_verdict.alarm.map(|alarm| (alarm, failure.to_string()));
    if !matches!(verdict, Verdict::Poll { .. }) {
        signals.failed = Some(failure.clone());
        context.progress().count_failure(&failure.kind);
    }
    tracing::debug!(provider = context.provider(), id = work.item.id, attempt, %failure, ?verdict, "fetch failed");
    match verdict {
        Verdict::GiveUp(reason) => {
            let letter = letter(context, work, reason, failure, attempt);
            let letter = Box::new(DeadLetter { bundle: Some(Box::new(bundle)), ..letter });
            AttemptOutcome::GiveUp { claimed, letter, is_allowed: monitor_verdict.is_allowed }
        }
        Verdict::Retry { wait, counted, .. } => {
            let now = context.clock().now();
            let not_before = now.saturating_add(wait).unwrap_or(now);
            let release = Release { claimed, counted, not_before, error: failure.to_string(), resume: None };
            let due = Instant::now() + wait;
            let (failures, is_ordered) = (past.failures.and(verdict), past.polls > 0);
            let outcome = AttemptOutcome::Retry { due, failures, is_ordered };
            release_claim(context, release, outcome).await
        }
        Verdict::Poll { wait } => {
            context.progress().count_poll();
            let now = context.clock().now();
            let not_before = now.saturating_add(wait).unwrap_or(now);
            let resume =
                Some(ResumeState { polls: past.polls.saturating_add(1), bytes: failure.resume.clone().into() });
            let release = Release { claimed, counted: false, not_before, error: failure.to_string(), resume };
            release_claim(context, release, AttemptOutcome::NotReady { due: Instant::now() + wait, until: not_before })
                .await
        }
    }
}

/// Give a claim back whose attempt does not count.
async fn give_back(context: &BatchContext, claimed: Claimed, why: &str, not_before: Timestamp) -> AttemptOutcome {
    release_claim(context, Release::without_attempt(claimed, not_before, why), AttemptOutcome::NotStarted).await
}

/// Give a claim back. Returns `outcome`, unless the ledger fails.
async fn release_claim(context: &BatchContext, release: Release, outcome: AttemptOutcome) -> AttemptOutcome {
    match context.ledger().release(context.provider(), &context.owner, release).await {
        Ok(()) => outcome,
        Err(error) => AttemptOutcome::StorageFailed(error.to_string()),
    }
}

fn line(context: &BatchContext, work: &Work, record: &Fetched, day: Day, attempt: u32) -> Vec<u8> {
    let identity = &context.manifest().identity;
    let params: BTreeMap<&str, &str> = work
        .item
        .params
        .iter()
        .filter(|(name, _)| identity.contains(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let line = Line {
        provider: context.provider(),
        id: &work.item.id,
        params,
        day,
        fetched_at: context.clock().now(),
        attempt,
        component: LineComponent {
            name: &context.manifest().component,
            version: &context.manifest().version,
            digest: context.fetcher().digest(),
        },
    };
    let mut text = Vec::with_capacity(record.body.len() + 512);
    line.write(record, &mut text);
    text
}

fn letter(context: &BatchContext, work: &Work, reason: Reason, failure: Failure, attempts: u32) -> DeadLetter {
    DeadLetter {
        provider: context.provider().to_owned(),
        sequence: work.sequence.clone(),
        arrived: work.arrived,
        died: context.clock().now(),
        payload: work.payload.clone(),
        reason,
        message: failure.message,
        status: failure.status,
        attempts,
        component: context.fetcher().digest().to_owned(),
        bundle: None,
    }
}
