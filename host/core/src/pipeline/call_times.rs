//! The times of one call: what it needs at its begin and its end, and how long it waits where it can do nothing.

use std::time::Duration;

use tokio::time::Instant;

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

/// The times of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallTimes {
    /// When it has to return.
    pub(crate) deadline: Instant,
    /// The last instant at which a fetch may start and still end before the deadline and the window's end.
    pub(crate) last_start: Instant,
}

impl CallTimes {
    /// The times of a call whose fetches may take so long.
    pub(crate) fn new(deadline: Instant, fetch_timeout: Duration, window_closes: Option<Instant>) -> Self {
        let earlier = |end: Instant, by: Duration| end.checked_sub(by).unwrap_or(end);
        let by_deadline = earlier(deadline, fetch_timeout + RESERVE);
        let by_window = window_closes.map(|closes| earlier(closes, fetch_timeout));
        Self { deadline, last_start: by_window.map_or(by_deadline, |by_window| by_window.min(by_deadline)) }
    }
}
