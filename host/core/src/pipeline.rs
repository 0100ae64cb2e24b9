//! The path of an item: stream -> parse -> collapse -> gate -> [permit -> claim -> fetch] -> store -> finish -> report.
//!
//! [`Pipeline::process`] implements that path. It is the same on one machine, in Lambda and in a simulation; only its parts
//! differ. It is not the delivery of batches (the local poller, Kinesis) and not the slow loop over them.

mod ad_hoc;
mod adapt;
mod alarm;
mod allowance;
mod attempt;
mod batch;
mod batch_context;
mod batch_processor;
mod chunks;
mod control_cache;
mod flush;
mod grant;
mod leaps;
mod limiter_time;
pub mod parking;
mod probes;
pub mod progress;
mod redelivery;
pub mod report;
mod slots;
mod verdict;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::WallClock;
use crate::control::failing::Failing;
use crate::control::failure_monitor::FailureMonitor;
use crate::control::governor::{BlockReason, Disabled};
use crate::control::item::{ChangeNonce, Control, OpenedBy, ProviderStop};
use crate::control::limiter::{ConcurrencyLimiter, Limiter, LimiterConfig, LimiterSnapshot};
use crate::day::Day;
use crate::fetcher::Fetcher;
use crate::item::Entry;
use crate::ledger::{ControlChange, Ledger, LedgerError, Owner, Parked, WriteResult};
use crate::manifest::Manifest;
use crate::mapping::Mapping;
use crate::pipeline::allowance::Allowance;
use crate::pipeline::batch::Batch;
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::batch_processor::{BatchProcessor, LONGEST_WAIT, RESERVE};
use crate::pipeline::control_cache::{ControlCache, WritePolicy};
use crate::pipeline::leaps::Leaps;
use crate::pipeline::limiter_time::LimiterTime;
use crate::pipeline::parking::TakenUp;
use crate::pipeline::progress::Progress;
use crate::pipeline::report::{Aside, Report, Stopped};
use crate::pipeline::slots::{RetainedSlots, Slots, batch_slots};
use crate::random::RandomSource;
use crate::sink::Compression;

pub use ad_hoc::AdHoc;
pub use adapt::AdaptError;
pub use batch_processor::shortest_call;

/// The stores of state and records, and the clock.
#[derive(Clone)]
pub struct Stores {
    /// Claims, slots and control items.
    pub ledger: Arc<dyn Ledger>,
    /// Records.
    pub sink: Arc<dyn ObjectStore>,
    /// How they are compressed there.
    pub compression: Compression,
    /// The source of batches.
    pub mapping: Arc<dyn Mapping>,
    /// The time of day.
    pub clock: WallClock,
    /// Jitter, and the names of owners.
    pub random: RandomSource,
}

