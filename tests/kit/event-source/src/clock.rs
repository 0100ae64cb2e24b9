//! The time of day as tests want it: the machine's own, moved forward by as much as a test says.
//!
//! It does not use tokio's paused clock, which would advance while a test waits for real processes and sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// A wall clock that a test can move forward. Clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicU64>,
}

impl Clock {
    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        later(machine_time(), Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst)))
    }

    /// Moves the clock forward, by whole milliseconds. The driver reads it every [`crate::Pace::poll_every`].
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place of this crate that reads the machine's clock")]
pub(crate) fn machine_time() -> Timestamp {
    Timestamp::now()
}

/// `from` and `by` after it.
pub(crate) fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}
