//! The slow loop: how many entries the mapping feeds at a time, and whether it feeds at all.
//!
//! ```text
//!                  window closed, quota spent, a long Retry-After, stopped by hand or by `config`: at once
//!                  API down for 15 min
//!      FEEDING ------------------------------------------------------------------------------> OFF (who, until)
//!       ^   ^                                                                                    |
//!       |   |   its time has come (window, quota, Retry-After): with the last good batch         |
//!       |   +------------------------------------------------------------------------------------+
//!       |                                                                                        |
//!       |  the breaker closed:                  a tick, where the API was down:                  |
//!       |  the last good batch in one step      a small batch, twice as large each time          |
//!       +--------------------------- PROBING <---------------------------------------------------+
//! ```
//!
//! While it feeds, the batch follows the rate: as many entries as are fetched in [`TARGET`], changed only where the difference is
//! worth a change. A tick never enables a mapping that an operator disabled (here or at the mapping itself).
//!
//! Pure: the mapping's actual state and the time are passed in, a change comes out. The limiter's decisions, fetch by fetch,
//! are not here, and neither is the breaker: its truth is the control item.

mod forecast;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use crate::control::item::{Control, OpenedBy, ProviderStop};
use crate::control::window::Window;
use crate::mapping::{MappingChange, MappingState};

pub use forecast::{Forecast, forecast};
pub use state::{Disabled, Governor, Notes, Pending, Seen};

/// How long a batch should take: its end is a barrier, at which the slowest fetch is waited for by all slots.
pub const TARGET: Duration = Duration::from_secs(600);
/// The default of `[mapping] tick` in damper.toml, the interval of the ticks of `damper run`.
/// In AWS the stack's schedule invokes the ticks.
pub const TICK: Duration = Duration::from_secs(600);
/// How long the API is probed inside invocations before the mapping is disabled, and how long a wait must be to disable it.
pub const LONG: Duration = Duration::from_secs(15 * 60);
/// The least time between two changes of the batch size.
const LEAST_BETWEEN: Duration = Duration::from_secs(120);
/// The least relative change of the batch size that is worth one.
const LEAST_CHANGE: f64 = 0.3;
/// The least batch, where the manifest allows one as large.
const LEAST_BATCH: f64 = 10.0;
/// The time after which a requested change that does not appear counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(300);
/// How often to read a mapping that is off, or whose change is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How much the latest invocation weighs in the averages.
const WEIGHT: f64 = 0.5;

/// Why a provider's API must not be called at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockReason {
    /// An operator stopped the provider.
    Operator,
    /// A fault that only an operator can fix.
    Config,
    /// The API has been failing since then.
    ApiDown {
        /// Since when.
        since: Timestamp,
    },
    /// The window is closed.
    Window {
        /// When it opens; `None`: never.
        until: Option<Timestamp>,
    },
    /// The day's quota is spent.
    Quota {
        /// When the next day begins.
        until: Timestamp,
    },
    /// The API sent Retry-After.
    RetryAfter {
        /// Until when.
        until: Timestamp,
    },
}

/// Why an API must not be called at `now`, by its control item, its window and its quota of requests a day.
#[must_use]
pub fn block_reason(control: &Control, window: &Window, quota: Option<u64>, now: Timestamp) -> Option<BlockReason> {
    match control.breaker {
        ProviderStop::Open { by: OpenedBy::Operator, .. } => return Some(BlockReason::Operator),
        ProviderStop::Open { by: OpenedBy::Config, .. } => return Some(BlockReason::Config),
        ProviderStop::Open { .. } | ProviderStop::Closed => {}
    }
    if !window.is_open(now) {
        return Some(BlockReason::Window { until: window.opens_at(now) });
    }
    if control.usage.remaining(window.day(now), quota) == Some(0) {
        return Some(BlockReason::Quota { until: window.day_ends(now) });
    }
    let gate = control.limiter.as_ref().and_then(|saved| saved.gate(now));
    match (&control.breaker, gate) {
        (ProviderStop::Open { since, .. }, _) => Some(BlockReason::ApiDown { since: *since }),
        (ProviderStop::Closed, Some(until)) => Some(BlockReason::RetryAfter { until }),
        (ProviderStop::Closed, None) => None,
    }
}

