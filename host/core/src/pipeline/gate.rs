//! Gates: whether the provider may be called now, by the control item, its window and its quota.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::control::governor::{BlockReason, block_reason};
use crate::control::item::{Control, Disabled, OpenedBy};
use crate::manifest::Manifest;
use crate::pipeline::provider::Pipeline;
use crate::pipeline::report::Stopped;

/// A gate that is closed: nothing is claimed, nothing counts as an attempt.
pub(super) struct Gate {
    pub(super) why: Stopped,
    /// When it opens, if that is known.
    pub(super) opens: Option<Instant>,
}

impl Pipeline {
    /// Why the API must not be called at present.
    #[must_use]
    pub fn block_reason(&self, control: &Control) -> Option<BlockReason> {
        let Manifest { window, limits, .. } = &self.manifest;
        block_reason(control, window, limits.daily_quota, self.stores.clock.now())
    }

    /// The closed gate that stops the provider now, if any.
    pub(super) fn gate(&self, control: &Control) -> Option<Gate> {
        // The mapping is off because of the API: a batch that arrives all the same is not processed, and a tick decides
        // when to try again.
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
}
