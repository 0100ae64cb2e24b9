//! The failure table: what a failure means for the item, for the failure monitor and for the limiter. Pure.

use std::time::Duration;

use crate::control::failure_monitor::OutcomeClass;
use crate::control::limiter::{LONGEST_RETRY_AFTER, Outcome};
use crate::dead_letter::Reason;
use crate::manifest::Retry;
use crate::record::{Failure, FailureKind};

/// The longest wait between two tries of one item, unless the API asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// Quick retries before an attempt is spent on the API's failures. If half of all requests fail, six tries in a row
/// fail for one item in 64, and three attempts for one in 262,144.
const MOST_QUICK: u32 = 5;
/// The shortest wait before an item that is not ready is asked for again, however soon the API says.
const SHORTEST_POLL_WAIT: Duration = Duration::from_secs(1);
/// By what share a long wait is drawn out, so that items that failed together do not come back together.
const LONG_WAIT_JITTER: f64 = 0.1;

/// The decision about an item that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again.
    Retry {
        /// Not before this time has passed.
        wait: Duration,
        /// Whether the attempt is spent.
        counted: bool,
        /// Whether it is one of the quick retries that come before an attempt is spent.
        quick: bool,
    },
    /// The API has taken the order: the item is asked for again.
    Poll {
        /// Not before this time has passed.
        wait: Duration,
    },
    /// It becomes a dead letter.
    GiveUp(Reason),
}

/// How an item has failed in this delivery. Another delivery begins at none, which can only give the item more tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    /// How often, counted or not.
    all: u32,
    /// How many quick retries it has had since an attempt was spent last.
    quick: u32,
}

impl Failures {
    /// These and one more that was judged so.
    pub(crate) fn and(self, verdict: Verdict) -> Self {
        let quick = match verdict {
            Verdict::Retry { quick: true, .. } => self.quick + 1,
            Verdict::Retry { counted: true, .. } | Verdict::GiveUp(_) => 0,
            Verdict::Retry { .. } => self.quick,
            // The API works.
            Verdict::Poll { .. } => return Self::default(),
        };
        Self { all: self.all.saturating_add(1), quick }
    }
}

/// The inputs of the decision about a failed item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// Which attempt it was, 1 for the first.
    pub(crate) attempt: u32,
    /// How often the item was not ready before.
    pub(crate) polls: u32,
    /// How it has failed in this delivery before.
    pub(crate) failures: Failures,
    /// Whether other items succeed at present.
    pub(crate) others_succeed: bool,
    /// Whether several other items fail, too.
    pub(crate) others_fail: bool,
    /// For how long this delivery still starts fetches.
    pub(crate) left: Duration,
    /// The manifest's rules.
    pub(crate) retry: &'a Retry,
    /// The position of the wait between the shortest and the longest, 0 to 1.
    pub(crate) jitter: f64,
}

/// Judge a failure: see the table in docs/ARCHITECTURE.md.
pub(crate) fn judge(failure: &Failure, circumstances: Circumstances<'_>) -> Verdict {
    let asked = failure.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    let wait = backoff(circumstances.retry, circumstances.tries(), circumstances.jitter).max(asked);
    let uncounted = Verdict::Retry { wait, counted: false, quick: false };
    if failure.is_of_token_endpoint {
        return judge_token_failure(failure, circumstances, wait);
    }
    match &failure.kind {
        FailureKind::NotFound => Verdict::GiveUp(Reason::NotFound),
        FailureKind::Rejected => Verdict::GiveUp(Reason::Rejected),
        FailureKind::Malformed | FailureKind::Other(_) => spend_attempt(circumstances, wait),
        FailureKind::NotReady => poll_again(circumstances, failure.retry_after),
        // The API has said when: a backoff that doubles on top of that would only keep a batch waiting.
        FailureKind::Throttled if failure.retry_after.is_some() => Verdict::Retry {
            wait: backoff(circumstances.retry, 0, circumstances.jitter).max(asked),
            counted: false,
            quick: false,
        },
        FailureKind::Throttled | FailureKind::OutOfQuota | FailureKind::Broken => uncounted,
        // A provider's failure is not the record's: it counts only while other records come.
        FailureKind::Unavailable | FailureKind::TimedOut if circumstances.others_succeed => {
            judge_api_failure(circumstances, asked)
        }
        FailureKind::Unauthorized | FailureKind::Trapped if circumstances.others_succeed => {
            spend_attempt(circumstances, wait)
        }
        FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::Unauthorized | FailureKind::Trapped => {
            uncounted
        }
    }
}

