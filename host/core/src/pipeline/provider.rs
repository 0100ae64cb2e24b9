//! One provider's pipeline in this process: its parts, and the state that lasts from one call to the next.
//!
//! It is not what a call does: that is in the modules beside this one, each of which adds its methods to [`Pipeline`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::control::admission::{ConcurrencyLimiter, LimiterSnapshot};
use crate::control::failing::Failing;
use crate::control::failure_monitor::FailureMonitor;
use crate::control::item::RunningComponent;
use crate::control::limiter::{Limiter, LimiterConfig};
use crate::day::Day;
use crate::fetcher::Fetcher;
use crate::manifest::Manifest;
use crate::pipeline::capacity::leaps::Leaps;
use crate::pipeline::capacity::slots::{RetainedSlots, batch_slots};
use crate::pipeline::control_cache::ControlCache;
use crate::pipeline::limiter_time::LimiterTime;
use crate::pipeline::progress::Progress;
use crate::pipeline::stores::Stores;

/// One provider's pipeline in this process. It lives as long as the process, so that the limiter and the failure
/// monitor remember.
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
    pub(super) manifest: Manifest,
    pub(super) fetcher: Arc<dyn Fetcher>,
    pub(super) stores: Stores,
    pub(super) limiter: Mutex<Box<dyn ConcurrencyLimiter>>,
    pub(super) failure_monitor: Mutex<FailureMonitor>,
    pub(super) failing: Mutex<Failing>,
    /// Held while a share of the dead letters that an operator allows is taken.
    pub(super) taking_grant: tokio::sync::Mutex<()>,
    pub(super) progress: Arc<Progress>,
    /// When this process saved the limiter last, or took over what another had saved.
    pub(super) last_saved: Mutex<Option<Timestamp>>,
    /// The control item as this process knows it.
    pub(super) control_cache: Mutex<ControlCache>,
    /// The slots that the latest call left to the next one.
    pub(super) retained_slots: Arc<Mutex<Option<RetainedSlots>>>,
    /// The limiter's time.
    pub(super) limiter_time: Mutex<LimiterTime>,
    /// The leaps of the wall clock.
    pub(super) leaps: Leaps,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("provider", &self.manifest.name).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// A pipeline for the provider of this manifest, the stricter of what its author asks and the operator grants.
    #[must_use]
    pub fn new(manifest: Manifest, fetcher: Arc<dyn Fetcher>, stores: Stores) -> Arc<Self> {
        let limiter = Box::new(Limiter::new(limiter_config(&manifest)));
        Self::with_limiter(manifest, fetcher, stores, limiter)
    }

    /// The same with another limiter, for comparisons.
    #[must_use]
    pub fn with_limiter(
        manifest: Manifest,
        fetcher: Arc<dyn Fetcher>,
        stores: Stores,
        limiter: Box<dyn ConcurrencyLimiter>,
    ) -> Arc<Self> {
        Arc::new(Self::make(manifest, fetcher, stores, limiter))
    }

    fn make(
        manifest: Manifest,
        fetcher: Arc<dyn Fetcher>,
        stores: Stores,
        limiter: Box<dyn ConcurrencyLimiter>,
    ) -> Self {
        let (started, leaps) = (stores.clock.moment(), Leaps::default());
        // A process that waits for its first batch has seen a leap that comes meanwhile.
        leaps.see(started);
        let limiter_time = Mutex::new(LimiterTime::starting(started));
        Self {
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
            retained_slots: Arc::default(),
            limiter_time,
            leaps,
        }
    }

    /// A pipeline for the same provider with another component or other settings, which takes this one's place between
    /// two calls. It has its counters and, where the cap is the same, the slots that its latest call left; the limiter
    /// continues from the state that the ledger has.
    #[must_use]
    pub fn successor(&self, manifest: Manifest, fetcher: Arc<dyn Fetcher>) -> Arc<Self> {
        let has_same_cap = manifest.limits.max_concurrency == self.manifest.limits.max_concurrency;
        let retained_slots = if has_same_cap { Arc::clone(&self.retained_slots) } else { Arc::default() };
        let limiter = Box::new(Limiter::new(limiter_config(&manifest)));
        let made = Self::make(manifest, fetcher, self.stores.clone(), limiter);
        Arc::new(Self { progress: Arc::clone(&self.progress), retained_slots, ..made })
    }

    /// The manifest in force.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The component that fetches.
    #[must_use]
    pub fn running_component(&self) -> RunningComponent {
        RunningComponent {
            name: self.manifest.component.clone(),
            version: self.manifest.version.clone(),
            digest: self.fetcher.digest().to_owned(),
        }
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

    /// When the window closes, if it does.
    pub(super) fn window_closes(&self) -> Option<Instant> {
        let now = self.stores.clock.now();
        self.manifest.window.closes_at(now).map(|closes| self.instant(closes))
    }

    pub(super) fn today(&self) -> Day {
        self.manifest.window.day(self.stores.clock.now())
    }

    pub(super) fn instant(&self, timestamp: Timestamp) -> Instant {
        let wait = timestamp.duration_since(self.stores.clock.now());
        Instant::now() + Duration::try_from(wait).unwrap_or_default()
    }

    /// The limiter's time.
    pub(super) fn limiter_now(&self) -> Duration {
        self.limiter_time().at(Instant::now())
    }

    pub(super) fn limiter_time(&self) -> MutexGuard<'_, LimiterTime> {
        self.limiter_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leaps of the wall clock that a call uses. If each write costs money, the process runs in a sandbox that is
    /// frozen between two calls: the freeze looks like a leap, and only leaps within a call count.
    pub(super) fn leaps(&self) -> Leaps {
        if self.stores.ledger.write_interval().is_zero() { self.leaps.clone() } else { Leaps::default() }
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Box<dyn ConcurrencyLimiter>> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure_monitor(&self) -> MutexGuard<'_, FailureMonitor> {
        self.failure_monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn control_cache(&self) -> MutexGuard<'_, ControlCache> {
        self.control_cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn retained_slots(&self) -> MutexGuard<'_, Option<RetainedSlots>> {
        self.retained_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_saved(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.last_saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn limiter_config(manifest: &Manifest) -> LimiterConfig {
    LimiterConfig {
        max_in_flight: batch_slots(manifest.limits.max_concurrency.get()),
        requests_per_second: manifest.limits.requests_per_second,
    }
}
