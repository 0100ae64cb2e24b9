//! The progress of a run, for display. Counts of this process only; the stream keeps the exact ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::control::admission::Outcome;
use crate::record::FailureKind;

/// The most events that are kept until they are taken.
const MOST_EVENTS: usize = 1_000_000;

/// Counters that the pipeline raises and anybody may read.
#[derive(Debug, Default)]
pub struct Progress {
    fetched: AtomicU64,
    skipped: AtomicU64,
    dead: AtomicU64,
    retried: AtomicU64,
    polled: AtomicU64,
    in_flight: AtomicU64,
    requests: AtomicU64,
    failures: Mutex<BTreeMap<FailureKind, u64>>,
    is_watched: AtomicBool,
    events: Mutex<Vec<Event>>,
}

/// A fetch began or ended, as a watcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The kind.
    pub kind: EventKind,
}

/// The kinds of events of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was sent.
    Sent,
    /// It ended.
    Ended {
        /// How long it took.
        latency: Duration,
        /// The outcome for the limiter; `None` without information on the API.
        outcome: Option<Outcome>,
    },
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
    /// Fetches whose record was not ready, and that are tried again.
    pub polled: u64,
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
            polled: read(&self.polled),
            in_flight: read(&self.in_flight),
            requests: read(&self.requests),
        }
    }

    /// Fetches that failed since the process began, by the kind of their failure.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<FailureKind, u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keep events from now on, for [`Progress::take_events`].
    pub fn watch(&self) {
        self.is_watched.store(true, Ordering::Relaxed);
    }

    /// Take the events since the last call, in order. Empty unless [`Progress::watch`] was called.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn record_event(&self, kind: EventKind) {
        if self.is_watched.load(Ordering::Relaxed) {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            if events.len() < MOST_EVENTS {
                events.push(Event { at: Instant::now(), kind });
            }
        }
    }

    pub(crate) fn count_end(&self, end: super::report::End) {
        use super::report::End;
        let counter = match end {
            End::Fetched => &self.fetched,
            End::Skipped => &self.skipped,
            End::DeadLetter => &self.dead,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self, kind: &FailureKind) {
        // A guest chooses the text of `other`: together they are one kind, or it could make as many as it likes.
        let kind = if let FailureKind::Other(_) = kind { FailureKind::Other(String::new()) } else { kind.clone() };
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    pub(crate) fn count_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_poll(&self) {
        self.polled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_requests(&self, requests: u32) {
        self.requests.fetch_add(u64::from(requests), Ordering::Relaxed);
    }

    /// Count a fetch as in flight until the guard is dropped.
    pub(crate) fn track_fetch(&self) -> InFlight<'_> {
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
