//! A fetcher that follows a script, and keeps a record of what it was asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use crate::record::{Failure, FailureKind, Fetched};

/// The script's response to one request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How long it takes.
    pub after: Duration,
    /// The outcome.
    pub outcome: Result<Fetched, Failure>,
    /// Whether the request stays unanswered.
    pub unanswered: bool,
}

impl Answer {
    /// A record, at once.
    #[must_use]
    pub fn record(id: &str) -> Self {
        let body = serde_json::json!({ "id": id }).to_string().into();
        let record = Fetched { content_type: "application/json".into(), body, attributes: Vec::new() };
        Self { after: Duration::ZERO, outcome: Ok(record), unanswered: false }
    }

    /// A failure, at once.
    #[must_use]
    pub fn failure(failure: Failure) -> Self {
        Self { after: Duration::ZERO, outcome: Err(failure), unanswered: false }
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// The script: from a request, and how often its id was asked for before, to an answer.
type Script = Box<dyn Fn(&FetchRequest, u32) -> Answer + Send + Sync>;

/// Answers by a script.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
/// use damper_core::record::{Failure, FailureKind};
/// use damper_core::testing::scripted::{Answer, Scripted};
///
/// // The first request for an id fails after 2 s, the next one succeeds.
/// let api = Scripted::new(|request, asked_before| match asked_before {
///     0 => Answer::failure(Failure::new(FailureKind::Unavailable, "503")).after(Duration::from_secs(2)),
///     _ => Answer::record(&request.id),
/// });
/// # let (day, timeout) = ("2026-11-22".parse()?, Duration::from_secs(30));
/// let request = FetchRequest { id: "42".to_owned(), params: Default::default(), attempt: 1, day, timeout, resume: None };
/// assert!(api.fetch(request.clone(), Permits::new(1)).await.outcome.is_err());
/// assert!(api.fetch(request, Permits::new(1)).await.outcome.is_ok());
/// assert_eq!(api.call_log().asked["42"], 2);
/// # Ok(())
/// # }
/// ```
pub struct Scripted {
    script: Script,
    seen: Mutex<CallLog>,
}

/// The calls of a scripted fetcher.
#[derive(Debug, Clone, Default)]
pub struct CallLog {
    /// How often each id was asked for.
    pub asked: BTreeMap<String, u32>,
    /// When each request came, with its id.
    pub times: Vec<(Instant, String)>,
    /// Requests that run now.
    pub in_flight: u32,
    /// The most that ran at once.
    pub peak: u32,
}

impl Scripted {
    /// A fetcher that answers by `script`.
    pub fn new(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), seen: Mutex::default() }
    }

    /// The calls so far.
    #[must_use]
    pub fn call_log(&self) -> CallLog {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, CallLog> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as running until dropped, as an API would.
struct Running<'a>(&'a Scripted);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

#[async_trait]
impl Fetcher for Scripted {
    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        if !permits.budget().spend() {
            let failure = Failure::new(FailureKind::OutOfQuota, "the day's quota is spent");
            return FetchReport::new(Err(failure), 0);
        }
        let sent = Instant::now();
        let before = {
            let mut seen = self.lock();
            seen.times.push((sent, request.id.clone()));
            seen.in_flight += 1;
            seen.peak = seen.peak.max(seen.in_flight);
            let asked = seen.asked.entry(request.id.clone()).or_default();
            *asked += 1;
            *asked - 1
        };
        let running = Running(self);
        let answer = (self.script)(&request, before);
        tokio::time::sleep(answer.after).await;
        drop(running);
        FetchReport { unanswered_since: answer.unanswered.then_some(sent), ..FetchReport::new(answer.outcome, 1) }
    }

    fn digest(&self) -> &str {
        "sha256:scripted"
    }
}
