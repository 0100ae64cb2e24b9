//! The failure table: what a failure means for the item, for the brake and for the limiter. Pure.

use std::time::Duration;

use crate::control::brake::Sign;
use crate::control::limiter::{LONGEST_RETRY_AFTER, Outcome};
use crate::dead_letter::Reason;
use crate::manifest::Retry;
use crate::record::{Failure, FailureKind};

/// The longest wait between two tries of one item, unless the API asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What happens to an item that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again.
    Retry {
        /// Not before this time has passed.
        wait: Duration,
        /// Whether the attempt is spent.
        counted: bool,
    },
    /// It becomes a dead letter.
    GiveUp(Reason),
}

/// What is known when an item fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// Which attempt it was, 1 for the first.
    pub(crate) attempt: u32,
    /// How often it has failed in this call already, counted or not.
    pub(crate) failures: u32,
    /// Whether other items succeed at present.
    pub(crate) others_succeed: bool,
    /// The manifest's rules.
    pub(crate) retry: &'a Retry,
    /// Where between half and all of the backoff the wait falls, 0 to 1.
    pub(crate) jitter: f64,
}

/// Judge a failure: see the table in docs/ARCHITECTURE.md.
pub(crate) fn judge(failure: &Failure, circumstances: Circumstances<'_>) -> Verdict {
    let counted = match &failure.kind {
        FailureKind::NotFound => return Verdict::GiveUp(Reason::NotFound),
        FailureKind::Rejected => return Verdict::GiveUp(Reason::Rejected),
        FailureKind::Malformed | FailureKind::Other(_) => true,
        FailureKind::Throttled | FailureKind::OutOfQuota | FailureKind::Broken => false,
        // A provider's failure is not the record's: it counts only while other records come.
        FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::Unauthorized | FailureKind::Trapped => {
            circumstances.others_succeed
        }
    };
    if counted && circumstances.attempt >= circumstances.retry.max_attempts {
        return Verdict::GiveUp(Reason::AttemptsSpent);
    }
    let wait = backoff(circumstances).max(failure.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
    Verdict::Retry { wait, counted }
}

/// What the brake sees of a failure.
pub(crate) fn sign(failure: &Failure, verdict: Verdict) -> Sign {
    match (&failure.kind, verdict) {
        (FailureKind::Broken, _) => Sign::Broken,
        (FailureKind::Unauthorized, _) => Sign::Unauthorized,
        (FailureKind::Trapped, _) => Sign::Trapped,
        (_, Verdict::GiveUp(_)) => Sign::WouldDie,
        (_, Verdict::Retry { .. }) => Sign::Passing,
    }
}

/// What the limiter sees of a failure; nothing where it says nothing of the API's load.
pub(crate) fn outcome(failure: &Failure) -> Option<Outcome> {
    match &failure.kind {
        FailureKind::NotFound | FailureKind::Rejected | FailureKind::Malformed | FailureKind::Other(_) => {
            Some(Outcome::Ok)
        }
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

fn backoff(circumstances: Circumstances<'_>) -> Duration {
    let tries = circumstances.failures.max(circumstances.attempt.saturating_sub(1)).min(16);
    let whole =
        circumstances.retry.backoff.saturating_mul(1 << tries).min(LONGEST_BACKOFF.max(circumstances.retry.backoff));
    whole.mul_f64(0.5 + circumstances.jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::OnLeaseExpiry;

    const RETRY: Retry = Retry {
        max_attempts: 3,
        backoff: Duration::from_secs(2),
        max_item_age: Duration::from_secs(3600),
        on_lease_expiry: OnLeaseExpiry::Refetch,
    };

    fn verdict(kind: FailureKind, attempt: u32, others_succeed: bool) -> Verdict {
        let circumstances = Circumstances { attempt, failures: 0, others_succeed, retry: &RETRY, jitter: 1.0 };
        judge(&Failure::new(kind, "x"), circumstances)
    }

    fn retry(seconds: u64, counted: bool) -> Verdict {
        Verdict::Retry { wait: Duration::from_secs(seconds), counted }
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
    fn throttling_waits_at_least_as_long_as_the_api_asks() {
        let failure =
            Failure { retry_after: Some(Duration::from_secs(90)), ..Failure::new(FailureKind::Throttled, "") };
        let circumstances = Circumstances { attempt: 9, failures: 0, others_succeed: true, retry: &RETRY, jitter: 0.0 };
        assert_eq!(judge(&failure, circumstances), retry(90, false));
        assert_eq!(outcome(&failure), Some(Outcome::Throttled { retry_after: Some(Duration::from_secs(90)) }));
    }

    #[test]
    fn an_absurd_retry_after_is_cut_to_a_day() {
        let failure = Failure { retry_after: Some(Duration::MAX), ..Failure::new(FailureKind::Throttled, "") };
        let circumstances = Circumstances { attempt: 1, failures: 0, others_succeed: true, retry: &RETRY, jitter: 0.0 };
        assert_eq!(judge(&failure, circumstances), retry(24 * 3600, false));
    }

    #[test]
    fn backoff_doubles_with_every_failure_and_ends_at_a_minute() {
        let wait = |failures, jitter| {
            backoff(Circumstances { attempt: 1, failures, others_succeed: false, retry: &RETRY, jitter })
        };
        assert_eq!([0, 1, 2].map(|failures| wait(failures, 1.0).as_secs()), [2, 4, 8]);
        assert_eq!(wait(u32::MAX, 1.0), LONGEST_BACKOFF);
        assert_eq!(wait(0, 0.0), Duration::from_secs(1));
    }
}