/// One provider's pipeline in this process. It lives as long as the process, so that the limiter and the failure monitor remember.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::{sync::Arc, time::Duration};
/// # use damper_core::{clock::WallClock, item::{Entry, SequenceNumber}, manifest::Manifest, random::RandomSource};
/// # use damper_core::sink::Compression;
/// # use tokio_util::sync::CancellationToken;
/// # use damper_core::pipeline::{Pipeline, Stores, report::End};
/// # use damper_core::testing::{mapping::MemoryMapping, memory::MemoryLedger, scripted::{Answer, Scripted}};
/// # let manifest = Manifest::parse("name = 'demo'\nversion = '1.0.0'\negress.hosts = ['api.example.org']")?;
/// let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse()?);
/// let stores = Stores {
///     ledger: Arc::new(MemoryLedger::new()),
///     sink: Arc::new(object_store::memory::InMemory::new()),
///     compression: Compression::None,
///     mapping: Arc::new(MemoryMapping::new(100, Duration::ZERO)),
///     clock: clock.clone(),
///     random: RandomSource::from_seed(1),
/// };
/// let api = Arc::new(Scripted::new(|request, _| Answer::record(&request.id)));
/// let pipeline = Pipeline::new(manifest, api.clone(), stores);
///
/// let payload = bytes::Bytes::from_static(br#"{"id":"42"}"#);
/// let entry = |number: u64| Entry { sequence: number.into(), arrived: clock.now(), payload: payload.clone() };
/// let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
/// let report = pipeline.process(vec![entry(1), entry(2)], deadline, &CancellationToken::new()).await;
///
/// // Two entries of one identity: one request, one record.
/// let (first, second) = (SequenceNumber::from("1"), SequenceNumber::from("2"));
/// assert_eq!(report.ended, [(first, End::Fetched), (second, End::Skipped)]);
/// assert_eq!(report.first_unfinished, None); // nothing is delivered again
/// assert_eq!(api.call_log().asked["42"], 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
pub struct Pipeline {
    manifest: Manifest,
    fetcher: Arc<dyn Fetcher>,
    stores: Stores,
    limiter: Mutex<Box<dyn ConcurrencyLimiter>>,
    failure_monitor: Mutex<FailureMonitor>,
    failing: Mutex<Failing>,
    /// Held while a share of the dead letters that an operator allows is taken.
    taking_grant: tokio::sync::Mutex<()>,
    progress: Arc<Progress>,
    /// When this process saved the limiter last, or took over what another had saved.
    last_saved: Mutex<Option<Timestamp>>,
    /// The control item as this process knows it.
    control_cache: Mutex<ControlCache>,
    /// The slots that the latest call left to the next one.
    retained_slots: Mutex<Option<RetainedSlots>>,
    /// The limiter's time.
    limiter_time: Mutex<LimiterTime>,
    /// The leaps of the wall clock.
    leaps: Leaps,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("provider", &self.manifest.name).finish_non_exhaustive()
    }
}

/// A gate that is closed: nothing is claimed, nothing counts as an attempt.
struct Gate {
    why: Stopped,
    /// When it opens, if that is known.
    opens: Option<Instant>,
}

impl Pipeline {
    /// A pipeline for the provider of this manifest, the stricter of what its author asks and the operator grants.
    #[must_use]
    pub fn new(manifest: Manifest, fetcher: Arc<dyn Fetcher>, stores: Stores) -> Arc<Self> {
        let config = LimiterConfig {
            max_in_flight: batch_slots(manifest.limits.max_concurrency.get()),
            requests_per_second: manifest.limits.requests_per_second,
        };
        Self::with_limiter(manifest, fetcher, stores, Box::new(Limiter::new(config)))
    }

    /// The same with another limiter, for comparisons.
    #[must_use]
    pub fn with_limiter(
        manifest: Manifest,
        fetcher: Arc<dyn Fetcher>,
        stores: Stores,
        limiter: Box<dyn ConcurrencyLimiter>,
    ) -> Arc<Self> {
        let (started, leaps) = (stores.clock.moment(), Leaps::default());
        // A process that waits for its first batch has seen a leap that comes meanwhile.
        leaps.see(started);
        let limiter_time = Mutex::new(LimiterTime::starting(started));
        Arc::new(Self {
            manifest,
            fetcher,
            stores,
            limiter: Mutex::new(limiter),
            failure_monitor: Mutex::default(),
            failing: Mutex::default(),
            taking_grant: tokio::sync::Mutex::default(),
            progress: Arc::default(),
            last_saved: Mutex::default(),
            control_cache: Mutex::default(),
            retained_slots: Mutex::default(),
            limiter_time,
            leaps,
        })
    }

    /// The manifest in force.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The counters that this pipeline raises.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The limiter's state now.
    #[must_use]
    pub fn limiter_snapshot(&self) -> LimiterSnapshot {
        self.limiter().snapshot(self.limiter_now())
    }

    /// Process one batch: the entries of one shard, in order. Returns before `deadline`, with time to spare; when `stop` is
    /// cancelled nothing more is started and fetches in flight are finished. Never fails: errors are in the report, and entries
    /// that have not ended are to be delivered again.
    pub async fn process(self: &Arc<Self>, entries: Vec<Entry>, deadline: Instant, stop: &CancellationToken) -> Report {
        let control = match self.control().await {
            Ok(control) => control,
            Err(error) => {
                let stopped = Some(Stopped::Storage(error.to_string()));
                return self.batch(Vec::new(), entries).into_report(stopped, Aside::default());
            }
        };
        let taken_up = if self.gate(&control).is_none() { self.take_up(&control).await } else { TakenUp::default() };
        self.work(entries, taken_up, &control, deadline, stop).await
    }

