//! The times of one call: what it needs at its begin and its end, and how long it waits where it can do nothing.

use std::time::Duration;

/// The time that a call needs at its end, after the last fetch: a flush, the finishes, the report.
pub(crate) const RESERVE: Duration = Duration::from_secs(5);
/// The time that a call needs before its first fetch: the control item, slots, a claim.
const BEGIN: Duration = Duration::from_secs(4);

/// The shortest call in which a fetch that may take so long can start and end. With less nothing ever starts.
#[must_use]
pub fn shortest_call(fetch_timeout: Duration) -> Duration {
    BEGIN.saturating_add(fetch_timeout).saturating_add(RESERVE)
}

/// A batch that made no progress waits at most so long before it is reported, so that redelivery does not spin.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);
