//! What all tries of one call of `process` share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::WallClock;
use crate::control::brake::{Alarm, Brake, Sign};
use crate::control::limiter::{Admission, Limiter, Permit};
use crate::control::window::Window;
use crate::fetcher::{Fetcher, Permits};
use crate::item::Identity;
use crate::ledger::{Abandoned, Ledger, Owner};
use crate::manifest::Manifest;
use crate::pipeline::Pipeline;
use crate::pipeline::chunks::FULL_AGE;
use crate::pipeline::progress::Progress;
use crate::pipeline::slots::MARGIN;
use crate::sink::{Recoveries, SinkError};

/// How long a flush may take, from its start to the last finish.
const FLUSH_TIME: Duration = Duration::from_secs(10);

/// One call of `process`, as its tries see it.
#[derive(Debug)]
pub(crate) struct Call {
    pipeline: Arc<Pipeline>,
    /// Who this call is.
    pub(crate) owner: Owner,
    /// How long a claim holds: the fetch, the wait for a flush, the flush, and what clocks may be late.
    pub(crate) lease: Duration,
    /// The requests that may be in flight.
    pub(crate) permits: Permits,
    stop: CancellationToken,
    recoveries: Recoveries,
    may_start_until: Mutex<Instant>,
    before_turn: AtomicU32,
    turns: Notify,
}

impl Call {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, owner: Owner, permits: Permits, stop: &CancellationToken) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            owner,
            lease: pipeline.manifest.limits.fetch_timeout + FULL_AGE + FLUSH_TIME + MARGIN,
            permits,
            stop: stop.child_token(),
            recoveries: Recoveries::default(),
            may_start_until: Mutex::new(Instant::now()),
            before_turn: AtomicU32::new(0),
            turns: Notify::new(),
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

    pub(crate) fn progress(&self) -> &Progress {
        &self.pipeline.progress
    }

    pub(crate) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.pipeline.limiter)
    }

    fn brake(&self) -> MutexGuard<'_, Brake> {
        lock(&self.pipeline.brake)
    }

    /// The limiter's time.
    pub(crate) fn elapsed(&self) -> Duration {
        self.pipeline.epoch.elapsed()
    }

    /// Tell the brake of an end.
    pub(crate) fn saw(&self, sign: Sign) -> Option<Alarm> {
        self.brake().saw(sign)
    }

    /// Whether other items succeed at present.
    pub(crate) fn others_succeed(&self) -> bool {
        self.brake().others_succeed()
    }

    /// The most fetches at a time while none succeeds.
    pub(crate) fn caution(&self) -> Option<u32> {
        self.brake().caution()
    }

    /// Whether an abandoned owner has stored the item.
    pub(crate) async fn has_stored(&self, abandoned: &[Abandoned], identity: &Identity) -> Result<bool, SinkError> {
        let sink = &*self.pipeline.stores.sink;
        let manifest = self.manifest();
        self.recoveries.has_stored(sink, &manifest.name, &manifest.identity, abandoned, identity).await
    }

    /// No fetch may start after this instant.
    pub(crate) fn may_start_until(&self) -> Instant {
        *lock(&self.may_start_until)
    }

    /// Move that instant.
    pub(crate) fn let_start_until(&self, until: Instant) {
        *lock(&self.may_start_until) = until;
    }

    /// Stop: tries that have not started their fetch give their claims back.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether the call is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Done when somebody asks to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Start a fetch if the limiter says so. This try's own permit is not held against it.
    pub(crate) fn try_start(&self, now: Duration) -> Result<Permit, Admission> {
        let mut limiter = self.limiter();
        match limiter.admit(now, 0) {
            Admission::Now => Ok(limiter.started(now)),
            later => Err(later),
        }
    }

    /// Whether another try may begin: where starts are paced, few claims wait for their turn.
    pub(crate) fn may_queue(&self) -> bool {
        let Some(rate) = self.manifest().limits.requests_per_second else { return true };
        // As many as start within a twentieth of a second, and one.
        f64::from(self.before_turn.load(Ordering::Relaxed)) < 1.0 + rate / 20.0
    }

    /// A try begins, and will call [`Call::turn_taken`] once.
    pub(crate) fn queued(&self) {
        self.before_turn.fetch_add(1, Ordering::Relaxed);
    }

    /// A try has started its fetch, or never will.
    pub(crate) fn turn_taken(&self) {
        self.before_turn.fetch_sub(1, Ordering::Relaxed);
        if self.manifest().limits.requests_per_second.is_some() {
            self.turns.notify_one();
        }
    }

    /// Done when a try has taken its turn.
    pub(crate) async fn turn(&self) {
        self.turns.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