/// The results of an invocation that matter for the batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Invocation {
    /// Records that came.
    pub ok: u64,
    /// From the first to the last start of a fetch.
    pub launching: Duration,
    /// From the last start of a fetch to the end.
    pub tail: Duration,
}

/// Between what the batch size moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The limiter's limit: four batches' worth of it in flight keeps its barrier cheap.
    pub limit: u32,
    /// The manifest's largest batch.
    pub max_batch: u32,
}

impl Bounds {
    /// The batch size nearest to `entries`: at least 10 and four times the limit, at most the manifest's.
    fn batch(self, entries: f64) -> u32 {
        let least = (4.0 * f64::from(self.limit)).max(LEAST_BATCH);
        entries.max(least).round().clamp(1.0, f64::from(self.max_batch.max(1))) as u32
    }
}

impl Governor {
    /// An invocation has ended. Returns the change to make at the mapping, which was read as `mapping`; the caller reports a
    /// change that was made with [`Governor::record_change`].
    pub fn on_invocation_done(
        &mut self,
        now: Timestamp,
        invocation: Option<Invocation>,
        bounds: Bounds,
        block_reason: Option<BlockReason>,
        mapping: MappingState,
    ) -> Option<MappingChange> {
        if let Some(invocation) = invocation {
            self.learn(invocation);
        }
        self.look(now, mapping);
        if self.is_changing(mapping) || !mapping.enabled {
            return None;
        }
        if let Some(disabled) = block_reason.and_then(|block_reason| off(now, block_reason)) {
            return Some(self.disable(disabled));
        }
        if block_reason.is_none() { self.resize(now, bounds, mapping) } else { None }
    }

    /// A scheduled tick: the mapping is off, or no invocation may come for long.
    pub fn tick(
        &mut self,
        now: Timestamp,
        bounds: Bounds,
        block_reason: Option<BlockReason>,
        mapping: MappingState,
    ) -> Option<MappingChange> {
        self.look(now, mapping);
        if self.is_changing(mapping) {
            return None;
        }
        let off = block_reason.and_then(|block_reason| off(now, block_reason));
        if mapping.enabled {
            // While batches come, the invocations themselves find out about the API.
            return off.filter(|off| off.by != OpenedBy::Breaker).map(|off| self.disable(off));
        }
        let disabled = self.disabled.clone()?;
        match (disabled.by, off) {
            (OpenedBy::Operator | OpenedBy::Config, _) => None,
            // Nobody calls the API while the mapping is off: only a try can tell whether it is back.
            (_, None) | (OpenedBy::Breaker, Some(Disabled { by: OpenedBy::Breaker, .. })) => {
                Some(self.enable(disabled.by, bounds, mapping))
            }
            (_, Some(off)) => {
                self.disabled = Some(off);
                None
            }
        }
    }

    /// An operator lets the provider go on: feed again, with the last good batch, unless it is a window or a quota that is in
    /// the way.
    pub fn resume(&mut self, mapping: MappingState) -> Option<MappingChange> {
        let by = self.disabled.as_ref().map(|disabled| disabled.by);
        if matches!(by, Some(OpenedBy::Window | OpenedBy::Quota)) {
            return None;
        }
        self.disabled = None;
        self.tries = 0;
        (!mapping.enabled).then_some(MappingChange { batch_size: self.good_batch, enabled: Some(true) })
    }

    /// The provider was stopped until it is resumed: by an operator, or by a fault that only an operator can fix.
    pub fn pause(&mut self, now: Timestamp, by: OpenedBy, mapping: MappingState) -> Option<MappingChange> {
        let change = self.disable(Disabled { by, since: now, until: None });
        mapping.enabled.then_some(change)
    }

