//! The context that all tries of one call of `process` share.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::{Moment, WallClock};
use crate::control::admission::{Admission, BreakerStatus, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};
use crate::control::failure_monitor::{FailureMonitor, MonitorVerdict, OutcomeClass};
use crate::control::window::Window;
use crate::fetcher::{Fetcher, Permits};
use crate::item::Identity;
use crate::ledger::{Abandoned, Ledger, LedgerError, Owner};
use crate::manifest::Manifest;
use crate::pipeline::Pipeline;
use crate::pipeline::chunks::FULL_AGE;
use crate::pipeline::progress::{EventKind, Progress};
use crate::pipeline::slots::{MARGIN, has_leapt_since};
use crate::sink::{Recoveries, SinkError};

/// How long a flush takes at the most, from its start to the last finish, where the stores work. One that takes longer may find its
/// claims taken over and its owner sealed: then it stores nothing, and nothing is doubled.
const FLUSH_TIME: Duration = Duration::from_secs(10);
/// How long a recovery may go on when the call is asked to stop.
const RECOVERY_GRACE: Duration = Duration::from_secs(2);

/// The state of one call of `process` that its tries share.
#[derive(Debug)]
pub(crate) struct BatchContext {
    pipeline: Arc<Pipeline>,
    /// The owner of this call's claims.
    pub(crate) owner: Owner,
    /// How long a claim holds: the fetch, the wait for a flush, the flush, and the tolerance for clocks.
    pub(crate) lease: Duration,
    /// The requests that may be in flight.
    pub(crate) permits: Permits,
    stop: CancellationToken,
    /// Recoveries are given up after this instant.
    recover_until: Instant,
    recoveries: Recoveries,
    /// The last instant at which a fetch may start, and the renewal of the slots that it counts from.
    may_start: Mutex<(Instant, Option<Moment>)>,
    /// The last instant of this delivery at which a fetch may start.
    last_start: OnceLock<Instant>,
    /// Permits that there are, free ones included.
    permit_count: AtomicU32,
    queued_count: AtomicU32,
    queue_changes: Notify,
    /// The first and the last start of a fetch.
    starts: Mutex<Option<(Instant, Instant)>>,
}

/// A fetch that has started. If it is dropped without a result, the limiter discards it.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    context: Arc<BatchContext>,
    permit: Option<Permit>,
}

impl InFlightGuard {
    /// The fetch has ended after so many requests, with this outcome; `None`: without information on the API.
    pub(crate) fn finish(mut self, requests: u32, outcome: Option<Outcome>) {
        let now = self.context.limiter_now();
        let latency = self.permit.map_or(Duration::ZERO, |permit| now.saturating_sub(permit.started));
        self.context.progress().record_event(EventKind::Ended { latency, outcome });
        let mut limiter = self.context.limiter();
        limiter.on_extra_requests(now, requests.saturating_sub(1));
        if let (Some(outcome), Some(permit)) = (outcome, self.permit) {
            limiter.on_completed(now, permit, outcome);
            drop(limiter);
            self.permit = None;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let now = self.context.limiter_now();
            self.context.limiter().on_discarded(now, permit);
        }
    }
}

