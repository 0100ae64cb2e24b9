//! Changes of the control item: read, change, write; repeated if another process was quicker, and each change at most
//! once.
//!
//! A response may be lost after the write has happened. Then the SDK of a remote ledger sends the write again, and the
//! item refuses it because of the first one; or the ledger fails. Neither says whether the change is there. Therefore
//! each change notes a nonce in the item ([`RecentChanges`]), and a writer without a clear response reads the item
//! again:
//!
//! ```text
//! write --> yes ---------------------------------------------> written
//!   ^  `--> refused, failed --> read --> our nonce is there --> written
//!   |                            |  `--> it cannot be read ---> failed: nobody knows
//!   +---- change what was read <-+ our nonce is not there
//! ```
//!
//! All writes of one change carry the same nonce. A write that failed may still arrive late, but only while the version
//! is the one that it was made for. If it does, the next write of the change is refused, and its reader finds the
//! nonce.
//!
//! A change is applied twice only if [`MOST_RECENT_CHANGES`] others are written between a write and the read after it.
//! If the change fails, each caller is on the safe side, as long as it does not apply the same change again:
//!
//! | caller | after a failure |
//! | --- | --- |
//! | a share of the quota, or of the dead letters that an operator allows, is set aside | the share is not used: it may count as spent |
//! | what is left of a share is given back | the rest counts as spent |
//! | requests without a quota are counted | the count may be wrong by one call: nothing depends on it |
//! | the limiter's breaker is noted, a person is called for | the same state is written again with the next batch |
//! | an operator pauses, resumes or grants dead letters | the command fails, and the operator repeats it: it sets a state |
//! | the governor changes the mapping | the mapping is left alone; the next batch or tick decides anew |
//!
//! [`RecentChanges`]: crate::control::item::RecentChanges
//! [`MOST_RECENT_CHANGES`]: crate::control::item::MOST_RECENT_CHANGES

use super::{Control, Ledger, LedgerError};
use crate::control::item::ChangeNonce;
use crate::random::RandomSource;

/// How often one change is written while others are quicker.
const MOST_WRITES: u32 = 100;
/// How often one change is written again after the ledger failed.
const MOST_FAILURES: u32 = 1;

/// Change a provider's control item; repeated if another process was quicker. `change` returns whether there is
/// something to write. Returns the item before the change.
///
/// # Errors
/// If the ledger fails and cannot say whether the change was written, or if others are quicker all the time. Then do
/// not apply the same change again unless it sets a state.
///
/// # Examples
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use damper_core::ledger::{Ledger, change_control};
/// # let ledger = damper_core::testing::memory::MemoryLedger::new();
/// let before = change_control(&ledger, "demo", |control| {
///     let is_new = control.dead_letters_allowed != 10;
///     control.dead_letters_allowed = 10;
///     is_new // whether there is something to write
/// })
/// .await?;
/// assert_eq!((before.version, before.dead_letters_allowed), (0, 0));
///
/// // Each write raises the version, so that a concurrent change cannot be lost.
/// let after = ledger.control("demo").await?;
/// assert_eq!((after.version, after.dead_letters_allowed), (1, 10));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
pub async fn change_control(
    ledger: &dyn Ledger,
    provider: &str,
    mut change: impl FnMut(&mut Control) -> bool + Send,
) -> Result<Control, LedgerError> {
    let mut writer = ControlChange::new(ledger, provider, ChangeNonce::generate(&RandomSource::System));
    let mut before = ledger.control(provider).await?;
    loop {
        let mut control = before.clone();
        if !change(&mut control) {
            return Ok(before);
        }
        match writer.write(control).await? {
            WriteResult::Written(_) => return Ok(before),
            WriteResult::Refused(there) => before = there,
        }
    }
}

/// One change of a control item on its way into the ledger.
pub(crate) struct ControlChange<'a> {
    ledger: &'a dyn Ledger,
    provider: &'a str,
    nonce: ChangeNonce,
    writes: u32,
    failures: u32,
}

/// How a write went.
#[derive(Debug, PartialEq)]
pub(crate) enum WriteResult {
    /// The change is in the ledger; the item as it lies there.
    Written(Control),
    /// It is not; the item as it lies there instead.
    Refused(Control),
}

impl<'a> ControlChange<'a> {
    /// A change that no other has the `nonce` of.
    pub(crate) fn new(ledger: &'a dyn Ledger, provider: &'a str, nonce: ChangeNonce) -> Self {
        Self { ledger, provider, nonce, writes: 0, failures: 0 }
    }

    /// Write the changed item. If that is refused, change the item that was read, and `write` it again.
    pub(crate) async fn write(&mut self, mut changed: Control) -> Result<WriteResult, LedgerError> {
        changed.recent_changes.note(self.nonce.clone());
        self.writes += 1;
        let failure = match self.ledger.update_control(self.provider, &changed).await {
            Ok(true) => {
                let version = changed.version.saturating_add(1);
                return Ok(WriteResult::Written(Control { version, ..changed }));
            }
            Ok(false) => None,
            Err(error) => Some(error),
        };
        let there = match (self.ledger.control(self.provider).await, failure) {
            (Ok(there), _) if there.recent_changes.contains(&self.nonce) => return Ok(WriteResult::Written(there)),
            (Ok(there), None) => there,
            (Ok(there), Some(_)) if self.failures < MOST_FAILURES => {
                self.failures += 1;
                there
            }
            (Err(error), None) | (_, Some(error)) => return Err(error),
        };
        if self.writes >= MOST_WRITES {
            let message = "other processes keep changing it: try again later".to_owned();
            return Err(LedgerError::Failed { action: "change the control item", message });
        }
        Ok(WriteResult::Refused(there))
    }
}

#[cfg(test)]
pub(crate) mod tests;