    fn batch(&self, taken_up: Vec<Parked>, entries: Vec<Entry>) -> Batch {
        Batch::parse(taken_up, entries, &self.manifest.name, &self.manifest.identity, self.stores.clock.now())
    }

    /// Work at a batch, and at parked entries beside it.
    async fn work(
        self: &Arc<Self>,
        entries: Vec<Entry>,
        taken_up: TakenUp,
        control: &Control,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Report {
        let Manifest { name, limits, .. } = &self.manifest;
        self.limiter_time().catch_up(self.stores.clock.moment());
        let now = self.stores.clock.now();
        let owner = Owner::generate(now, &self.stores.random);
        let batch = self.batch(taken_up.entries, entries);
        let mut slots = Slots::new(name, &owner, limits, Allowance::budget(limits, &self.stores.clock), self.leaps());
        if let Some(retained) = self.retained_slots().take() {
            slots.resume(retained, self.stores.clock.moment());
        }
        let recover_until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let context = Arc::new(BatchContext::new(self, owner, slots.permits().clone(), recover_until, stop));
        self.recall(control);
        let mut processor = BatchProcessor::new(self, context, batch, slots, control, deadline);
        processor.parked_read = taken_up.read;
        if let Some(gate) = self.gate(control) {
            return processor.report_closed_gate(gate).await;
        }
        processor.prepare_fetcher().await;
        processor.skip_what_is_known().await;
        processor.stop_if_no_fetch_fits();
        processor.until_done().await;
        processor.report().await
    }

    /// The control item, read now.
    async fn control(&self) -> Result<Control, LedgerError> {
        let read = self.stores.ledger.control(&self.manifest.name).await?;
        Ok(self.control_cache().merge_read(read))
    }

    /// The control item as it was read or written last, with changes that are not written yet; `None`: neither has happened.
    #[must_use]
    pub fn cached_control(&self) -> Option<Control> {
        self.control_cache().last_seen()
    }

    /// The closed gate that stops the provider now, if any.
    fn gate(&self, control: &Control) -> Option<Gate> {
        // The mapping is off because of the API: a batch that arrives all the same is not processed, and a tick decides when to
        // try again.
        if let Some(Disabled { by: OpenedBy::Breaker | OpenedBy::RetryAfter, until, .. }) = &control.governor.disabled {
            return Some(Gate { why: Stopped::ApiDown, opens: until.map(|until| self.instant(until)) });
        }
        // A fetch that starts now may outlast the window. Batches would be delivered again and again until it closes.
        let closes_too_soon = || {
            let until = Instant::now() + self.manifest.limits.fetch_timeout;
            self.window_closes().is_some_and(|closes| closes <= until)
        };
        let (why, opens) = match self.block_reason(control) {
            None if closes_too_soon() => (Stopped::WindowClosed, None),
            None => return None,
            Some(block_reason) => Self::closed_gate(block_reason)?,
        };
        Some(Gate { why, opens: opens.map(|opens| self.instant(opens)) })
    }

    /// Why nothing is claimed for this reason, and until when, if that is known; `None`: the limiter waits for it.
    fn closed_gate(block_reason: BlockReason) -> Option<(Stopped, Option<Timestamp>)> {
        Some(match block_reason {
            BlockReason::Operator | BlockReason::Config => (Stopped::BreakerOpen, None),
            BlockReason::Window { until } => (Stopped::WindowClosed, until),
            BlockReason::Quota { until } => (Stopped::QuotaSpent, Some(until)),
            // The limiter itself waits for these, and tries the API when it may.
            BlockReason::ApiDown { .. } | BlockReason::RetryAfter { .. } => return None,
        })
    }

    /// Sleep until `until`, a minute at the most, in time for the deadline.
    async fn wait(&self, until: Option<Instant>, deadline: Instant, context: &BatchContext) {
        let now = Instant::now();
        let latest = (now + LONGEST_WAIT).min(deadline.checked_sub(RESERVE).unwrap_or(now));
        let until = until.map_or(latest, |until| until.min(latest));
        tokio::select! {
            biased;
            () = context.wait_for_stop() => {}
            () = sleep_until(until) => {}
        }
    }

    /// When the window closes, if it does.
    fn window_closes(&self) -> Option<Instant> {
        let now = self.stores.clock.now();
        self.manifest.window.closes_at(now).map(|closes| self.instant(closes))
    }

    fn today(&self) -> Day {
        self.manifest.window.day(self.stores.clock.now())
    }

    fn instant(&self, timestamp: Timestamp) -> Instant {
        let wait = timestamp.duration_since(self.stores.clock.now());
        Instant::now() + Duration::try_from(wait).unwrap_or_default()
    }

    /// Open the breaker for all processes, unless it is open already.
    async fn open_breaker(&self, breaker: &ProviderStop) -> Result<(), LedgerError> {
        // The recorded results have had their effect; after the fix they would mislead.
        self.failure_monitor().reset();
        self.change_control(|control| {
            let closed = control.breaker == ProviderStop::Closed;
            if closed {
                control.breaker = breaker.clone();
            }
            closed
        })
        .await
    }

    /// Change the control item; repeated if another process was quicker. `change` returns whether there is something to write.
    async fn change_control(&self, mut change: impl FnMut(&mut Control) -> bool + Send) -> Result<(), LedgerError> {
        self.change_control_by_policy(|control| if change(control) { WritePolicy::Now } else { WritePolicy::Nothing })
            .await
    }

    /// The same, if the change may be one that waits. The first attempt uses the cached item, which the write then confirms; only
    /// a fresh read shows that there is nothing to write.
    async fn change_control_by_policy(
        &self,
        mut change: impl FnMut(&mut Control) -> WritePolicy + Send,
    ) -> Result<(), LedgerError> {
        let mut seen = self.cached_control();
        let mut is_guess = seen.is_some();
        let mut write = None;
        loop {
            let mut control = match seen.take() {
                Some(seen) => seen,
                None => self.control().await?,
            };
            match change(&mut control) {
                WritePolicy::Nothing if is_guess => {}
                WritePolicy::Nothing => return Ok(()),
                WritePolicy::Later { uncounted } => {
                    self.control_cache().postpone(control, (self.today(), uncounted), self.stores.clock.now());
                    return Ok(());
                }
                WritePolicy::Now => match write.get_or_insert_with(|| self.new_change()).write(control).await? {
                    WriteResult::Written(there) => {
                        self.control_cache().on_written(there);
                        return Ok(());
                    }
                    WriteResult::Refused(there) => seen = Some(self.control_cache().merge_read(there)),
                },
            }
            is_guess = false;
        }
    }

    fn new_change(&self) -> ControlChange<'_> {
        let Stores { ledger, random, .. } = &self.stores;
        ControlChange::new(&**ledger, &self.manifest.name, ChangeNonce::generate(random))
    }

    /// The limiter's time.
    fn limiter_now(&self) -> Duration {
        self.limiter_time().at(Instant::now())
    }

    fn limiter_time(&self) -> MutexGuard<'_, LimiterTime> {
        self.limiter_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leaps of the wall clock that a call uses. If each write costs money, the process runs in a sandbox that is frozen
    /// between two calls: the freeze looks like a leap, and only leaps within a call count.
    fn leaps(&self) -> Leaps {
        if self.stores.ledger.write_interval().is_zero() { self.leaps.clone() } else { Leaps::default() }
    }

    fn limiter(&self) -> MutexGuard<'_, Box<dyn ConcurrencyLimiter>> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure_monitor(&self) -> MutexGuard<'_, FailureMonitor> {
        self.failure_monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control_cache(&self) -> MutexGuard<'_, ControlCache> {
        self.control_cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retained_slots(&self) -> MutexGuard<'_, Option<RetainedSlots>> {
        self.retained_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_saved(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.last_saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod ad_hoc_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod grant_tests;
#[cfg(test)]
mod lost_answer_tests;
#[cfg(test)]
mod partial_outage_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod thrift_tests;
#[cfg(test)]
mod waiting_tests;