impl BatchContext {
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        owner: Owner,
        permits: Permits,
        recover_until: Instant,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            owner,
            lease: pipeline.manifest.limits.fetch_timeout + FULL_AGE + FLUSH_TIME + MARGIN,
            permits,
            stop: stop.child_token(),
            recover_until,
            recoveries: Recoveries::default(),
            may_start: Mutex::new((Instant::now(), None)),
            last_start: OnceLock::new(),
            permit_count: AtomicU32::new(0),
            queued_count: AtomicU32::new(0),
            queue_changes: Notify::new(),
            starts: Mutex::new(None),
        }
    }

    pub(crate) fn provider(&self) -> &str {
        &self.pipeline.manifest.name
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.pipeline.manifest
    }

    pub(crate) fn window(&self) -> &Window {
        &self.pipeline.manifest.window
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.pipeline.stores.ledger
    }

    pub(crate) fn fetcher(&self) -> &dyn Fetcher {
        &*self.pipeline.fetcher
    }

    pub(crate) fn clock(&self) -> &WallClock {
        &self.pipeline.stores.clock
    }

    /// A random number from 0 to 1.
    pub(crate) fn random_unit(&self) -> f64 {
        self.pipeline.stores.random.unit()
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.pipeline.progress
    }

    fn limiter(&self) -> MutexGuard<'_, Box<dyn ConcurrencyLimiter>> {
        lock(&self.pipeline.limiter)
    }

    /// The limiter's state.
    pub(crate) fn limiter_snapshot(&self) -> LimiterSnapshot {
        self.limiter().snapshot(self.limiter_now())
    }

    fn failure_monitor(&self) -> MutexGuard<'_, FailureMonitor> {
        lock(&self.pipeline.failure_monitor)
    }

    /// The limiter's time.
    pub(crate) fn limiter_now(&self) -> Duration {
        self.pipeline.limiter_now()
    }

    /// Record an end in the failure monitor.
    pub(crate) async fn record_outcome(&self, class: OutcomeClass) -> Result<MonitorVerdict, LedgerError> {
        self.pipeline.record_outcome(class).await
    }

    /// Record a success in the failure monitor.
    pub(crate) fn record_success(&self) {
        self.failure_monitor().record(OutcomeClass::Success);
    }

    /// Whether other items succeed at present.
    pub(crate) fn others_succeed(&self) -> bool {
        self.failure_monitor().others_succeed()
    }

    /// A fetch of this item has ended, `failed` by the API's fault.
    pub(crate) fn note_end(&self, identity: &Identity, failed: bool) {
        lock(&self.pipeline.failing).note_end(hash(identity), failed);
    }

    /// Whether several other items have failed lately by the API's fault.
    pub(crate) fn others_fail(&self, identity: &Identity) -> bool {
        lock(&self.pipeline.failing).others_fail(hash(identity))
    }

    /// This delivery starts no fetch after this instant, independently of the slots.
    pub(crate) fn set_last_start(&self, last_start: Instant) {
        // It is set once, when the call begins.
        let _ = self.last_start.set(last_start);
    }

    /// For how long this delivery still starts fetches; an ad-hoc fetch is a delivery of one try.
    pub(crate) fn time_to_start(&self) -> Duration {
        self.last_start.get().map_or(Duration::ZERO, |last| last.saturating_duration_since(Instant::now()))
    }

    /// The most fetches at a time while none succeeds.
    pub(crate) fn cautious_limit(&self) -> Option<u32> {
        self.failure_monitor().cautious_limit()
    }

    /// Whether an abandoned owner has stored the item. If this is not known in time, the claim must be left to expire: a release
    /// would remove the abandoned owners.
    pub(crate) async fn has_stored(&self, abandoned: &[Abandoned], identity: &Identity) -> Result<bool, SinkError> {
        let sink = &*self.pipeline.stores.sink;
        let manifest = self.manifest();
        let stopped = async {
            self.wait_for_stop().await;
            sleep(RECOVERY_GRACE).await;
        };
        tokio::select! {
            biased;
            found = self.recoveries.has_stored(sink, &manifest.name, &manifest.identity, abandoned, identity) => found,
            () = stopped => Err(SinkError::NotRecovered("the process stops")),
            () = sleep_until(self.recover_until) => Err(SinkError::NotRecovered("the time of the batch is up")),
        }
    }

    /// Whether a fetch may start now, as far as time goes: not after the instant that was set, nor after the wall clock has leapt
    /// since the slots were renewed.
    pub(crate) fn may_start(&self) -> bool {
        let (until, renewed) = *lock(&self.may_start);
        Instant::now() <= until && !renewed.is_some_and(|renewed| has_leapt_since(&renewed, self.clock()))
    }

    /// Whether a claim that was asked for at a moment outlasts a fetch that starts now, by the clock that says that more time has passed
    /// since. A process that was frozen between the two, or looked for long for what others had stored, claims again: by then somebody
    /// else may have fetched the item.
    pub(crate) fn claim_covers_fetch(&self, asked: &Moment) -> bool {
        let passed = self.clock().moment().passed_since(asked);
        passed.saturating_add(self.manifest().limits.fetch_timeout) < self.lease
    }

    /// Let fetches start until an instant, under slots that were renewed at a moment.
    pub(crate) fn let_start_until(&self, until: Instant, renewed: Option<Moment>) {
        *lock(&self.may_start) = (until, renewed);
    }

    /// Stop: tries that have not started their fetch give their claims back.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether the call is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Wait until a stop is requested.
    pub(crate) async fn wait_for_stop(&self) {
        self.stop.cancelled().await;
    }

    /// Set the number of permits that exist.
    pub(crate) fn set_permit_count(&self, permits: u32) {
        self.permit_count.store(permits, Ordering::Relaxed);
    }

    /// How many permits are in use: tries that claim, requests in flight, and requests that the API may still be processing.
    pub(crate) fn in_use(&self) -> u32 {
        self.permit_count.load(Ordering::Relaxed).saturating_sub(self.permits.available())
    }

    /// Whether another try may begin beside those in progress; `None`: not before one of them has left the queue.
    pub(crate) fn admit_try(&self) -> Option<Admission> {
        let (now, queued_count) = (self.limiter_now(), self.queued_count());
        let mut limiter = self.limiter();
        let admission = limiter.admit(now, self.in_use());
        let may_queue = queued_count == 0 || queued_count < max_queued(&limiter.snapshot(now));
        (admission != Admission::Now || may_queue).then_some(admission)
    }

    /// Start a fetch if the limiter admits it. Tries that only claim, this one among them, do not count as in flight.
    pub(crate) fn try_start(self: &Arc<Self>) -> Result<InFlightGuard, Admission> {
        let now = self.limiter_now();
        let in_flight = self.in_use().saturating_sub(self.queued_count.load(Ordering::Relaxed));
        let mut limiter = self.limiter();
        match limiter.admit(now, in_flight) {
            Admission::Now => {
                let permit = limiter.on_started(now);
                drop(limiter);
                let instant = Instant::now();
                lock(&self.starts).get_or_insert((instant, instant)).1 = instant;
                self.progress().record_event(EventKind::Sent);
                Ok(InFlightGuard { context: Arc::clone(self), permit: Some(permit) })
            }
            later => Err(later),
        }
    }

    /// The first and the last start of a fetch, if there was any.
    pub(crate) fn starts(&self) -> Option<(Instant, Instant)> {
        *lock(&self.starts)
    }

    /// How many tries have not started their fetch yet.
    pub(crate) fn queued_count(&self) -> u32 {
        self.queued_count.load(Ordering::Relaxed)
    }

    /// A try begins, and will call [`BatchContext::leave_queue`] once.
    pub(crate) fn enter_queue(&self) {
        self.queued_count.fetch_add(1, Ordering::Relaxed);
    }

    /// A try has started its fetch, or will not start it.
    pub(crate) fn leave_queue(&self) {
        self.queued_count.fetch_sub(1, Ordering::Relaxed);
        self.queue_changes.notify_one();
    }

    /// Wait until a try leaves the queue.
    pub(crate) async fn wait_for_queue(&self) {
        self.queue_changes.notified().await;
    }
}

/// How many tries may claim before they start: if starts are paced, as many as start within a twentieth of a second, and one; if
/// the API is only probed, one.
fn max_queued(snapshot: &LimiterSnapshot) -> u32 {
    match (snapshot.breaker, snapshot.rate) {
        (BreakerStatus::Closed, None) => u32::MAX,
        (BreakerStatus::Closed, Some(rate)) => 1 + (rate / 20.0).max(0.0) as u32,
        (BreakerStatus::Open { .. } | BreakerStatus::HalfOpen { .. }, _) => 1,
    }
}

fn hash(identity: &Identity) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
