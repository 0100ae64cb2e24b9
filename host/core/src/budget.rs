//! The requests that one call of `process`, or one ad-hoc fetch, may still send: its part of the day's quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests to spend. Clones spend from the same.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// [`UNLIMITED`]: there is no quota.
    left: AtomicU64,
    spent: AtomicU64,
}

const UNLIMITED: u64 = u64::MAX;

impl Budget {
    /// As many as one likes; they are only counted.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::of(UNLIMITED)
    }

    /// So many requests.
    #[must_use]
    pub fn of(requests: u64) -> Self {
        Self(Arc::new(Counters { left: AtomicU64::new(requests), spent: AtomicU64::new(0) }))
    }

    /// Spend one request. `false`: none is left, and none may be sent.
    #[must_use]
    pub fn spend(&self) -> bool {
        let take = |left: u64| if left == UNLIMITED { Some(left) } else { left.checked_sub(1) };
        let may_send = self.0.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok();
        if may_send {
            self.0.spent.fetch_add(1, Ordering::AcqRel);
        }
        may_send
    }

    /// How many are left; none where there is no quota.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        Some(self.0.left.load(Ordering::Acquire)).filter(|left| *left != UNLIMITED)
    }

    /// Set more aside. Does nothing where there is no quota.
    pub(crate) fn add(&self, requests: u64) {
        let more = |left: u64| (left != UNLIMITED).then(|| left.saturating_add(requests).min(UNLIMITED - 1));
        // An unlimited budget stays as it is.
        let _ = self.0.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
    }

    /// Take back what is left: nothing more may be sent. None where there is no quota.
    pub fn close(&self) -> Option<u64> {
        let all = |left: u64| (left != UNLIMITED).then_some(0);
        self.0.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, all).ok()
    }

    /// How many were spent since this was asked last.
    pub(crate) fn take_spent(&self) -> u64 {
        self.0.spent.swap(0, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_spent() {
        let budget = Budget::of(2);
        assert!(budget.spend() && budget.clone().spend());
        assert!(!budget.spend());
        budget.add(3);
        assert!(budget.spend());
        assert_eq!((budget.left(), budget.take_spent(), budget.take_spent()), (Some(2), 3, 0));
        assert_eq!(budget.close(), Some(2));
        assert!(!budget.spend());
    }

    #[test]
    fn an_unlimited_budget_only_counts() {
        let budget = Budget::unlimited();
        assert!((0..5).all(|_| budget.spend()));
        budget.add(1);
        assert_eq!((budget.left(), budget.close(), budget.take_spent()), (None, None, 5));
    }
}
