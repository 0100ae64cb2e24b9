//! What a run is doing, for whoever watches it. Counts of this process only; the stream keeps the true ones.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that the pipeline raises and anybody may read.
#[derive(Debug, Default)]
pub struct Progress {
    fetched: AtomicU64,
    skipped: AtomicU64,
    dead: AtomicU64,
    retried: AtomicU64,
    in_flight: AtomicU64,
    requests: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Entries whose record was stored.
    pub fetched: u64,
    /// Entries that another entry settled.
    pub skipped: u64,
    /// Entries given up on.
    pub dead: u64,
    /// Fetches that failed and are tried again.
    pub retried: u64,
    /// Fetches that run now.
    pub in_flight: u64,
    /// Requests sent.
    pub requests: u64,
}

impl Progress {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            fetched: read(&self.fetched),
            skipped: read(&self.skipped),
            dead: read(&self.dead),
            retried: read(&self.retried),
            in_flight: read(&self.in_flight),
            requests: read(&self.requests),
        }
    }

    pub(crate) fn ended(&self, end: super::report::End) {
        use super::report::End;
        let counter = match end {
            End::Fetched => &self.fetched,
            End::Skipped => &self.skipped,
            End::DeadLetter => &self.dead,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retrying(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, requests: u32) {
        self.requests.fetch_add(u64::from(requests), Ordering::Relaxed);
    }

    /// Count a fetch as in flight until the guard is dropped.
    pub(crate) fn fetching(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }
}

/// A fetch that is counted as in flight.
pub(crate) struct InFlight<'a>(&'a Progress);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
