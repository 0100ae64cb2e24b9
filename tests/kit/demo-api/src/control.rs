//! The state that the server's connections share: the settings in force, the token bucket, the book.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::book::{Book, End, Entry};
use crate::bucket::Bucket;
use crate::settings::{Dark, RetryAfter, Settings, SettingsError};

/// The settings in force and since when their outage counts.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) settings: Settings,
    outage_set: Instant,
}

impl InForce {
    pub(crate) fn current_outage(&self, now: Instant) -> Option<Dark> {
        let elapsed = now.saturating_duration_since(self.outage_set);
        self.settings.outage.as_ref()?.at(elapsed)
    }
}

/// The state that the server's connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) book: Book,
    in_force: watch::Sender<Arc<InForce>>,
    bucket: Mutex<Option<Bucket>>,
    clock: Clock,
    stopping: AtomicBool,
    /// Notified whenever a request begins or finishes.
    pub(crate) moved_on: Notify,
}

/// The wall clock at the start, steady from there: log lines never go backwards.
#[derive(Debug)]
struct Clock {
    wall: Timestamp,
    steady: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server of its own: it shares no clock with the pipeline that calls it"
)]
fn wall_now() -> Timestamp {
    Timestamp::now()
}

impl Shared {
    pub(crate) fn new(settings: Settings, log_file: Option<std::fs::File>) -> Self {
        let now = Instant::now();
        let bucket = settings.rate_limit.as_ref().map(|limit| Bucket::new(limit, now));
        Self {
            book: Book::new(settings.log_max, log_file),
            in_force: watch::Sender::new(Arc::new(InForce { settings, outage_set: now })),
            bucket: Mutex::new(bucket),
            clock: Clock { wall: wall_now(), steady: now },
            stopping: AtomicBool::new(false),
            moved_on: Notify::new(),
        }
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.borrow())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// Lays a whole or partial JSON over the settings. An outage that is named counts from now, a rate
    /// limit that is named starts with a full bucket.
    pub(crate) fn patch(&self, patch: &Value) -> Result<Settings, SettingsError> {
        let mut result = Err(SettingsError::NotAnObject);
        self.in_force.send_if_modified(|in_force| {
            result = in_force.settings.with_patch(patch);
            let Ok(settings) = &result else { return false };
            let names = |key| patch.get(key).is_some();
            *in_force = self.put(settings, names("outage"), names("rate_limit"), in_force);
            true
        });
        result
    }

    /// Replaces the settings whole; see [`Self::patch`] for what starts anew.
    pub(crate) fn set(&self, settings: &Settings) -> Result<(), SettingsError> {
        settings.check()?;
        self.in_force.send_modify(|in_force| *in_force = self.put(settings, true, true, in_force));
        Ok(())
    }

    fn put(&self, new: &Settings, outage: bool, limit: bool, old: &InForce) -> Arc<InForce> {
        let now = Instant::now();
        if limit {
            let bucket = new.rate_limit.as_ref().map(|limit| Bucket::new(limit, now));
            *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) = bucket;
        }
        self.book.keep_lines(new.log_max);
        let outage_set = if outage { now } else { old.outage_set };
        Arc::new(InForce { settings: new.clone(), outage_set })
    }

    /// A token, or how long until there is one.
    pub(crate) fn take_token(&self) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.as_mut().map_or(Ok(()), |bucket| bucket.take(Instant::now()))
    }

    /// The Retry-After header for a wait, never shorter than the wait.
    pub(crate) fn retry_after(&self, form: RetryAfter, wait: Duration) -> Option<String> {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        match form {
            RetryAfter::None => None,
            RetryAfter::Seconds => Some(seconds.to_string()),
            RetryAfter::HttpDate => {
                let now = SystemTime::from(self.clock.wall) + self.clock.steady.elapsed();
                let then = Timestamp::try_from(now + wait + Duration::from_millis(999)).ok()?;
                DateTimePrinter::new().timestamp_to_rfc9110_string(&then).ok()
            }
        }
    }

    pub(crate) fn begin(&self, id: String) -> Entry {
        let entry = self.book.begin(id, self.now_ms());
        self.moved_on.notify_waiters();
        entry
    }

    pub(crate) fn finish(&self, entry: Entry, end: End) {
        self.book.finish(entry, end, self.now_ms());
        self.moved_on.notify_waiters();
    }

    /// From here on, whatever is dropped was stopped by the server.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn now_ms(&self) -> u64 {
        let since_start = u64::try_from(self.clock.steady.elapsed().as_millis()).unwrap_or(0);
        let wall = u64::try_from(self.clock.wall.as_millisecond()).unwrap_or(0);
        wall.saturating_add(since_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_never_shorter_than_the_wait() {
        let shared = Shared::new(Settings::default(), None);
        let wait = Duration::from_millis(1_200);
        assert_eq!(shared.retry_after(RetryAfter::Seconds, wait).as_deref(), Some("2"));
        assert_eq!(shared.retry_after(RetryAfter::None, wait), None);
        let before = wall_now();
        let date = shared.retry_after(RetryAfter::HttpDate, wait).unwrap();
        assert!(date.ends_with(" GMT"), "{date}");
        let date = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
        let delay = date.duration_since(before);
        assert!(delay >= jiff::SignedDuration::from_millis(1_199), "{delay}");
        assert!(delay <= jiff::SignedDuration::from_millis(2_300), "{delay}");
    }

    #[test]
    fn settings_that_do_not_name_the_outage_leave_its_time_alone() {
        let shared = Shared::new(Settings::default(), None);
        let at_start = shared.in_force().outage_set;
        shared.patch(&serde_json::json!({"moved": true})).unwrap();
        assert_eq!(shared.in_force().outage_set, at_start);
        shared.patch(&serde_json::json!({"outage": {"after_ms": 5}})).unwrap();
        assert!(shared.in_force().outage_set > at_start);
    }
}