    /// The stored notes on the mapping and on changes of it. A reading of the mapping that was made under other notes is stale:
    /// another process has decided since, and perhaps changed the mapping.
    #[must_use]
    pub fn notes(&self) -> Notes {
        Notes { disabled: self.disabled.clone(), pending: self.pending.clone() }
    }

    /// A change was asked for at the mapping. `decided`: why it was disabled, or was to be, when that was decided. Nothing is noted of an
    /// enabling after which others have decided to disable it again.
    pub fn record_change(&mut self, now: Timestamp, change: MappingChange, decided: Option<Disabled>) {
        let is_newer = |known: &Disabled| decided.as_ref().is_none_or(|decided| known.since > decided.since);
        if change.enabled == Some(true) && self.disabled.as_ref().is_some_and(is_newer) {
            return;
        }
        if change.batch_size.is_some() {
            self.resized_at = Some(now);
        }
        match change.enabled {
            // Not before it was asked for: a mapping that is off without a noted reason counts as disabled by an operator.
            Some(true) => self.disabled = None,
            // Others may have noticed meanwhile that it was not done, or that it was done and not noted.
            Some(false) => self.remind_of(decided),
            None => {}
        }
        self.pending = Some(Pending { at: now, batch_size: change.batch_size, enabled: change.enabled });
    }

    /// Note again why the mapping was disabled, unless there was a reason before. Should an operator have stopped the provider meanwhile,
    /// the breaker says so, and the next tick notes that.
    fn remind_of(&mut self, decided: Option<Disabled>) {
        let Some(decided) = decided else { return };
        let is_newer = |known: &Disabled| known.by == OpenedBy::Operator && known.since >= decided.since;
        if self.disabled.as_ref().is_none_or(is_newer) {
            self.disabled = Some(decided);
        }
    }

    /// The mapping was read.
    pub fn record_mapping(&mut self, now: Timestamp, mapping: MappingState) {
        let MappingState { batch_size, enabled, .. } = mapping;
        self.seen = Some(Seen { at: now, batch_size, enabled });
    }

    /// The assumed state of the mapping, without reading it: a read is a call of a control plane that all providers share, and
    /// while batches come nobody else changes the mapping. `None`: it has to be read.
    #[must_use]
    pub fn assumed_mapping(&self, now: Timestamp) -> Option<MappingState> {
        let Seen { at, batch_size, enabled } = *self.seen.as_ref()?;
        let pending = self.pending.is_some();
        // A reading from the future was made before the clock was set back; its age is unknown.
        let is_fresh = at <= now && time_between(at, now) < LOOK_AGAIN;
        // A mapping that fed batches before it was decided to disable it may be off by now.
        let is_fed = enabled && !pending && self.disabled.is_none();
        (is_fresh || is_fed).then_some(MappingState { batch_size, enabled, pending })
    }

    /// Update the notes from the current mapping; another process may have changed it.
    fn look(&mut self, now: Timestamp, mapping: MappingState) {
        // After the clock was set back, waits begin anew.
        self.resized_at = self.resized_at.map(|at| at.min(now));
        if let Some(disabled) = &mut self.disabled {
            disabled.since = disabled.since.min(now);
        }
        if let Some(pending) = &mut self.pending {
            pending.at = pending.at.min(now);
        }
        if let Some(pending) = &self.pending {
            let is_there = pending.enabled.is_none_or(|enabled| enabled == mapping.enabled)
                && pending.batch_size.is_none_or(|size| size == mapping.batch_size);
            let is_lost = !mapping.pending && time_between(pending.at, now) >= LOST_AFTER;
            if !is_there && !is_lost {
                return;
            }
            self.pending = None;
        }
        // A change is pending that is not noted: the process that asked for it died, or missed the response. The decision stands
        // until the mapping shows whether the change was made.
        if mapping.pending {
            return;
        }
        match (&self.disabled, mapping.enabled) {
            (None, false) => {
                self.disabled = Some(Disabled { by: OpenedBy::Operator, since: now, until: None });
            }
            // A decision of a moment ago may not be applied yet, or the mapping was read before it was. If the decision were
            // removed, the reason why the mapping is off would be lost.
            (Some(disabled), true) if time_between(disabled.since, now) >= LOST_AFTER => self.disabled = None,
            _ => {}
        }
    }

