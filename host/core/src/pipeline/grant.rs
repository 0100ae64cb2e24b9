//! The dead letters that an operator allows: kept in the control item, and taken out of it a share at a time, as the quota is.
//!
//! ```text
//!              take: at most a share, when an item is about to die          one a dead letter
//!   ALLOWED ---------------------------------------------------> SHARE ----------------------> USED
//!      ^                                                           |
//!      +-----------------------------------------------------------+
//!           give back, at the end of the call: what was not used
//! ```
//!
//! So no two processes use the same part of a grant, and never more than was granted die unseen. A crash loses a share. An operator's
//! new grant replaces what is left of the earlier one; shares of that are void as soon as their process takes one of the new grant,
//! and are not given back.

use crate::control::brake::{GRANT_SHARE, GrantShare, Heard, Sign};
use crate::control::item::Control;
use crate::ledger::LedgerError;
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Tell the brake of an end. A would-be dead letter takes a share of what an operator allows, where there is any.
    pub(crate) async fn hear(&self, sign: Sign) -> Result<Heard, LedgerError> {
        if !matches!(sign, Sign::WouldDie(_)) {
            return Ok(self.brake().saw(sign));
        }
        // One at a time: each would take a share of its own.
        let _taking = self.taking_grant.lock().await;
        if self.brake().allowed() == 0 {
            self.take_share().await?;
        }
        Ok(self.brake().saw(sign))
    }

    async fn take_share(&self) -> Result<(), LedgerError> {
        let known = self.control_seen().map_or(0, |control| control.dead_letters_allowed);
        let is_at_the_limit = self.brake().is_at_the_limit();
        if known == 0 && !is_at_the_limit {
            return Ok(());
        }
        // An operator may have allowed some since the item was read.
        if known == 0 && self.control().await?.dead_letters_allowed == 0 {
            return Ok(());
        }
        let mut share = GrantShare::default();
        self.change_control(|control| {
            let deaths = control.dead_letters_allowed.min(GRANT_SHARE);
            share = GrantShare { grant: control.dead_letters_grant, deaths };
            control.dead_letters_allowed -= deaths;
            deaths > 0
        })
        .await?;
        if share.deaths > 0 {
            self.brake().allow(share);
        }
        Ok(())
    }
}

/// Give back what was not used of a share, unless it is of an earlier grant.
pub(crate) fn give_back(share: GrantShare, control: &mut Control) {
    if share.grant == control.dead_letters_grant {
        control.dead_letters_allowed = control.dead_letters_allowed.saturating_add(share.deaths);
    }
}