/// Whether the API has failed, rather than refused, or answered what is wrong with the item.
pub(crate) fn is_api_failure(failure: &Failure) -> bool {
    !failure.is_of_token_endpoint && matches!(failure.kind, FailureKind::Unavailable | FailureKind::TimedOut)
}

/// There is no token: no item is at fault, and the endpoint's own backoff says when to ask for one again.
fn judge_token_failure(failure: &Failure, circumstances: Circumstances<'_>, wait: Duration) -> Verdict {
    let wait = match failure.retry_after {
        Some(asked) => backoff(circumstances.retry, 0, circumstances.jitter).max(asked.min(LONGEST_RETRY_AFTER)),
        None => wait,
    };
    Verdict::Retry { wait, counted: false, quick: false }
}

/// The API has failed while other items succeed: it fails now and then, or for this item always. Quick retries tell
/// which; where they fail, too, an attempt is spent, and the next one comes much later. A retry for which this delivery
/// has no time left is none: the next delivery would begin anew with the quick ones, and an item that always fails
/// would never end.
fn judge_api_failure(circumstances: Circumstances<'_>, asked: Duration) -> Verdict {
    let Circumstances { attempt, failures, others_fail, left, retry, jitter, .. } = circumstances;
    let wait = backoff(retry, failures.quick, jitter).max(asked);
    let most = if others_fail { MOST_QUICK } else { quick_retries(retry) };
    if failures.quick < most && wait <= left {
        return Verdict::Retry { wait, counted: false, quick: true };
    }
    let long = spread_wait(retry, attempt).mul_f64(1.0 + jitter.clamp(0.0, 1.0) * LONG_WAIT_JITTER);
    spend_attempt(circumstances, backoff(retry, circumstances.tries(), jitter).max(long).max(asked))
}

/// The record is not ready: the item is due when the API says, or after waits that grow as those of failures do.
fn poll_again(circumstances: Circumstances<'_>, asked: Option<Duration>) -> Verdict {
    let Circumstances { polls, retry, jitter, .. } = circumstances;
    if polls >= retry.max_polls {
        return Verdict::GiveUp(Reason::NeverReady);
    }
    let wait = asked.unwrap_or_else(|| backoff(retry, polls, jitter));
    Verdict::Poll { wait: wait.clamp(SHORTEST_POLL_WAIT, LONGEST_RETRY_AFTER) }
}

fn spend_attempt(circumstances: Circumstances<'_>, wait: Duration) -> Verdict {
    if circumstances.attempt >= circumstances.retry.max_attempts {
        return Verdict::GiveUp(Reason::AttemptsSpent);
    }
    Verdict::Retry { wait, counted: true, quick: false }
}

/// How the failure monitor counts a failure.
pub(crate) fn outcome_class(failure: &Failure, verdict: Verdict) -> OutcomeClass {
    match (&failure.kind, verdict) {
        (FailureKind::Broken, _) => OutcomeClass::Broken,
        (FailureKind::Unauthorized, _) => OutcomeClass::Unauthorized,
        (FailureKind::Trapped, _) => OutcomeClass::Trapped,
        (_, Verdict::GiveUp(reason)) => OutcomeClass::DeadLetter(reason),
        (_, Verdict::Poll { .. }) => OutcomeClass::Accepted,
        (_, Verdict::Retry { .. }) => OutcomeClass::Transient,
    }
}

