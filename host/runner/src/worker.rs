//! One provider at work: its poller delivers batches to its pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use damper_config::Bound;
use damper_core::admin::Counts;
use damper_core::control::admission::{BreakerStatus, LimiterSnapshot};
use damper_core::fetcher::Fetcher;
use damper_core::item::{Entry, Item, ItemError};
use damper_core::ledger::OpenedBy;
use damper_core::manifest::Manifest;
use damper_core::mapping::{Mapping, MappingState};
use damper_core::pipeline::progress::{Progress, Snapshot};
use damper_core::pipeline::report::{Report, Stopped};
use damper_core::pipeline::{AdHoc, DueEntries, Pipeline};
use damper_core::record::Failure;
use damper_local::{DatabaseError, Poller, PollerEnd, PollerSettings};
use damper_plugins::{Plugin, PluginHost};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::context::RunContext;
use crate::error::RunError;
use crate::outcome::{Outcome, Stop};
use crate::tally::{RunTotals, Tally};

/// How long a batch may take, as in AWS; longer where one fetch alone may take as long.
const BATCH_TIME: Duration = Duration::from_mins(15);
/// How often to look whether a breaker was closed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The time that a batch needs besides its last fetch.
const BATCH_MARGIN: Duration = Duration::from_secs(30);

/// The longest sleep until a record that is waited for is asked for again.
const LONGEST_SLEEP: Duration = Duration::from_mins(5);

/// Loads a provider's component, with its manifest in force.
fn load_plugin(host: &PluginHost, bound: Bound) -> Result<(Arc<Plugin>, Manifest), RunError> {
    let Bound { file, manifest, grants, .. } = bound;
    let plugin = host.load(&file, manifest.clone(), grants);
    let plugin =
        plugin.map_err(|error| RunError::Load { provider: manifest.name.clone(), message: error.to_string() })?;
    Ok((Arc::new(plugin), manifest))
}

fn load_error(provider: &str, failure: Failure) -> RunError {
    RunError::Load { provider: provider.to_owned(), message: failure.message }
}

/// The reason why a single fetch waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchNotice {
    /// For the API, which has taken the order, until this time.
    NotReady(Timestamp),
    /// For the item's next attempt, or for another process that has it, until this time.
    Waiting(Timestamp),
    /// For a slot or for the limiter.
    Busy,
}

/// One provider at work.
pub struct Worker {
    name: String,
    current: Mutex<Current>,
    run_context: RunContext,
    /// The stream's counts at the start of the run.
    before: Counts,
    tally: Mutex<Tally>,
    is_delivering: AtomicBool,
    /// Until when nothing is left to deliver but items that wait.
    idle_until: watch::Sender<Option<Timestamp>>,
    is_breaker_reported: AtomicBool,
}

/// A provider's component with its settings, ready to fetch.
#[derive(Clone)]
struct Engine {
    pipeline: Arc<Pipeline>,
    plugin: Arc<Plugin>,
}

/// The engine that the next batch uses, and the token that ends the batch in progress.
struct Current {
    engine: Engine,
    cut: CancellationToken,
}

impl Worker {
    /// Loads a provider's component. It is not compiled yet: that is a part of [`Worker::run`].
    ///
    /// # Errors
    /// If it cannot be loaded, or the database fails.
    pub async fn load(run_context: &RunContext, host: &PluginHost, bound: Bound) -> Result<Self, RunError> {
        let (plugin, manifest) = load_plugin(host, bound)?;
        let name = manifest.name.clone();
        run_context.mapping.ensure(&name, manifest.pace.start_batch).await?;
        let before = run_context.stream.counts(&name).await?;
        let pipeline = Pipeline::new(manifest, Arc::clone(&plugin) as Arc<dyn Fetcher>, run_context.stores.clone());
        Ok(Self::new(Engine { pipeline, plugin }, name, run_context.clone(), before))
    }

    /// Loads and compiles the provider's component as it is now bound, and puts it in the place of the current one: the
    /// batch in progress ends early, as at a clean stop, and the next one uses the new component and settings. The
    /// current ones stay if the new ones cannot be used.
    ///
    /// # Errors
    /// If they cannot be loaded.
    pub async fn replace(&self, host: &PluginHost, bound: Bound) -> Result<(), RunError> {
        let (plugin, manifest) = load_plugin(host, bound)?;
        plugin.prepare().await.map_err(|failure| load_error(&self.name, failure))?;
        let mut current = self.current();
        let pipeline = current.engine.pipeline.successor(manifest, Arc::clone(&plugin) as Arc<dyn Fetcher>);
        current.engine = Engine { pipeline, plugin };
        std::mem::take(&mut current.cut).cancel();
        Ok(())
    }

