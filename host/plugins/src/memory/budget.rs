//! Memory that the providers of a process share.
//!
//! There are two budgets: one for the guests' own memories and tables, one for the memory that the host holds for them.
//! To prevent one provider from using a whole budget, a provider may acquire more only while it holds at most a
//! multiple of the free memory. These are the dynamic thresholds by which switches share their buffers (A. Choudhury,
//! E. Hahne: Dynamic Queue Length Thresholds for Shared-Memory Packet Switches, 1998). One provider alone gets most of
//! a budget, and a newcomer always gets some.
//!
//! A call that finds no free memory waits until its timeout, when it ends and releases its memory. Calls that each hold
//! a part of the memory that they need would deadlock until then. To prevent that, one call at a time may exceed the
//! budget (the overdraft). It ends, releases its memory, and the next call may. At most, a budget is exceeded by the
//! memory that one call may hold.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// Memory that several providers share, in bytes.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    /// How many times the free bytes one provider may hold.
    multiple: usize,
    used: Mutex<usize>,
    released: Notify,
    /// The right to exceed the limit.
    overdraft: Arc<Semaphore>,
}

/// The right of one call to exceed the budget, until it is dropped with the call.
pub(crate) type Overdraft = OwnedSemaphorePermit;

/// The part of a budget that one provider holds.
#[derive(Debug)]
pub(crate) struct BudgetShare {
    budget: Arc<MemoryBudget>,
    /// Written only while the budget's `used` is locked.
    held: Mutex<usize>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes, of which one provider may hold `multiple` times the free bytes.
    pub(crate) fn new(limit: usize, multiple: usize) -> Arc<Self> {
        let overdraft = Arc::new(Semaphore::new(1));
        Arc::new(Self { limit, multiple, used: Mutex::new(0), released: Notify::new(), overdraft })
    }

    /// An empty share for one more provider.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<BudgetShare> {
        Arc::new(BudgetShare { budget: Arc::clone(self), held: Mutex::new(0) })
    }

    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> usize {
        *lock(&self.used)
    }
}

impl BudgetShare {
    /// The most that one provider can ever hold.
    pub(crate) fn largest(&self) -> usize {
        let MemoryBudget { limit, multiple, .. } = *self.budget;
        // At this point `multiple` times the rest is just as much.
        limit - limit.div_ceil(multiple + 1)
    }

    /// Acquires bytes if they are free and the share allows it.
    pub(crate) fn try_acquire(&self, bytes: usize) -> bool {
        let mut used = lock(&self.budget.used);
        let mut held = lock(&self.held);
        let Some(free) = self.budget.limit.checked_sub(used.saturating_add(bytes)) else { return false };
        let has_room = held.saturating_add(bytes) <= free.saturating_mul(self.budget.multiple);
        if has_room {
            *used += bytes;
            *held += bytes;
        }
        has_room
    }

    /// Acquires bytes. Waits until they are free, or until the call may exceed the budget. In the second case it
    /// returns that right, which must be kept until the call ends.
    pub(crate) async fn acquire(&self, bytes: usize) -> Option<Overdraft> {
        let overdraft = Arc::clone(&self.budget.overdraft).acquire_owned();
        let mut overdraft = pin!(overdraft);
        loop {
            let mut released = pin!(self.budget.released.notified());
            // From here on no release is missed.
            released.as_mut().enable();
            if self.try_acquire(bytes) {
                return None;
            }
            tokio::select! {
                biased;
                () = released => {}
                // The semaphore is never closed.
                Ok(right) = &mut overdraft => {
                    self.acquire_beyond_limit(bytes);
                    return Some(right);
                }
            }
        }
    }

    /// Acquires bytes beyond the limit, for the one call that has the right.
    pub(crate) fn acquire_beyond_limit(&self, bytes: usize) {
        let mut used = lock(&self.budget.used);
        let mut held = lock(&self.held);
        *used = used.saturating_add(bytes);
        *held = held.saturating_add(bytes);
    }

    /// Releases bytes.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        {
            let mut used = lock(&self.budget.used);
            let mut held = lock(&self.held);
            *used = used.saturating_sub(bytes);
            *held = held.saturating_sub(bytes);
        }
        self.budget.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_provider_alone_gets_most_of_a_budget_and_leaves_some() {
        let budget = MemoryBudget::new(100, 4);
        let (greedy, modest) = (budget.share(), budget.share());
        while greedy.try_acquire(1) {}
        assert_eq!((budget.used_bytes(), greedy.largest()), (80, 80));
        assert!(modest.try_acquire(10));
        assert!(!greedy.try_acquire(1));
        modest.release(10);
        greedy.release(80);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn the_largest_part_of_a_budget_is_exact() {
        for (limit, multiple) in [(1_292, 7), (100, 4), (101, 4), (7, 7), (1, 1)] {
            let share = MemoryBudget::new(limit, multiple).share();
            assert!(share.try_acquire(share.largest()), "{limit} {multiple}");
            assert!(!share.try_acquire(1), "{limit} {multiple}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_free_memory_waits_until_some_is_released() {
        let budget = MemoryBudget::new(100, 1);
        let share = budget.share();
        assert!(share.acquire(50).await.is_none());
        let first = share.acquire(1).await;
        assert!(first.is_some(), "one call may take more than there is");
        assert!(tokio::time::timeout(Duration::from_secs(1), share.acquire(1)).await.is_err());
        let give = async { share.release(50) };
        let (waited, ()) = tokio::join!(share.acquire(1), give);
        assert!(waited.is_none());
        assert_eq!(budget.used_bytes(), 2);
    }

    /// Ten calls that each need three times their first part, in a budget for all first parts and no more.
    #[tokio::test(start_paused = true)]
    async fn calls_that_hold_parts_of_what_they_need_do_not_wait_for_each_other() {
        let budget = MemoryBudget::new(200, 1);
        let share = budget.share();
        let call = || async {
            let mut overdraft = None;
            for _ in 0..3 {
                if overdraft.is_some() {
                    share.acquire_beyond_limit(10);
                } else {
                    overdraft = share.acquire(10).await;
                }
                assert!(budget.used_bytes() <= 100 + 30, "the room's part of one provider, and one call");
                tokio::task::yield_now().await;
            }
            share.release(30);
        };
        let all = futures::future::join_all((0..10).map(|_| call()));
        tokio::time::timeout(Duration::from_secs(1), all).await.unwrap();
        assert_eq!(budget.used_bytes(), 0);
    }

    proptest! {
        #[test]
        fn a_budget_never_gives_more_than_it_has_and_a_newcomer_always_finds_some(
            limit in 100_usize..10_000,
            multiple in 1_usize..8,
            takes in prop::collection::vec((0_usize..5, 0_usize..3_000), 0..200),
        ) {
            let budget = MemoryBudget::new(limit, multiple);
            let shares: Vec<_> = (0..5).map(|_| budget.share()).collect();
            for (index, bytes) in takes {
                shares[index].try_acquire(bytes);
                let held: usize = shares.iter().map(|share| *lock(&share.held)).sum();
                prop_assert_eq!(held, budget.used_bytes());
                prop_assert!(shares.iter().all(|share| *lock(&share.held) <= share.largest()));
                prop_assert!(budget.used_bytes() < limit);
            }
        }
    }
}
