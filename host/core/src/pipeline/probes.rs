//! What a call does while the limiter's breaker is not closed: which item it tries the API with, when it tells others, and when it
//! is not worth going on.

use std::time::Duration;

use tokio::time::Instant;

use crate::control::admission::BreakerReading;
use crate::control::governor::LONG;
use crate::control::item::{Breaker, Control, OpenedBy};
use crate::pipeline::batch::{Batch, WorkIndex};

/// One call's probes.
#[derive(Debug)]
pub(crate) struct Probes {
    /// The id that was tried last: not twice running, for that item may be the only one that fails.
    pub(crate) last: Option<String>,
    /// Whether the control item says that the API is down.
    is_told: bool,
    /// Whether a fetch has failed in this call while the breaker was not closed.
    has_failed: bool,
}

impl Probes {
    pub(crate) fn new(control: &Control) -> Self {
        let is_told = matches!(control.breaker, Breaker::Open { by: OpenedBy::Breaker, .. });
        Self { last: control.probed.clone(), is_told, has_failed: false }
    }

    /// The work to try: `index`, unless the breaker is half-open and that one was tried last and another is due.
    pub(crate) fn choose(
        &mut self,
        index: WorkIndex,
        breaker: BreakerReading,
        batch: &mut Batch,
        now: Instant,
    ) -> WorkIndex {
        if breaker == BreakerReading::Closed {
            return index;
        }
        let id_of = |batch: &Batch, index| batch.work(index).map(|work| work.item.id.clone());
        let mut chosen = index;
        if id_of(batch, index) == self.last
            && let Some(other) = batch.take_due(now)
        {
            batch.put_back(index);
            chosen = other;
        }
        self.last = id_of(batch, chosen);
        chosen
    }

    /// Whether the control item is to be told: the breaker has opened, or has closed, since it was told last.
    pub(crate) fn noticed(&mut self, breaker: BreakerReading) -> bool {
        let is_down = breaker != BreakerReading::Closed;
        std::mem::replace(&mut self.is_told, is_down) != is_down
    }

    /// Whether the API has been down for so long, and still is, that invocations are wasted on it.
    pub(crate) fn is_hopeless(&mut self, breaker: BreakerReading, now: Duration, failed: bool) -> bool {
        let since = match breaker {
            BreakerReading::Closed => return false,
            BreakerReading::Open { since, .. } | BreakerReading::HalfOpen { since } => since,
        };
        self.has_failed |= failed;
        self.has_failed && now.saturating_sub(since) >= LONG
    }
}
