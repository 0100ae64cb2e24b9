//! What the host holds for one call: requests on their way, answers, and the exchanges that are kept for a dead letter or a person.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bindings::damper::provider::http::HttpError;
use crate::room::{Overdraft, Share};

/// What a call may hold beside two of the largest answers.
const SPARE_BYTES: usize = 8 << 20;
/// The room of a header beside its name and value, in bytes.
pub(crate) const HEADER_BYTES: usize = 64;

/// The host's memory for one call. All of it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HostMemory {
    share: Arc<Share>,
    limit: usize,
    held: Mutex<Held>,
    /// Whether the call had to wait for memory that other calls held.
    has_waited: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    /// Held until the guest has taken it over, which it has when it calls the host again.
    passing: usize,
    /// Held until the call ends.
    kept: usize,
    /// The right to take more than the process has.
    overdraft: Option<Overdraft>,
}

impl Held {
    /// All that is held, in bytes.
    fn bytes(&self) -> usize {
        self.passing.saturating_add(self.kept)
    }
}

/// A call would hold more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit {
    /// What it may hold, in bytes.
    pub(crate) limit: usize,
}

impl From<OverLimit> for HttpError {
    fn from(over: OverLimit) -> Self {
        Self::TooLarge(over.limit as u64)
    }
}

impl HostMemory {
    /// For a call of a provider whose answers have at most so many bytes.
    pub(crate) fn new(share: Arc<Share>, response_bytes: u64) -> Self {
        let limit = limit(&share, response_bytes);
        Self { share, limit, held: Mutex::default(), has_waited: AtomicBool::new(false) }
    }

    /// Room for bytes on their way to the guest or from it. Waits where other calls have taken what the process has.
    ///
    /// # Errors
    /// Where the call would hold more than it may.
    pub(crate) async fn pass(&self, bytes: usize) -> Result<(), OverLimit> {
        self.check(bytes)?;
        if self.held().overdraft.is_some() {
            self.share.take_beyond(bytes);
        } else if let Some(overdraft) = self.wait_for(&self.share, bytes).await {
            self.held().overdraft = Some(overdraft);
        }
        self.held().passing += bytes;
        Ok(())
    }

    /// Takes bytes of a share for the call, and waits where there is no room. The call may get the right to take more than there is.
    pub(crate) async fn wait_for(&self, share: &Share, bytes: usize) -> Option<Overdraft> {
        if share.try_take(bytes) {
            return None;
        }
        self.has_waited.store(true, Ordering::Relaxed);
        // In a box of its own, so that no request is larger for what is seldom needed.
        Box::pin(share.take(bytes)).await
    }

    /// Whether the call had to wait for memory that other calls held.
    pub(crate) fn has_waited(&self) -> bool {
        self.has_waited.load(Ordering::Relaxed)
    }

    /// Room for bytes that stay until the call ends; false where there is none.
    pub(crate) fn keep(&self, bytes: usize) -> bool {
        let has_room = self.check(bytes).is_ok() && self.share.try_take(bytes);
        if has_room {
            self.held().kept += bytes;
        }
        has_room
    }

    /// The guest has taken over what was on its way.
    pub(crate) fn passed(&self) {
        let bytes = std::mem::take(&mut self.held().passing);
        self.share.give_back(bytes);
    }

    fn check(&self, bytes: usize) -> Result<(), OverLimit> {
        let together = self.held().bytes().saturating_add(bytes);
        if together > self.limit { Err(OverLimit { limit: self.limit }) } else { Ok(()) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let bytes = self.held().bytes();
        self.share.give_back(bytes);
    }
}

/// What one call may hold, in bytes.
pub(crate) fn limit(share: &Share, response_bytes: u64) -> usize {
    let answers = usize::try_from(response_bytes).unwrap_or(usize::MAX).saturating_mul(2);
    answers.saturating_add(SPARE_BYTES).min(share.largest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Room;

    #[tokio::test]
    async fn a_call_holds_no_more_than_it_may_and_gives_everything_back() {
        let room = Room::new(1 << 30, 1);
        let memory = HostMemory::new(room.share(), 1 << 20);
        let limit = 10 << 20;
        memory.pass(6 << 20).await.unwrap();
        assert!(memory.keep(1 << 20));
        assert_eq!(memory.pass(4 << 20).await, Err(OverLimit { limit }));
        assert!(!memory.keep(4 << 20));
        memory.passed();
        assert_eq!(room.taken(), 1 << 20);
        memory.pass(9 << 20).await.unwrap();
        assert_eq!(room.taken(), limit);
        drop(memory);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn a_call_may_hold_no_more_than_its_provider() {
        let room = Room::new(8 << 20, 1);
        assert_eq!(limit(&room.share(), 64 << 20), 4 << 20);
    }
}
