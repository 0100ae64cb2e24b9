//! The last step of a call: the learned state is saved in the control item, and the governor decides about the mapping.
//!
//! A scheduled tick takes the same decision if no batch comes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::control::admission::BreakerStatus;
use crate::control::governor::{Bounds, Invocation, Notes};
use crate::control::item::{Control, Disabled, OpenedBy, ProviderStop, SavedLimiter};
use crate::ledger::LedgerError;
use crate::mapping::{MappingChange, MappingError, MappingState};
use crate::pipeline::capacity::Unspent;
use crate::pipeline::control_cache::{WritePolicy, may_wait};
use crate::pipeline::grant;
use crate::pipeline::parking::ParkedChange;
use crate::pipeline::provider::Pipeline;
use crate::pipeline::redelivery::Redelivery;

/// How long the mapping is handled at the end of a call: a part of the time that is reserved for that end, since the
/// deadline may be near. Without it a control plane that throttles would be called until the call is killed.
const SEEN_TO_FOR: Duration = Duration::from_secs(3);
/// How long a reading of the mapping is usable.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// The results of a call that are saved.
#[derive(Debug, Clone)]
pub(crate) struct BatchFeedback {
    /// For the governor.
    pub(crate) invocation: Option<Invocation>,
    /// Of the quota.
    pub(crate) unspent: Unspent,
    /// The ids with which the API was tried and failed while the breaker was not closed.
    pub(crate) probed: Vec<String>,
    /// For the batch's next delivery.
    pub(crate) redelivery: Redelivery,
    /// The entries that were parked and unparked.
    pub(crate) parked: ParkedChange,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decided {
    /// Nothing was decided or written: the mapping has to be read first, or again. With what is noted of it.
    Unread(Notes),
    /// The mapping stays as it is.
    Nothing,
    /// It is to be changed; and why it is disabled, or is to be.
    Change(MappingChange, Option<Disabled>),
}

/// Why the mapping could not be adapted.
#[derive(Debug, thiserror::Error)]
pub enum AdaptError {
    /// The control item was not read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The mapping was not read or changed.
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

/// Why the mapping stayed as it was.
enum GovernError {
    /// The control item was not read or written.
    Ledger(LedgerError),
    /// Nothing was decided or saved: the mapping was not read.
    Unread(MappingError),
    /// The decision is saved, but was not applied.
    Undone(MappingError),
}

/// The mapping, as it was read.
#[derive(Debug, Clone)]
struct MappingReading {
    /// When it was asked for.
    at: Instant,
    /// The notes on the mapping before the reading.
    notes: Notes,
    state: MappingState,
}

impl MappingReading {
    /// The reading, if it is usable: not if others have decided since, nor if it is old, because this process may have
    /// been frozen meanwhile.
    fn usable(&self, control: &Control) -> Option<MappingState> {
        (self.is_fresh() && self.notes == control.governor.notes()).then_some(self.state)
    }

    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH_FOR
    }
}

impl From<LedgerError> for GovernError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<GovernError> for AdaptError {
    fn from(error: GovernError) -> Self {
        match error {
            GovernError::Ledger(error) => error.into(),
            GovernError::Unread(error) | GovernError::Undone(error) => error.into(),
        }
    }
}

impl Pipeline {
    /// A scheduled tick: decide whether the mapping is to be enabled or disabled. Returns the change that was made.
    ///
    /// # Errors
    /// If the control item or the mapping cannot be read or changed; the next tick tries again.
    pub async fn tick(&self) -> Result<Option<MappingChange>, AdaptError> {
        let now = self.stores.clock.now();
        // Nothing was read for the tick's own sake yet.
        self.control().await?;
        let governed = self
            .govern(None, 0, |control, mapping| {
                control.usage.turn_back(self.today(), self.manifest.limits.daily_quota);
                let (bounds, block_reason) = (self.bounds(control), self.block_reason(control));
                control.governor.tick(now, bounds, block_reason, mapping)
            })
            .await;
        Ok(governed?)
    }

