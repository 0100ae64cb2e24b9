//! The way of an item: stream -> parse -> collapse -> gate -> [permit -> claim -> fetch] -> store -> finish -> report.
//!
//! [`Pipeline::process`] is that way. It is the same on one machine, in Lambda and in a simulation; only what it is built of
//! differs. It is not the delivery of batches (the local poller, Kinesis) and not the slow loop over them.

mod attempt;
mod batch;
mod call;
mod chunks;
mod flush;
pub mod progress;
pub mod report;
mod run;
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
use crate::control::brake::Brake;
use crate::control::item::{Breaker, Control};
use crate::control::limiter::{Limiter, LimiterConfig};
use crate::day::Day;
use crate::fetcher::Fetcher;
use crate::item::Entry;
use crate::ledger::{Ledger, LedgerError, Owner};
use crate::manifest::Manifest;
use crate::pipeline::batch::Batch;
use crate::pipeline::call::Call;
use crate::pipeline::progress::Progress;
use crate::pipeline::report::{Report, Stopped};
use crate::pipeline::run::{LONGEST_WAIT, RESERVE, Run};
use crate::pipeline::slots::Slots;

/// Where state and records live, and what time it is.
#[derive(Clone)]
pub struct Stores {
    /// Claims, slots and control items.
    pub ledger: Arc<dyn Ledger>,
    /// Records.
    pub sink: Arc<dyn ObjectStore>,
    /// The time of day.
    pub clock: WallClock,
}

/// One provider's pipeline in this process. It lives as long as the process, so that the limiter and the brake remember.
pub struct Pipeline {
    manifest: Manifest,
    fetcher: Arc<dyn Fetcher>,
    stores: Stores,
    limiter: Mutex<Limiter>,
    brake: Mutex<Brake>,
    progress: Arc<Progress>,
    epoch: Instant,
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
            max_in_flight: manifest.limits.max_concurrency.get(),
            requests_per_second: manifest.limits.requests_per_second,
        };
        Arc::new(Self {
            manifest,
            fetcher,
            stores,
            limiter: Mutex::new(Limiter::new(config)),
            brake: Mutex::default(),
            progress: Arc::default(),
            epoch: Instant::now(),
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

    /// Process one batch: the entries of one shard, in order. Returns before `deadline`, with time to spare; when `stop` is
    /// cancelled nothing more is started and what is in flight is finished. Never fails: what went wrong is in the report, and
    /// whatever has not ended is to be delivered again.
    pub async fn process(self: &Arc<Self>, entries: Vec<Entry>, deadline: Instant, stop: &CancellationToken) -> Report {
        let Manifest { name, identity, limits, .. } = &self.manifest;
        let now = self.stores.clock.now();
        let owner = Owner::unique(now);
        let batch = Batch::parse(entries, name, identity, now);
        let slots = Slots::new(name, &owner, limits);
        let call = Arc::new(Call::new(self, owner, slots.permits().clone(), stop));
        let control = match self.control().await {
            Ok(control) => control,
            Err(error) => return batch.into_report(Some(Stopped::Storage(error.to_string()))),
        };
        if let Some(gate) = self.gate(&control) {
            self.wait(gate.opens, deadline, &call).await;
            return batch.into_report(Some(gate.why));
        }
        self.brake().allow(control.dead_letters_allowed);
        let mut run = Run::new(self, call, batch, slots, deadline);
        run.until_done().await;
        run.report().await
    }

    async fn control(&self) -> Result<Control, LedgerError> {
        self.stores.ledger.control(&self.manifest.name).await
    }

    /// What keeps the provider from being called now.
    fn gate(&self, control: &Control) -> Option<Gate> {
        if matches!(control.breaker, Breaker::Open { .. }) {
            return Some(Gate { why: Stopped::BreakerOpen, opens: None });
        }
        let now = self.stores.clock.now();
        let opens = || self.manifest.window.opens_at(now).map(|opens| self.instant(opens));
        (!self.manifest.window.is_open(now)).then(|| Gate { why: Stopped::WindowClosed, opens: opens() })
    }

    /// Sleep until `until`, a minute at the most, in time for the deadline.
    async fn wait(&self, until: Option<Instant>, deadline: Instant, call: &Call) {
        let now = Instant::now();
        let latest = (now + LONGEST_WAIT).min(deadline.checked_sub(RESERVE).unwrap_or(now));
        let until = until.map_or(latest, |until| until.min(latest));
        tokio::select! {
            () = sleep_until(until) => {}
            () = call.stopped() => {}
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
    async fn open_breaker(&self, breaker: &Breaker) -> Result<(), LedgerError> {
        // What was seen so far has had its effect; after the mend it would only mislead.
        self.brake().reset();
        self.change_control(|control| {
            let closed = control.breaker == Breaker::Closed;
            if closed {
                control.breaker = breaker.clone();
            }
            closed
        })
        .await
    }

    /// Keep what is left of the operator's grant to let dead letters pass.
    async fn keep_allowance(&self) -> Result<(), LedgerError> {
        let left = self.brake().allowed();
        self.change_control(|control| {
            let spent = left < control.dead_letters_allowed;
            control.dead_letters_allowed = control.dead_letters_allowed.min(left);
            spent
        })
        .await
    }

    /// Change the control item, as often as somebody else is quicker. `change` says whether there is something to write.
    async fn change_control(&self, mut change: impl FnMut(&mut Control) -> bool + Send) -> Result<(), LedgerError> {
        loop {
            let mut control = self.control().await?;
            if !change(&mut control) || self.stores.ledger.update_control(&self.manifest.name, &control).await? {
                return Ok(());
            }
        }
    }

    fn brake(&self) -> MutexGuard<'_, Brake> {
        self.brake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
