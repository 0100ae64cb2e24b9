//! The probes of a call while the limiter's breaker is not closed: which item it sends, when it notifies other
//! processes, and when it gives up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::control::admission::BreakerStatus;
use crate::control::governor::LONG;
use crate::control::item::{Control, OpenedBy, ProviderStop};
use crate::pipeline::batch::{Batch, WorkIndex};

/// How many ids that failed are remembered: as many as the smallest batch holds, and some.
const REMEMBERED: usize = 16;

/// One call's probes.
#[derive(Debug)]
pub(crate) struct Probes {
    /// The ids with which the API was tried and failed since the breaker opened, the latest last. They may be the only
    /// ones that fail, and are not tried again while another is due.
    failed: VecDeque<String>,
    /// Whether the control item says that the API is down.
    is_told: bool,
    /// Whether a fetch has failed in this call while the breaker was not closed.
    has_failed: bool,
}

impl Probes {
    pub(crate) fn new(control: &Control) -> Self {
        let is_told = matches!(control.breaker, ProviderStop::Open { by: OpenedBy::Breaker, .. });
        Self { failed: control.probed.iter().cloned().collect(), is_told, has_failed: false }
    }

    /// The ids to remember for the next call.
    pub(crate) fn into_failed(self) -> Vec<String> {
        self.failed.into()
    }

    /// The work to try: `index`, unless the API is only probed, that one has failed, and one that has not is due.
    pub(crate) fn choose(
        &mut self,
        index: WorkIndex,
        breaker: BreakerStatus,
        batch: &mut Batch,
        now: Instant,
    ) -> WorkIndex {
        if breaker == BreakerStatus::Closed {
            return index;
        }
        let (mut chosen, mut passed_over) = (Some(index), Vec::new());
        while let Some(candidate) = chosen.filter(|candidate| self.has_failed_with(batch, *candidate)) {
            passed_over.push(candidate);
            chosen = batch.take_due(now);
        }
        // If all have failed, the one that failed the longest ago.
        let chosen = chosen.unwrap_or_else(|| {
            let oldest = passed_over.iter().copied().min_by_key(|candidate| self.age(batch, *candidate));
            oldest.unwrap_or(index)
        });
        for other in passed_over.into_iter().rev().filter(|other| *other != chosen) {
            batch.put_back(other);
        }
        chosen
    }

    /// A fetch has ended: with which work, whether it failed, and what the breaker is now.
    pub(crate) fn on_fetch_done(&mut self, id: Option<&str>, failed: bool, breaker: BreakerStatus) {
        if breaker == BreakerStatus::Closed {
            self.failed.clear();
            self.has_failed = false;
        } else if failed {
            self.has_failed = true;
            self.failed.retain(|known| Some(known.as_str()) != id);
            self.failed.extend(id.map(str::to_owned));
            if self.failed.len() > REMEMBERED {
                self.failed.pop_front();
            }
        }
    }

    /// Whether the breaker has opened or closed since the last call of this function: then the control item is to be
    /// updated.
    pub(crate) fn take_breaker_change(&mut self, breaker: BreakerStatus) -> bool {
        let is_down = breaker != BreakerStatus::Closed;
        std::mem::replace(&mut self.is_told, is_down) != is_down
    }

    /// Whether the API has been down for so long that further invocations are useless.
    pub(crate) fn is_hopeless(&self, breaker: BreakerStatus, now: Duration) -> bool {
        match breaker {
            BreakerStatus::Closed => false,
            BreakerStatus::Open { since, .. } | BreakerStatus::HalfOpen { since } => {
                self.has_failed && now.saturating_sub(since) >= LONG
            }
        }
    }

    fn has_failed_with(&self, batch: &Batch, index: WorkIndex) -> bool {
        batch.work(index).is_some_and(|work| self.failed.contains(&work.item.id))
    }

    fn age(&self, batch: &Batch, index: WorkIndex) -> Option<usize> {
        let id = &batch.work(index)?.item.id;
        self.failed.iter().position(|failed| failed == id)
    }
}
