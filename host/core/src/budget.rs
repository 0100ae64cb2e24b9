//! The requests that one call of `process`, or one ad-hoc fetch, may still send: its part of the day's quota.
//!
//! Requests that were set aside of a day can be spent on that day only: the moment at which a request is spent, right
//! before it is sent, decides of which day it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;

use crate::clock::WallClock;

/// Requests to spend. Clones spend from the same.
#[derive(Debug, Clone)]
pub struct Budget {
    counters: Arc<Counters>,
    /// Tells whether it is the day of the requests; `None` if they have no day.
    clock: Option<WallClock>,
}

#[derive(Debug)]
struct Counters {
    /// [`UNLIMITED`]: there is no quota.
    left: AtomicU64,
    spent: AtomicU64,
    /// The day that they are of, in microseconds since 1970: its begin, and its end, which is not part of it.
    begins_us: AtomicI64,
    ends_us: AtomicI64,
}

const UNLIMITED: u64 = u64::MAX;

impl Budget {
    /// No limit: requests are only counted.
    #[must_use]
    pub fn without_limit() -> Self {
        Self::of(UNLIMITED)
    }

    /// A budget of `requests` requests.
    #[must_use]
    pub fn of(requests: u64) -> Self {
        let counters = Counters {
            left: AtomicU64::new(requests),
            spent: AtomicU64::new(0),
            begins_us: AtomicI64::new(i64::MIN),
            ends_us: AtomicI64::new(i64::MAX),
        };
        Self { counters: Arc::new(counters), clock: None }
    }

    /// The same, to be spent from the begin of a day to its end only.
    #[must_use]
    pub fn on_day(self, clock: &WallClock, day: (Timestamp, Timestamp)) -> Self {
        let budget = Self { clock: Some(clock.clone()), ..self };
        budget.set_day(day);
        budget
    }

    /// Requests that are added from now on count for this day. Nothing may be left of another day.
    pub(crate) fn set_day(&self, (begins, ends): (Timestamp, Timestamp)) {
        self.counters.begins_us.store(begins.as_microsecond(), Ordering::Release);
        self.counters.ends_us.store(ends.as_microsecond(), Ordering::Release);
    }

    /// Whether it is the day of the requests.
    fn is_their_day(&self) -> bool {
        self.clock.as_ref().is_none_or(|clock| {
            let now_us = clock.now().as_microsecond();
            let (begins_us, ends_us) = (&self.counters.begins_us, &self.counters.ends_us);
            (begins_us.load(Ordering::Acquire)..ends_us.load(Ordering::Acquire)).contains(&now_us)
        })
    }

    /// Spend one request, right before it is sent. `false`: none is left, or their day is over, and none may be sent.
    #[must_use]
    pub fn spend(&self) -> bool {
        if !self.is_their_day() {
            return false;
        }
        let take = |left: u64| if left == UNLIMITED { Some(left) } else { left.checked_sub(1) };
        let may_send = self.counters.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok();
        if may_send {
            self.counters.spent.fetch_add(1, Ordering::AcqRel);
        }
        may_send
    }

    /// How many requests may still be sent now; `None` if there is no quota.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        let left = Some(self.counters.left.load(Ordering::Acquire)).filter(|left| *left != UNLIMITED)?;
        Some(if self.is_their_day() { left } else { 0 })
    }

    /// Add requests. Does nothing if there is no quota.
    pub(crate) fn add(&self, requests: u64) {
        let more = |left: u64| (left != UNLIMITED).then(|| left.saturating_add(requests).min(UNLIMITED - 1));
        // An unlimited budget stays as it is.
        let _ = self.counters.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
    }

    /// Take back the requests that are left: nothing more may be sent. `None` if there is no quota.
    pub fn close(&self) -> Option<u64> {
        let all = |left: u64| (left != UNLIMITED).then_some(0);
        self.counters.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, all).ok()
    }

    /// Take the number of requests that were sent since the last call.
    pub(crate) fn take_spent(&self) -> u64 {
        self.counters.spent.swap(0, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::clock::SteppedClock;

    #[test]
    fn what_is_spent_is_spent() {
        let budget = Budget::of(2);
        assert!(budget.spend() && budget.clone().spend());
        assert!(!budget.spend());
        budget.add(3);
        assert!(budget.spend());
        assert_eq!((budget.remaining(), budget.take_spent(), budget.take_spent()), (Some(2), 3, 0));
        assert_eq!(budget.close(), Some(2));
        assert!(!budget.spend());
    }

    #[test]
    fn an_unlimited_budget_only_counts() {
        let budget = Budget::without_limit();
        assert!((0..5).all(|_| budget.spend()));
        budget.add(1);
        assert_eq!((budget.remaining(), budget.close(), budget.take_spent()), (None, None, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_of_a_day_is_spent_on_that_day_alone() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let machine = SteppedClock::new(at("2026-11-22T23:59:59.9Z"));
        let budget =
            Budget::of(9).on_day(&WallClock::from(&machine), (at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z")));
        assert!(budget.spend());
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!((budget.spend(), budget.remaining()), (false, Some(0)), "the day is over");
        machine.step(SignedDuration::from_secs(-1));
        assert_eq!((budget.spend(), budget.remaining()), (true, Some(7)), "the clock was set back");
        machine.step(SignedDuration::from_hours(-24));
        assert!(!budget.spend(), "before the day has begun");
        assert_eq!(budget.close(), Some(7), "to be given back");
    }
}