    /// Save the learned state of a call, and let the governor decide.
    pub(crate) async fn adapt(&self, feedback: BatchFeedback) -> Result<(), AdaptError> {
        let now = self.stores.clock.now();
        let (saved, unused, today) = (self.save_limiter(now), self.failure_monitor().take_allowance(), self.today());
        let keep = |control: &mut Control| {
            if let Some(saved) = saved.clone() {
                control.limiter = Some(saved.after(control.limiter.take()));
            }
            grant::give_back(unused, control);
            control.component = Some(self.running_component());
            control.probed.clone_from(&feedback.probed);
            feedback.redelivery.note(control);
            feedback.parked.note(control);
            let Unspent { day, requests, uncounted } = feedback.unspent;
            control.usage.turn_back(today, self.manifest.limits.daily_quota);
            control.usage.give_back(day.unwrap_or(today), requests);
            control.usage.reserve(today, uncounted, None);
        };
        let until = Instant::now() + SEEN_TO_FOR;
        let governed = self
            .govern(Some(until), feedback.unspent.uncounted, |control, mapping| {
                keep(control);
                let (bounds, block_reason) = (self.bounds(control), self.block_reason(control));
                control.governor.on_invocation_done(now, feedback.invocation, bounds, block_reason, mapping)
            })
            .await;
        // The learned state is saved, once, whether or not the mapping can be reached.
        match governed {
            Ok(_) => Ok(()),
            Err(GovernError::Ledger(error)) => Err(error.into()),
            Err(GovernError::Undone(error)) => {
                tracing::warn!(provider = self.manifest.name, %error, "the mapping was not changed; the next batch or tick tries again");
                Ok(())
            }
            Err(GovernError::Unread(error)) => {
                tracing::warn!(provider = self.manifest.name, %error, "the mapping was not read, so it stays as it is; the next batch or tick tries again");
                let kept = |control: &mut Control| {
                    keep(control);
                    true
                };
                Ok(self.change_control(kept).await?)
            }
        }
    }

    /// The limiter's breaker has opened or closed.
    pub(crate) async fn note_breaker(&self, breaker: BreakerStatus, failure: Option<&str>) -> Result<(), LedgerError> {
        let since = match breaker {
            BreakerStatus::Closed => None,
            BreakerStatus::Open { since, .. } | BreakerStatus::HalfOpen { since } => Some(self.timestamp(since)),
        };
        match since {
            Some(since) => {
                tracing::warn!(provider = self.manifest.name, %since, failure, "the breaker opens: the API fails")
            }
            None => {
                tracing::info!(provider = self.manifest.name, "the breaker closes: the API works again");
                // The failures of the outage say nothing of the items that fail from now on.
                self.failure_monitor().reset();
            }
        }
        self.change_control(|control| {
            let ours =
                matches!(control.breaker, ProviderStop::Closed | ProviderStop::Open { by: OpenedBy::Breaker, .. });
            if ours {
                control.breaker = since.map_or(ProviderStop::Closed, |since| ProviderStop::Open {
                    since,
                    by: OpenedBy::Breaker,
                    reason: format!("the API fails; the last failure: {}", failure.unwrap_or("unknown")),
                });
            }
            ours
        })
        .await
    }

    /// Decide, and change the mapping. It is read only if a change is wanted or its state is unknown. `until`: the
    /// deadline. `uncounted`: requests that the decision adds to those of the day.
    async fn govern(
        &self,
        until: Option<Instant>,
        uncounted: u64,
        mut decide: impl FnMut(&mut Control, MappingState) -> Option<MappingChange> + Send,
    ) -> Result<Option<MappingChange>, GovernError> {
        let provider = &self.manifest.name;
        let now = self.stores.clock.now();
        let mut read = None;
        loop {
            let (change, why) = match self.decide(now, read.as_ref(), uncounted, &mut decide).await? {
                Decided::Unread(notes) => {
                    let at = Instant::now();
                    let state = self.in_time(until, self.stores.mapping.read(provider)).await;
                    read = Some(MappingReading { at, notes, state: state.map_err(GovernError::Unread)? });
                    continue;
                }
                Decided::Nothing => return Ok(None),
                Decided::Change(change, why) => (change, why),
            };
            if !read.as_ref().is_some_and(MappingReading::is_fresh) {
                let message = "the decision took too long, and the mapping may have changed meanwhile; the next batch or tick decides again";
                let error = MappingError::Failed { provider: provider.clone(), message: message.to_owned() };
                return Err(GovernError::Undone(error));
            }
            let applied = self.in_time(until, self.stores.mapping.apply(provider, change)).await;
            applied.map_err(GovernError::Undone)?;
            let now = self.stores.clock.now();
            self.change_control(|control| {
                control.governor.record_change(now, change, why.clone());
                true
            })
            .await?;
            tracing::info!(provider, ?change, before = ?read.map(|reading| reading.state), "the mapping was changed");
            return Ok(Some(change));
        }
    }

