//! Why a call starts no attempt at the moment.

use tokio::time::Instant;

/// Why nothing can start at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaunchBlocker {
    /// Nothing is due.
    NothingDue,
    /// All permits are in use.
    Permits,
    /// A fetch in flight has to complete first.
    Completion,
    /// Not before this instant.
    Until(Instant),
    /// A queued attempt has to start its fetch first.
    StartQueue,
    /// Chunks have to be flushed first.
    Flush,
    /// Never again in this call.
    ForGood,
}