    fn new(engine: Engine, name: String, run_context: RunContext, before: Counts) -> Self {
        Self {
            name,
            current: Mutex::new(Current { engine, cut: CancellationToken::new() }),
            run_context,
            before,
            tally: Mutex::default(),
            is_delivering: AtomicBool::new(false),
            idle_until: watch::Sender::default(),
            is_breaker_reported: AtomicBool::new(false),
        }
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider's plugin.
    pub(crate) fn plugin(&self) -> Arc<Plugin> {
        Arc::clone(&self.current().engine.plugin)
    }

    fn pipeline(&self) -> Arc<Pipeline> {
        Arc::clone(&self.current().engine.pipeline)
    }

    /// Whether a batch is being worked at.
    fn is_delivering(&self) -> bool {
        self.is_delivering.load(Ordering::Relaxed)
    }

    /// When the first item is due, where nothing is left but items that wait; a text for people.
    fn idle_until(&self) -> Option<String> {
        let until = *self.idle_until.borrow();
        until.map(|until| self.local(until))
    }

    /// A time of day as it is at the provider.
    fn local(&self, at: Timestamp) -> String {
        at.to_zoned(self.pipeline().manifest().window.timezone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// Mark the open breaker as reported. Returns whether it already was.
    pub fn mark_breaker_reported(&self) -> bool {
        self.is_breaker_reported.swap(true, Ordering::Relaxed)
    }

    /// Whether an open breaker has been reported.
    #[must_use]
    pub fn has_reported_breaker(&self) -> bool {
        self.is_breaker_reported.load(Ordering::Relaxed)
    }

    /// The breaker is closed: report it again when it opens. Returns whether it had been reported.
    pub fn clear_breaker_reported(&self) -> bool {
        self.is_breaker_reported.swap(false, Ordering::Relaxed)
    }

    /// The counters and events of this process.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.pipeline().progress()
    }

    /// The counters of this process, without what was counted twice.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = self.pipeline().progress().snapshot();
        let RunTotals { fetched, skipped, dead_letters } = self.tally().live_totals(snapshot);
        Snapshot { fetched, skipped, dead: dead_letters, ..snapshot }
    }

    /// The totals of this run, given the stream's current counts.
    #[must_use]
    pub fn totals(&self, after: &Counts) -> (RunTotals, Snapshot) {
        (self.tally().totals.capped_by(&self.before, after), self.pipeline().progress().snapshot())
    }

    /// The stream's current counts.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn counts(&self) -> Result<Counts, DatabaseError> {
        self.run_context.stream.counts(self.name()).await
    }

    /// When the window opens, where it is closed now; a text for people.
    fn closed_window(&self) -> Option<String> {
        let (now, pipeline) = (self.run_context.clock.now(), self.pipeline());
        let window = &pipeline.manifest().window;
        let opens = || match window.opens_at(now) {
            Some(opens) => {
                format!("it opens at {}", opens.to_zoned(window.timezone.clone()).strftime("%Y-%m-%d %H:%M %Z"))
            }
            None => "it never opens: check the spans of damper.toml against the manifest's".to_owned(),
        };
        (!window.is_open(now)).then(opens)
    }

    /// What a provider waits for that has pending entries and does nothing: a word for the reason, and a text for
    /// people.
    #[must_use]
    pub fn waiting_reason(&self) -> (&'static str, String) {
        let reading = self.reading();
        match self.closed_window() {
            Some(opens) => ("window", format!("the window is closed; {opens}")),
            None if reading.breaker != BreakerStatus::Closed => {
                ("breaker", "the API fails; damper probes it at growing intervals".to_owned())
            }
            None if reading.gate.is_some() => ("gate", "the API asked for a pause (Retry-After)".to_owned()),
            None if let Some(until) = self.idle_until() => {
                let what = "only items that wait for their orders or their next attempt are left";
                ("attempt", format!("{what}, the first until {until}"))
            }
            None if !self.is_delivering() => {
                ("lease", "another run delivers this stream; this one takes over when it ends".to_owned())
            }
            None => (
                "slots",
                "nothing is due: items wait for their orders or their next attempt, or other runs have the slots or \
                 the claims"
                    .to_owned(),
            ),
        }
    }