    /// Wait for a call of the mapping, until `until` at most.
    async fn in_time<T>(
        &self,
        until: Option<Instant>,
        asked: impl Future<Output = Result<T, MappingError>>,
    ) -> Result<T, MappingError> {
        let Some(until) = until else { return asked.await };
        timeout_at(until, asked).await.unwrap_or_else(|_| {
            let message = format!("it did not answer within {SEEN_TO_FOR:?}; the next batch or tick tries again");
            Err(MappingError::Failed { provider: self.manifest.name.clone(), message })
        })
    }

    /// Change the control item by a decision; repeated if another process was quicker. If the mapping was not `read`,
    /// its assumed state is used, and a decision to change it is only a reason to read it.
    async fn decide(
        &self,
        now: Timestamp,
        read: Option<&MappingReading>,
        uncounted: u64,
        decide: &mut (impl FnMut(&mut Control, MappingState) -> Option<MappingChange> + Send),
    ) -> Result<Decided, LedgerError> {
        let mut decided = Decided::Nothing;
        self.change_control_by_policy(|control| {
            let before = control.clone();
            decided = Decided::Unread(before.governor.notes());
            let mapping = match read {
                Some(reading) => reading.usable(control),
                None => control.governor.assumed_mapping(now),
            };
            let Some(mapping) = mapping else { return WritePolicy::Nothing };
            if read.is_some() {
                control.governor.record_mapping(now, mapping);
            }
            match decide(control, mapping) {
                Some(_) if read.is_none() => WritePolicy::Nothing,
                Some(change) => {
                    decided = Decided::Change(change, control.governor.disabled.clone());
                    WritePolicy::Now
                }
                None => {
                    decided = Decided::Nothing;
                    self.write_policy(&before, control, uncounted, now)
                }
            }
        })
        .await?;
        Ok(decided)
    }

    /// Whether the learned state is written now.
    fn write_policy(&self, before: &Control, after: &Control, uncounted: u64, now: Timestamp) -> WritePolicy {
        let interval = self.stores.ledger.write_interval();
        if self.control_cache().is_due(now, interval) {
            return WritePolicy::Now;
        }
        // Requests that are set aside of a quota concern all processes.
        let can_wait = !interval.is_zero() && self.manifest.limits.daily_quota.is_none();
        match before == after {
            true => WritePolicy::Nothing,
            false if can_wait && may_wait(before, after) => WritePolicy::Later { uncounted },
            false => WritePolicy::Now,
        }
    }

    fn bounds(&self, control: &Control) -> Bounds {
        let limit = control.limiter.as_ref().map_or_else(|| self.limiter_snapshot().limit, |saved| saved.limit);
        Bounds { limit, max_batch: self.manifest.pace.max_batch }
    }

    fn save_limiter(&self, now: Timestamp) -> Option<SavedLimiter> {
        let elapsed = self.limiter_now();
        let (state, snapshot) = {
            let limiter = self.limiter();
            (limiter.save()?, limiter.snapshot(elapsed))
        };
        *self.last_saved() = Some(now);
        let gate = snapshot.gate.map(|gate| self.timestamp(gate));
        Some(SavedLimiter { at: now, elapsed: Some(elapsed), limit: snapshot.limit, gate, state })
    }

    /// Load the limiter state of another process, if one has saved its own since this one did.
    pub(crate) fn recall(&self, control: &Control) {
        let Some(saved) = &control.limiter else { return };
        let mut known = self.last_saved();
        if *known != Some(saved.at) {
            *known = Some(saved.at);
            let rebase = saved.rebase(self.limiter_now(), self.stores.clock.now());
            if !self.limiter().load(&saved.state, &rebase) {
                tracing::warn!(
                    provider = self.manifest.name,
                    "the saved limiter state cannot be read; the limiter keeps its own"
                );
            }
        }
    }

    /// The limiter's time as a time of day.
    fn timestamp(&self, elapsed: Duration) -> Timestamp {
        self.limiter_time().wall(elapsed)
    }
}
