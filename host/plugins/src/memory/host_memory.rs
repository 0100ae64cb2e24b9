//! The memory that the host holds for one call: requests in transit, responses, and the request log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::budget::{BudgetShare, Overdraft};
use crate::bindings::damper::provider::http::HttpError;
use crate::lock::lock;

/// The memory that a call may hold beside two of the largest responses.
const SPARE_BYTES: usize = 8 << 20;
/// The room of a header beside its name and value, in bytes.
pub(crate) const HEADER_BYTES: usize = 64;

/// The host's memory for one call. All of it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HostMemory {
    share: Arc<BudgetShare>,
    limit: usize,
    held: Mutex<Held>,
    /// Whether the call had to wait for memory that other calls held.
    has_waited: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    /// Held until the guest has copied it. The guest has done so when it calls the host again.
    in_transit: usize,
    /// Held until the call ends.
    retained: usize,
    /// The right to exceed the budget.
    overdraft: Option<Overdraft>,
}

impl Held {
    /// All that is held, in bytes.
    fn bytes(&self) -> usize {
        self.in_transit.saturating_add(self.retained)
    }
}

/// The call would exceed its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    /// The limit, in bytes.
    pub(crate) limit: usize,
}

impl From<OverLimit> for HttpError {
    fn from(over: OverLimit) -> Self {
        Self::TooLarge(over.limit as u64)
    }
}

impl HostMemory {
    /// For a call of a provider whose answers have at most so many bytes.
    pub(crate) fn new(share: Arc<BudgetShare>, response_bytes: u64) -> Self {
        let limit = max_call_bytes(&share, response_bytes);
        Self { share, limit, held: Mutex::default(), has_waited: AtomicBool::new(false) }
    }

    /// Reserves bytes in transit to the guest or from it. Waits if other calls use all memory of the process.
    ///
    /// # Errors
    /// If the call would hold more than it may.
    pub(crate) async fn reserve_in_transit(&self, bytes: usize) -> Result<(), OverLimit> {
        self.acquire(bytes).await?;
        self.lock_held().in_transit += bytes;
        Ok(())
    }

    /// Reserves bytes until the call ends. Waits if other calls use all memory of the process.
    ///
    /// # Errors
    /// If the call would hold more than it may.
    pub(crate) async fn reserve_retained(&self, bytes: usize) -> Result<(), OverLimit> {
        self.acquire(bytes).await?;
        self.lock_held().retained += bytes;
        Ok(())
    }

    async fn acquire(&self, bytes: usize) -> Result<(), OverLimit> {
        self.check(bytes)?;
        if self.lock_held().overdraft.is_some() {
            self.share.acquire_beyond_limit(bytes);
        } else if let Some(overdraft) = self.acquire_or_wait(&self.share, bytes).await {
            self.lock_held().overdraft = Some(overdraft);
        }
        Ok(())
    }

    /// Acquires bytes of a share for the call, and waits if there is not enough. The call may get the right to exceed
    /// the budget.
    pub(crate) async fn acquire_or_wait(&self, share: &BudgetShare, bytes: usize) -> Option<Overdraft> {
        if share.try_acquire(bytes) {
            return None;
        }
        self.has_waited.store(true, Ordering::Relaxed);
        // Boxed, because it is seldom needed and would make every request's future larger.
        Box::pin(share.acquire(bytes)).await
    }

    /// Whether the call had to wait for memory that other calls held.
    pub(crate) fn has_waited(&self) -> bool {
        self.has_waited.load(Ordering::Relaxed)
    }

    /// Reserves bytes until the call ends. Returns false if there is not enough memory.
    pub(crate) fn try_retain(&self, bytes: usize) -> bool {
        let has_room = self.check(bytes).is_ok() && self.share.try_acquire(bytes);
        if has_room {
            self.lock_held().retained += bytes;
        }
        has_room
    }

    /// Releases the bytes in transit, which the guest has copied.
    pub(crate) fn release_in_transit(&self) {
        let bytes = std::mem::take(&mut self.lock_held().in_transit);
        self.share.release(bytes);
    }

    fn check(&self, bytes: usize) -> Result<(), OverLimit> {
        let together = self.lock_held().bytes().saturating_add(bytes);
        if together > self.limit { Err(OverLimit { limit: self.limit }) } else { Ok(()) }
    }

    fn lock_held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let bytes = self.lock_held().bytes();
        self.share.release(bytes);
    }
}

/// The most memory that one call may hold, in bytes.
pub(crate) fn max_call_bytes(share: &BudgetShare, response_bytes: u64) -> usize {
    let answers = usize::try_from(response_bytes).unwrap_or(usize::MAX).saturating_mul(2);
    answers.saturating_add(SPARE_BYTES).min(share.largest())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::MemoryBudget;

    #[tokio::test]
    async fn a_call_holds_no_more_than_it_may_and_gives_everything_back() {
        let budget = MemoryBudget::new(1 << 30, 1);
        let memory = HostMemory::new(budget.share(), 1 << 20);
        let limit = 10 << 20;
        memory.reserve_in_transit(6 << 20).await.unwrap();
        assert!(memory.try_retain(1 << 20));
        assert_eq!(memory.reserve_in_transit(4 << 20).await, Err(OverLimit { limit }));
        assert!(!memory.try_retain(4 << 20));
        memory.release_in_transit();
        assert_eq!(budget.used_bytes(), 1 << 20);
        memory.reserve_in_transit(9 << 20).await.unwrap();
        assert_eq!(budget.used_bytes(), limit);
        drop(memory);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_holds_the_memory_of_its_instance_until_it_ends_and_another_waits_for_it() {
        let budget = MemoryBudget::new(16 << 20, 1);
        let (share, instance) = (budget.share(), 3 << 20);
        let calls: Vec<_> = (0..3).map(|_| HostMemory::new(Arc::clone(&share), 1 << 20)).collect();
        for call in &calls {
            call.reserve_retained(instance).await.unwrap();
        }
        // The third one has the right to exceed the budget; a fourth one waits.
        assert!(calls[2].has_waited() && !calls[1].has_waited());
        let fourth = HostMemory::new(Arc::clone(&share), 1 << 20);
        let waits = tokio::time::timeout(Duration::from_secs(1), fourth.reserve_retained(instance)).await;
        assert!(waits.is_err(), "nothing was released");
        drop(calls);
        fourth.reserve_retained(instance).await.unwrap();
        assert_eq!(budget.used_bytes(), instance);
        assert_eq!(fourth.reserve_retained(8 << 20).await, Err(OverLimit { limit: 8 << 20 }));
    }

    #[test]
    fn a_call_may_hold_no_more_than_its_provider() {
        let budget = MemoryBudget::new(8 << 20, 1);
        assert_eq!(max_call_bytes(&budget.share(), 64 << 20), 4 << 20);
    }
}
