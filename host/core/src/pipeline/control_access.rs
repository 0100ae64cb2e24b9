//! The control item as a pipeline reads and changes it: through the cache, and again where another process was quicker.

use crate::control::item::{ChangeNonce, Control, ProviderStop};
use crate::ledger::{ControlChange, LedgerError, WriteResult};
use crate::pipeline::capacity::QuotaShare;
use crate::pipeline::control_cache::WritePolicy;
use crate::pipeline::provider::Pipeline;
use crate::pipeline::stores::Stores;

impl Pipeline {
    /// The control item, read now.
    pub(super) async fn control(&self) -> Result<Control, LedgerError> {
        let read = self.stores.ledger.control(&self.manifest.name).await?;
        Ok(self.control_cache().merge_read(read))
    }

    /// The control item as it was read or written last, with changes that are not written yet; `None`: neither has
    /// happened.
    #[must_use]
    pub fn cached_control(&self) -> Option<Control> {
        self.control_cache().last_seen()
    }

    /// Open the breaker for all processes, unless it is open already.
    pub(super) async fn open_breaker(&self, breaker: &ProviderStop) -> Result<(), LedgerError> {
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

    /// Change the control item; repeated if another process was quicker. `change` returns whether there is something to
    /// write.
    pub(super) async fn change_control(
        &self,
        mut change: impl FnMut(&mut Control) -> bool + Send,
    ) -> Result<(), LedgerError> {
        self.change_control_by_policy(|control| if change(control) { WritePolicy::Now } else { WritePolicy::Nothing })
            .await
    }

    /// The same, if the change may be one that waits. The first attempt uses the cached item, which the write then
    /// confirms; only a fresh read shows that there is nothing to write.
    pub(super) async fn change_control_by_policy(
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

    /// Set requests of the day's quota aside where few are left.
    pub(super) async fn refill_quota(&self, quota: &mut QuotaShare) -> Result<(), LedgerError> {
        let Some(mut reservation) = quota.next_reservation(&self.manifest.window, self.stores.clock.now()) else {
            return Ok(());
        };
        self.change_control(|control| reservation.take(control)).await?;
        quota.add(&reservation);
        Ok(())
    }

    fn new_change(&self) -> ControlChange<'_> {
        let Stores { ledger, random, .. } = &self.stores;
        ControlChange::new(&**ledger, &self.manifest.name, ChangeNonce::generate(random))
    }
}