    /// Fetch one record now through the ledger, and wait for it: for the API where it takes an order first, for slots,
    /// for another process that has the item. Each notice is given when a wait begins.
    ///
    /// # Errors
    /// If a parameter of the item's identity is missing or too long.
    pub async fn fetch_now(&self, item: Item, notify: impl Fn(FetchNotice)) -> Result<AdHoc, ItemError> {
        let clock = &self.run_context.clock;
        loop {
            let time = BATCH_MARGIN + self.pipeline().manifest().limits.fetch_timeout * 2;
            let (notice, wait) = match self.pipeline().fetch_now(item.clone(), Instant::now() + time).await? {
                AdHoc::NotReady(at) => (FetchNotice::NotReady(at), at.duration_since(clock.now())),
                AdHoc::NotBefore(at) => (FetchNotice::Waiting(at), at.duration_since(clock.now())),
                AdHoc::Busy => (FetchNotice::Busy, SignedDuration::from_secs(1)),
                ended => return Ok(ended),
            };
            notify(notice);
            // At a time of day, which may be set: it is looked at again now and then.
            sleep(Duration::try_from(wait).unwrap_or_default().min(LONGEST_SLEEP)).await;
        }
    }

    /// The error to report if the breaker is open.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn find_stop_error(&self) -> Result<Option<RunError>, RunError> {
        self.run_context.find_stop_error(self.name()).await
    }

    /// Deliver batches until there is a reason to end.
    pub async fn run(self: Arc<Self>, watch: bool, stop: Stop) -> (Arc<Self>, Outcome) {
        let outcome = self.deliver(watch, stop).await.unwrap_or_else(Outcome::Failed);
        (self, outcome)
    }

    async fn deliver(self: &Arc<Self>, watch: bool, stop: Stop) -> Result<Outcome, RunError> {
        // The pipeline would wait for a minute before it says so.
        if !watch && let Some(outcome) = self.closed_outcome().await? {
            return Ok(outcome);
        }
        if let Some(outcome) = self.prepare(&stop).await? {
            return Ok(outcome);
        }
        // A mapping that an earlier run left disabled may be due by now.
        self.tick().await;
        let ticking = self.tick_forever();
        tokio::pin!(ticking);
        loop {
            let settings = PollerSettings { watch, ..PollerSettings::default() };
            let poller = Poller::new(
                self.name(),
                &self.run_context.database,
                self.run_context.clock.clone(),
                settings,
                stop.asked.clone(),
            )
            .with_idle_signal(self.idle_until.clone());
            let process = |entries, due| Arc::clone(self).process(entries, due, watch, stop.token.clone());
            let delivering = poller.run_with_due(process);
            let ended = tokio::select! {
                biased;
                ended = delivering => ended?,
                () = &mut ticking => continue,
            };
            if ended != PollerEnd::Disabled || !self.is_retried_by_ticks().await? {
                return self.outcome(ended).await;
            }
            // The API is down and the mapping is off: a tick tries it again.
            tokio::select! {
                biased;
                () = stop.token.cancelled() => return self.outcome(PollerEnd::Stopped).await,
                () = &mut ticking => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Make the component ready, which may mean to compile it. The other providers fetch meanwhile. None: it is ready.
    async fn prepare(&self, stop: &Stop) -> Result<Option<Outcome>, RunError> {
        loop {
            let plugin = self.plugin();
            let prepared = tokio::select! {
                biased;
                () = stop.token.cancelled() => return self.outcome(PollerEnd::Stopped).await.map(Some),
                prepared = plugin.prepare() => prepared,
            };
            let is_replaced = !Arc::ptr_eq(&plugin, &self.plugin());
            match prepared {
                Err(_) if is_replaced => {}
                prepared => return prepared.map(|()| None).map_err(|failure| load_error(&self.name, failure)),
            }
        }
    }

    /// Ticks, for ever: at the interval that damper.toml sets, and when a disabled mapping's time has come.
    async fn tick_forever(&self) {
        let mut last = Instant::now();
        loop {
            sleep(LOOK_AGAIN).await;
            let disabled =
                self.run_context.control(self.name()).await.ok().and_then(|control| control.governor.disabled);
            let until = disabled.and_then(|disabled| disabled.until);
            if last.elapsed() >= self.run_context.tick
                || until.is_some_and(|until| until <= self.run_context.clock.now())
            {
                last = Instant::now();
                self.tick().await;
            }
        }
    }

    async fn tick(&self) {
        if let Err(error) = self.pipeline().tick().await {
            tracing::warn!(provider = self.name(), %error, "the tick failed; the next tick tries again");
        }
    }

    /// Whether the mapping is off for a reason that ticks retry.
    async fn is_retried_by_ticks(&self) -> Result<bool, RunError> {
        let by = self.run_context.control(self.name()).await?.governor.disabled.map(|disabled| disabled.by);
        Ok(matches!(by, Some(OpenedBy::Breaker | OpenedBy::RetryAfter)))
    }

    /// How the run ends at once where the window is closed or the quota is spent.
    async fn closed_outcome(&self) -> Result<Option<Outcome>, RunError> {
        if let Some(opens) = self.closed_window() {
            return Ok(Some(Outcome::WindowClosed(opens)));
        }
        Ok(self.spent_quota().await?.map(Outcome::QuotaSpent))
    }

    /// When requests may be sent again, where the day's quota is spent; a text for people.
    async fn spent_quota(&self) -> Result<Option<String>, RunError> {
        let (now, pipeline) = (self.run_context.clock.now(), self.pipeline());
        let manifest = pipeline.manifest();
        let usage = self.run_context.control(self.name()).await?.usage;
        let is_spent = usage.remaining(manifest.window.day(now), manifest.limits.daily_quota) == Some(0);
        let begins = manifest.window.day_ends(now).to_zoned(manifest.window.timezone.clone());
        Ok(is_spent.then(|| format!("the next day begins at {}", begins.strftime("%Y-%m-%d %H:%M %Z"))))
    }

    /// The limiter's current state.
    #[must_use]
    pub fn reading(&self) -> LimiterSnapshot {
        self.pipeline().limiter_snapshot()
    }

    /// The mapping, if it can be read.
    pub async fn mapping(&self) -> Option<MappingState> {
        self.run_context.mapping.read(self.name()).await.ok()
    }

    async fn process(
        self: Arc<Self>,
        entries: Vec<Entry>,
        due: DueEntries,
        watch: bool,
        stop: CancellationToken,
    ) -> Report {
        if watch {
            self.wait_until_resumed(&stop).await;
        }
        let (pipeline, cut) = {
            let current = self.current();
            (Arc::clone(&current.engine.pipeline), current.cut.clone())
        };
        self.tally().on_batch_delivered(&entries, pipeline.progress().snapshot());
        self.is_delivering.store(true, Ordering::Relaxed);
        let time = pipeline.manifest().limits.fetch_timeout.saturating_mul(2).saturating_add(BATCH_MARGIN);
        let deadline = Instant::now() + BATCH_TIME.max(time);
        let token = stop.child_token();
        let cutting = async {
            cut.cancelled().await;
            token.cancel();
            std::future::pending::<()>().await;
        };
        let mut report = tokio::select! {
            biased;
            report = pipeline.process_with_due(entries, due, deadline, &token) => report,
            () = cutting => Report::default(),
        };
        // The rest is delivered to the component that took this one's place.
        if report.stopped == Some(Stopped::Asked) && !stop.is_cancelled() {
            report.stopped = None;
        }
        self.is_delivering.store(false, Ordering::Relaxed);
        self.tally().on_batch_reported(&report);
        report
    }

    /// Wait for `damper resume` where the breaker is open: the pipeline itself would look again after a minute.
    async fn wait_until_resumed(&self, stop: &CancellationToken) {
        // The next step reports a database that fails.
        while let Ok(Some(_)) = self.find_stop_error().await {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn outcome(&self, ended: PollerEnd) -> Result<Outcome, RunError> {
        Ok(match ended {
            PollerEnd::Drained => Outcome::Done,
            PollerEnd::Disabled => match (self.closed_outcome().await?, self.find_stop_error().await?) {
                (Some(closed), _) => closed,
                (None, Some(error)) => Outcome::Stopped(error),
                (None, None) => Outcome::Paused,
            },
            PollerEnd::Waiting { entries, until } => Outcome::Waiting { entries, until: self.local(until) },
            PollerEnd::Left(Stopped::Storage(message)) => {
                Outcome::Failed(RunError::Storage { provider: self.name().to_owned(), message })
            }
            PollerEnd::Left(Stopped::WindowClosed) => Outcome::WindowClosed(self.closed_window().unwrap_or_default()),
            PollerEnd::Left(Stopped::QuotaSpent) => Outcome::QuotaSpent(self.spent_quota().await?.unwrap_or_default()),
            PollerEnd::Left(Stopped::BreakerOpen) => {
                self.find_stop_error().await?.map_or(Outcome::Interrupted, Outcome::Stopped)
            }
            PollerEnd::Stopped
            | PollerEnd::Left(Stopped::Asked | Stopped::Deadline | Stopped::ApiDown | Stopped::TakenOver) => {
                match self.find_stop_error().await? {
                    Some(error) => Outcome::Stopped(error),
                    None if self.counts().await?.pending == 0 => Outcome::Done,
                    None => Outcome::Interrupted,
                }
            }
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