    /// Whether a change is under way; a second one would be refused, or undo it.
    fn is_changing(&self, mapping: MappingState) -> bool {
        mapping.pending || self.pending.is_some()
    }

    fn learn(&mut self, Invocation { ok, launching, tail }: Invocation) {
        let average = |old: Option<f64>, new: f64| old.map_or(new, |old| old + WEIGHT * (new - old));
        self.tail_seconds = Some(average(self.tail_seconds, tail.as_secs_f64()));
        // If all fetches were started at once, only the responses show the rate.
        let seconds = launching.max((launching + tail) / 2).as_secs_f64();
        if ok > 0 && seconds > 0.0 {
            self.rate = Some(average(self.rate, ok as f64 / seconds));
        }
    }

    fn resize(&mut self, now: Timestamp, bounds: Bounds, mapping: MappingState) -> Option<MappingChange> {
        if std::mem::take(&mut self.tries) > 0
            && let Some(good) = self.good_batch.filter(|good| *good > mapping.batch_size)
        {
            return Some(MappingChange { batch_size: Some(good), enabled: None });
        }
        let wanted = self.target_batch_size(bounds)?;
        let change = (f64::from(wanted) / f64::from(mapping.batch_size.max(1)) - 1.0).abs();
        let is_early = self.resized_at.is_some_and(|at| time_between(at, now) < LEAST_BETWEEN);
        if change <= LEAST_CHANGE || is_early {
            return None;
        }
        self.good_batch = Some(wanted);
        Some(MappingChange { batch_size: Some(wanted), enabled: None })
    }

    /// `clamp(max(rate * T, 4 L, 10), 1, max_batch)`.
    fn target_batch_size(&self, bounds: Bounds) -> Option<u32> {
        Some(bounds.batch(self.rate? * TARGET.as_secs_f64()))
    }

    fn disable(&mut self, disabled: Disabled) -> MappingChange {
        self.disabled = Some(disabled);
        MappingChange { batch_size: None, enabled: Some(false) }
    }

    fn enable(&mut self, was: OpenedBy, bounds: Bounds, mapping: MappingState) -> MappingChange {
        let batch_size = if was == OpenedBy::Breaker {
            let good = *self.good_batch.get_or_insert(mapping.batch_size);
            // A batch holds what has ended since its first entry too. It grows, so that in the end there is an item in it that
            // has not failed yet: else a poison record at its head would be all that is ever tried.
            let grown = f64::from(bounds.batch(0.0)) * 2_f64.powi(self.tries.min(16).cast_signed());
            self.tries = self.tries.saturating_add(1);
            Some(bounds.batch(grown.min(f64::from(good))))
        } else {
            self.good_batch
        };
        let batch_size = batch_size.filter(|size| *size != mapping.batch_size);
        MappingChange { batch_size, enabled: Some(true) }
    }
}

/// Whether an obstacle is worth disabling the mapping for, and until when.
fn off(now: Timestamp, block_reason: BlockReason) -> Option<Disabled> {
    let (by, until) = match block_reason {
        BlockReason::Operator => (OpenedBy::Operator, None),
        BlockReason::Config => (OpenedBy::Config, None),
        BlockReason::ApiDown { since } if time_between(since, now) >= LONG => (OpenedBy::Breaker, None),
        BlockReason::Window { until } => (OpenedBy::Window, until),
        BlockReason::Quota { until } => (OpenedBy::Quota, Some(until)),
        BlockReason::RetryAfter { until } if time_between(now, until) >= LONG => (OpenedBy::RetryAfter, Some(until)),
        BlockReason::ApiDown { .. } | BlockReason::RetryAfter { .. } => return None,
    };
    Some(Disabled { by, since: now, until })
}

/// The time between both; zero if `later` is earlier.
fn time_between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}
