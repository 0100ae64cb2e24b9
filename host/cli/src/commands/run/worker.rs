//! One provider at work: its poller delivers batches to its pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use damper_core::item::Entry;
use damper_core::manifest::Manifest;
use damper_core::pipeline::Pipeline;
use damper_core::pipeline::progress::Snapshot;
use damper_core::pipeline::report::{Report, Stopped};
use damper_local::{Counts, DatabaseError, Ended, Poller, PollerSettings};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::House;
use super::summary::Outcome;
use super::tally::{Did, Tally};
use crate::error::CliError;
use crate::signals::Stop;

/// How long a batch may take, as in AWS; longer where one fetch alone may take as long.
const BATCH_TIME: Duration = Duration::from_mins(15);
/// How often to look whether a breaker was closed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// What a batch needs besides its last fetch.
const BATCH_MARGIN: Duration = Duration::from_secs(30);

/// One provider at work.
pub(super) struct Worker {
    pipeline: Arc<Pipeline>,
    house: House,
    /// What the stream counted when the run began.
    before: Counts,
    tally: Mutex<Tally>,
    is_delivering: AtomicBool,
    told_of_breaker: AtomicBool,
}

impl Worker {
    pub(super) fn new(pipeline: Arc<Pipeline>, house: House, before: Counts) -> Self {
        Self {
            pipeline,
            house,
            before,
            tally: Mutex::default(),
            is_delivering: AtomicBool::new(false),
            told_of_breaker: AtomicBool::new(false),
        }
    }

    /// The provider's name.
    pub(super) fn name(&self) -> &str {
        &self.manifest().name
    }

    /// The manifest in force.
    pub(super) fn manifest(&self) -> &Manifest {
        self.pipeline.manifest()
    }

    /// Whether a batch is being worked at.
    pub(super) fn is_delivering(&self) -> bool {
        self.is_delivering.load(Ordering::Relaxed)
    }

    /// The open breaker has been told of. Answers whether it had been before.
    pub(super) fn is_told_of_breaker(&self) -> bool {
        self.told_of_breaker.swap(true, Ordering::Relaxed)
    }

    /// Whether the breaker is open, as far as was told.
    pub(super) fn is_stopped(&self) -> bool {
        self.told_of_breaker.load(Ordering::Relaxed)
    }

    /// The breaker is closed: told of next time again. Answers whether it had been told of.
    pub(super) fn forget_breaker(&self) -> bool {
        self.told_of_breaker.swap(false, Ordering::Relaxed)
    }

    /// The counters of this process, without what was counted twice.
    pub(super) fn snapshot(&self) -> Snapshot {
        let snapshot = self.pipeline.progress().snapshot();
        // Nearly always it is entries that were fetched that are delivered again.
        Snapshot { fetched: snapshot.fetched.saturating_sub(self.tally().repeated), ..snapshot }
    }

    /// What this run has done, with what the stream counts now.
    pub(super) fn did(&self, after: &Counts) -> (Did, Snapshot) {
        (self.tally().did.at_most(&self.before, after), self.pipeline.progress().snapshot())
    }

    /// What the stream counts now.
    pub(super) async fn counts(&self) -> Result<Counts, DatabaseError> {
        self.house.stream.counts(self.name()).await
    }

    /// When the window opens, where it is closed now; a text for people.
    pub(super) fn closed_window(&self) -> Option<String> {
        let (now, window) = (self.house.clock.now(), &self.manifest().window);
        let opens = || match window.opens_at(now) {
            Some(opens) => {
                format!("it opens at {}", opens.to_zoned(window.timezone.clone()).strftime("%Y-%m-%d %H:%M %Z"))
            }
            None => "it never opens: check the spans of damper.toml against the manifest's".to_owned(),
        };
        (!window.is_open(now)).then(opens)
    }

    /// The error to tell where the breaker is open.
    pub(super) async fn stopped(&self) -> Result<Option<CliError>, CliError> {
        self.house.stopped(self.name()).await
    }

    /// Deliver batches until there is a reason to end.
    pub(super) async fn run(self: Arc<Self>, watch: bool, stop: Stop) -> (Arc<Self>, Outcome) {
        let outcome = self.deliver(watch, stop).await.unwrap_or_else(Outcome::Failed);
        (self, outcome)
    }

    async fn deliver(self: &Arc<Self>, watch: bool, stop: Stop) -> Result<Outcome, CliError> {
        // The pipeline would wait for a minute before it says so.
        if !watch && let Some(opens) = self.closed_window() {
            return Ok(Outcome::WindowClosed(opens));
        }
        let settings = PollerSettings { watch, ..PollerSettings::default() };
        let poller = Poller::new(self.name(), &self.house.database, self.house.clock, settings, stop.asked.clone());
        let ended = poller.run(|entries| Arc::clone(self).process(entries, watch, stop.token.clone())).await?;
        self.outcome(ended).await
    }

    async fn process(self: Arc<Self>, entries: Vec<Entry>, watch: bool, stop: CancellationToken) -> Report {
        if watch {
            self.until_resumed(&stop).await;
        }
        self.tally().delivered(&entries);
        self.is_delivering.store(true, Ordering::Relaxed);
        let time = BATCH_TIME.max(self.manifest().limits.fetch_timeout.saturating_mul(2).saturating_add(BATCH_MARGIN));
        let report = self.pipeline.process(entries, Instant::now() + time, &stop).await;
        self.is_delivering.store(false, Ordering::Relaxed);
        self.tally().reported(&report);
        report
    }

    /// Wait for `damper resume` where the breaker is open: the pipeline itself would look again after a minute.
    async fn until_resumed(&self, stop: &CancellationToken) {
        // A database that fails is told of by what comes next.
        while let Ok(Some(_)) = self.stopped().await {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn outcome(&self, ended: Ended) -> Result<Outcome, CliError> {
        Ok(match ended {
            Ended::Drained => Outcome::Done,
            Ended::Disabled => Outcome::Paused,
            Ended::Left(Stopped::Storage(message)) => {
                Outcome::Failed(CliError::Storage { provider: self.name().to_owned(), message })
            }
            Ended::Left(Stopped::WindowClosed) => Outcome::WindowClosed(self.closed_window().unwrap_or_default()),
            Ended::Left(Stopped::BreakerOpen) => self.stopped().await?.map_or(Outcome::Interrupted, Outcome::Stopped),
            Ended::Stopped | Ended::Left(Stopped::Asked | Stopped::Deadline) => match self.stopped().await? {
                Some(error) => Outcome::Stopped(error),
                None if self.counts().await?.pending == 0 => Outcome::Done,
                None => Outcome::Interrupted,
            },
        })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
