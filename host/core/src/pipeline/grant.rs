//! The dead letters that an operator allows: kept in the control item, and taken out of it a share at a time, as the
//! quota is.
//!
//! ```text
//!              take: at most a share, when an item is about to die          one a dead letter
//!   ALLOWED ---------------------------------------------------> SHARE ----------------------> USED
//!      ^                                                           |
//!      +-----------------------------------------------------------+
//!           give back, at the end of the call: what was not used
//! ```
//!
//! Therefore no two processes use the same part of a grant, and no more items become dead letters without an alarm than
//! were granted. A crash loses a share. An operator's new grant replaces what is left of the earlier one; shares of
//! that are void as soon as their process takes one of the new grant, and are not given back.

use crate::control::failure_monitor::{GRANT_SHARE, GrantShare, MonitorVerdict, OutcomeClass};
use crate::control::item::Control;
use crate::ledger::LedgerError;
use crate::pipeline::provider::Pipeline;

impl Pipeline {
    /// Record an outcome in the failure monitor. A would-be dead letter takes a share of what an operator allows, where
    /// there is any.
    pub(crate) async fn record_outcome(&self, class: OutcomeClass) -> Result<MonitorVerdict, LedgerError> {
        if !matches!(class, OutcomeClass::DeadLetter(_)) {
            return Ok(self.failure_monitor().record(class));
        }
        // One at a time: each would take a share of its own.
        let _taking = self.taking_grant.lock().await;
        if self.failure_monitor().allowance() == 0 {
            self.take_share().await?;
        }
        Ok(self.failure_monitor().record(class))
    }

    async fn take_share(&self) -> Result<(), LedgerError> {
        let known = self.cached_control().map_or(0, |control| control.dead_letters_allowed);
        let is_near_alarm = self.failure_monitor().is_near_alarm();
        if known == 0 && !is_near_alarm {
            return Ok(());
        }
        // An operator may have allowed some since the item was read.
        if known == 0 && self.control().await?.dead_letters_allowed == 0 {
            return Ok(());
        }
        let mut share = GrantShare::default();
        self.change_control(|control| {
            let dead_letters = control.dead_letters_allowed.min(GRANT_SHARE);
            share = GrantShare { grant: control.dead_letters_grant, dead_letters };
            control.dead_letters_allowed -= dead_letters;
            dead_letters > 0
        })
        .await?;
        if share.dead_letters > 0 {
            self.failure_monitor().allow(share);
        }
        Ok(())
    }
}

/// Give back the unused part of a share, unless it is of an earlier grant.
pub(crate) fn give_back(share: GrantShare, control: &mut Control) {
    if share.grant == control.dead_letters_grant {
        control.dead_letters_allowed = control.dead_letters_allowed.saturating_add(share.dead_letters);
    }
}