/// The outcome of a failure for the limiter; `None` if it has no information on the API's load.
pub(crate) fn limiter_outcome(failure: &Failure) -> Option<Outcome> {
    if failure.is_of_token_endpoint {
        return None;
    }
    match &failure.kind {
        FailureKind::NotFound
        | FailureKind::Rejected
        | FailureKind::Malformed
        | FailureKind::NotReady
        | FailureKind::Other(_) => Some(Outcome::Ok),
        FailureKind::Throttled => Some(Outcome::Throttled { retry_after: failure.retry_after }),
        // A 503 with Retry-After asks for a pause as plainly as a 429.
        FailureKind::Unavailable if failure.retry_after.is_some() => {
            Some(Outcome::Throttled { retry_after: failure.retry_after })
        }
        FailureKind::Unavailable => Some(Outcome::Failed),
        FailureKind::TimedOut => Some(Outcome::TimedOut),
        FailureKind::Unauthorized | FailureKind::Trapped | FailureKind::OutOfQuota | FailureKind::Broken => None,
    }
}

impl Circumstances<'_> {
    /// How often the wait has doubled.
    fn tries(&self) -> u32 {
        self.failures.all.max(self.attempt.saturating_sub(1))
    }
}

fn backoff(retry: &Retry, doublings: u32, jitter: f64) -> Duration {
    whole_backoff(retry, doublings).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

fn whole_backoff(retry: &Retry, doublings: u32) -> Duration {
    retry.backoff.saturating_mul(1 << doublings.min(16)).min(LONGEST_BACKOFF.max(retry.backoff))
}

/// The wait after an attempt that was spent on the API's failures: it doubles from attempt to attempt, and all waits
/// together are `spread`.
fn spread_wait(retry: &Retry, attempt: u32) -> Duration {
    let waits = retry.max_attempts.saturating_sub(1).clamp(1, 100);
    let power = |exponent: u32| 2.0_f64.powi(-i32::try_from(exponent).unwrap_or(i32::MAX));
    let share = power(waits.saturating_sub(attempt.saturating_sub(1))) / (1.0 - power(waits));
    retry.spread.mul_f64(share.min(1.0))
}

/// How many quick retries come before an attempt is spent: as many as have time in the first long wait.
fn quick_retries(retry: &Retry) -> u32 {
    let first = spread_wait(retry, 1);
    let mut sum = Duration::ZERO;
    (0..MOST_QUICK)
        .take_while(|number| {
            sum += whole_backoff(retry, *number);
            sum <= first
        })
        .count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::OnLeaseExpiry;

    const RETRY: Retry = Retry {
        max_attempts: 3,
        max_polls: 4,
        backoff: Duration::from_secs(2),
        spread: Duration::from_hours(1),
        max_item_age: Duration::from_secs(3600),
        on_lease_expiry: OnLeaseExpiry::Refetch,
    };
    const AT_ONCE: Retry = Retry { spread: Duration::ZERO, ..RETRY };

    fn circumstances(attempt: u32, others_succeed: bool, retry: &Retry) -> Circumstances<'_> {
        let (failures, left) = (Failures::default(), Duration::from_secs(900));
        Circumstances { attempt, polls: 0, failures, others_succeed, others_fail: false, left, retry, jitter: 1.0 }
    }

    fn verdict(kind: FailureKind, attempt: u32, others_succeed: bool) -> Verdict {
        judge(&Failure::new(kind, "x"), circumstances(attempt, others_succeed, &AT_ONCE))
    }

    fn retry(seconds: u64, counted: bool) -> Verdict {
        Verdict::Retry { wait: Duration::from_secs(seconds), counted, quick: false }
    }

    /// The waits of an item that always fails, in seconds, each with whether its attempt was spent; the last is the one
    /// it dies of.
    fn waits(begin: Circumstances<'_>) -> Vec<(u64, bool)> {
        let (mut circumstances, mut waits) = (begin, Vec::new());
        loop {
            let verdict = judge(&Failure::new(FailureKind::Unavailable, "x"), circumstances);
            circumstances.failures = circumstances.failures.and(verdict);
            match verdict {
                Verdict::GiveUp(reason) => {
                    assert_eq!(reason, Reason::AttemptsSpent);
                    return waits;
                }
                Verdict::Retry { wait, counted, .. } => {
                    waits.push((wait.as_secs(), counted));
                    circumstances.attempt += u32::from(counted);
                }
                Verdict::Poll { .. } => panic!("{verdict:?}"),
            }
        }
    }

    #[test]
    fn a_record_that_is_not_ready_is_asked_for_when_the_api_says() {
        let not_ready = |seconds: Option<u64>, polls| {
            let retry_after = seconds.map(Duration::from_secs);
            let failure = Failure { retry_after, ..Failure::new(FailureKind::NotReady, "order 7 is in progress") };
            // However often the item has failed, and on its last attempt.
            let begin = Circumstances { polls, ..circumstances(3, true, &AT_ONCE) };
            judge(&failure, begin)
        };
        let poll = |seconds| Verdict::Poll { wait: Duration::from_secs(seconds) };
        assert_eq!(not_ready(Some(7), 0), poll(7));
        assert_eq!(not_ready(Some(0), 0), poll(1), "not at once");
        assert_eq!(not_ready(Some(u64::MAX), 0), Verdict::Poll { wait: LONGEST_RETRY_AFTER });
        assert_eq!([0, 1, 2].map(|polls| not_ready(None, polls)), [poll(2), poll(4), poll(8)], "as failures wait");
        assert_eq!(not_ready(Some(7), 3), poll(7));
        assert_eq!(not_ready(Some(7), 4), Verdict::GiveUp(Reason::NeverReady), "`max_polls` is 4");
    }

    #[test]
    fn not_found_and_rejected_are_final_at_once() {
        assert_eq!(verdict(FailureKind::NotFound, 1, true), Verdict::GiveUp(Reason::NotFound));
        assert_eq!(verdict(FailureKind::Rejected, 1, false), Verdict::GiveUp(Reason::Rejected));
    }

    #[test]
    fn malformed_spends_attempts_until_none_is_left() {
        assert_eq!(verdict(FailureKind::Malformed, 1, false), retry(2, true));
        assert_eq!(verdict(FailureKind::Malformed, 2, false), retry(4, true));
        assert_eq!(verdict(FailureKind::Malformed, 3, false), Verdict::GiveUp(Reason::AttemptsSpent));
    }

    #[test]
    fn an_outage_spends_nothing_and_a_poison_record_its_own() {
        for kind in [FailureKind::Unavailable, FailureKind::TimedOut, FailureKind::Trapped, FailureKind::Unauthorized] {
            assert_eq!(verdict(kind.clone(), 3, false), retry(8, false), "{kind}");
            assert_eq!(verdict(kind.clone(), 3, true), Verdict::GiveUp(Reason::AttemptsSpent), "{kind}");
        }
    }

    #[test]
    fn attempts_on_the_apis_failures_are_spent_after_quick_retries_and_spread() {
        let quick = [(2, false), (4, false), (8, false), (16, false), (32, false)];
        let mut begin = circumstances(1, true, &RETRY);
        // 22 and 44 minutes: a third and two thirds of the hour, and a tenth more by the jitter.
        let expected = [&quick[..], &[(1_320, true)], &quick, &[(2_640, true)], &quick].concat();
        assert_eq!(waits(begin), expected);
        begin.jitter = 0.0;
        let long: u64 = waits(begin).into_iter().filter(|(_, counted)| *counted).map(|(wait, _)| wait).sum();
        assert_eq!(long, 3_600);
    }

    #[test]
    fn a_short_spread_leaves_room_for_fewer_quick_retries_unless_others_fail_too() {
        let retry = Retry { spread: Duration::from_secs(21), ..RETRY };
        let quick = [(2, false), (4, false)];
        let mut begin = Circumstances { jitter: 0.0, ..circumstances(1, true, &retry) };
        begin.retry = &retry;
        let counted = |waits: &[(u64, bool)]| waits.iter().filter(|(_, counted)| *counted).count();
        assert_eq!(waits(begin).len(), 2 + 3 * quick.len(), "{:?}", waits(begin));
        let at_once = circumstances(1, true, &AT_ONCE);
        assert_eq!(waits(at_once), [(2, true), (4, true)]);
        for begin in [begin, at_once] {
            let waits = waits(Circumstances { others_fail: true, ..begin });
            assert_eq!((waits.len(), counted(&waits)), (2 + 3 * 5, 2), "{waits:?}");
        }
    }

    #[test]
    fn a_quick_retry_that_this_delivery_has_no_time_for_counts() {
        let hurried = Circumstances { left: Duration::from_secs(5), ..circumstances(1, true, &RETRY) };
        let waits = waits(hurried);
        assert_eq!(
            waits.iter().map(|(_, counted)| *counted).collect::<Vec<_>>(),
            [false, false, true, false, false, true, false, false]
        );
    }

    #[test]
    fn an_outage_uses_no_quick_retries_up() {
        let mut failures = Failures::default();
        for _ in 0..100 {
            let circumstances = Circumstances { failures, ..circumstances(1, false, &RETRY) };
            failures = failures.and(judge(&Failure::new(FailureKind::TimedOut, "x"), circumstances));
        }
        assert_eq!((failures.all, failures.quick), (100, 0));
    }

    #[test]
    fn the_waits_of_any_number_of_attempts_are_the_spread_together() {
        for max_attempts in 2..=100 {
            let retry = Retry { max_attempts, ..RETRY };
            let sum: Duration = (1..max_attempts).map(|attempt| spread_wait(&retry, attempt)).sum();
            assert!(sum.abs_diff(retry.spread) < Duration::from_micros(1), "{max_attempts}: {sum:?}");
        }
        assert_eq!(quick_retries(&Retry { max_attempts: 1, ..RETRY }), MOST_QUICK);
        assert_eq!(quick_retries(&Retry { max_attempts: 100, ..RETRY }), 0);
    }

    #[test]
    fn throttling_waits_at_least_as_long_as_the_api_asks() {
        let failure =
            Failure { retry_after: Some(Duration::from_secs(90)), ..Failure::new(FailureKind::Throttled, "") };
        let circumstances = Circumstances { jitter: 0.0, ..circumstances(9, true, &RETRY) };
        assert_eq!(judge(&failure, circumstances), retry(90, false));
        assert_eq!(limiter_outcome(&failure), Some(Outcome::Throttled { retry_after: Some(Duration::from_secs(90)) }));
        let failure = Failure { kind: FailureKind::Unavailable, ..failure };
        let wait = Duration::from_secs(90);
        assert_eq!(judge(&failure, circumstances), Verdict::Retry { wait, counted: false, quick: true });
    }

    #[test]
    fn an_absurd_retry_after_is_cut_to_a_day() {
        let failure = Failure { retry_after: Some(Duration::MAX), ..Failure::new(FailureKind::Throttled, "") };
        let circumstances = Circumstances { jitter: 0.0, ..circumstances(1, true, &RETRY) };
        assert_eq!(judge(&failure, circumstances), retry(24 * 3600, false));
    }

    #[test]
    fn a_failure_of_a_token_endpoint_spends_nothing_and_tells_the_limiter_nothing() {
        let begin = Circumstances { jitter: 0.0, ..circumstances(3, true, &AT_ONCE) };
        for kind in [FailureKind::Throttled, FailureKind::Unavailable, FailureKind::TimedOut, FailureKind::Unauthorized]
        {
            let failure = Failure { is_of_token_endpoint: true, ..Failure::new(kind.clone(), "no token") };
            assert_eq!(judge(&failure, begin), retry(4, false), "{kind}");
            let failure = Failure { retry_after: Some(Duration::from_secs(30)), ..failure };
            assert_eq!(judge(&failure, begin), retry(30, false), "{kind}");
            assert_eq!(limiter_outcome(&failure), None, "{kind}");
            assert!(!is_api_failure(&failure), "{kind}");
        }
        let refused = Failure { is_of_token_endpoint: true, ..Failure::new(FailureKind::Unauthorized, "no token") };
        assert_eq!(outcome_class(&refused, retry(4, false)), OutcomeClass::Unauthorized, "a dead client stops it");
    }

    #[test]
    fn backoff_doubles_with_every_failure_and_ends_at_a_minute() {
        assert_eq!([0, 1, 2].map(|doublings| backoff(&RETRY, doublings, 1.0).as_secs()), [2, 4, 8]);
        assert_eq!(backoff(&RETRY, u32::MAX, 1.0), LONGEST_BACKOFF);
        assert_eq!(backoff(&RETRY, 0, 0.0), Duration::from_secs(1));
    }
}
