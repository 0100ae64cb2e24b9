//! An operator is needed: the provider is stopped for all processes, with the reason.

use crate::control::failure_monitor::Alarm;
use crate::control::item::{OpenedBy, ProviderStop};
use crate::dead_letter::Reason;
use crate::ledger::LedgerError;
use crate::pipeline::provider::Pipeline;

impl Pipeline {
    /// An operator is needed: stop the provider for all processes.
    pub(crate) async fn raise(&self, alarm: Alarm, failure: &str) -> Result<(), LedgerError> {
        let reason = match alarm {
            Alarm::Unauthorized => format!("the API refuses the credential: {failure}"),
            Alarm::Trapping => format!("the component traps: {failure}"),
            Alarm::Broken => format!("the component cannot run: {failure}"),
            Alarm::MassDeadLetters(reason) => {
                format!(
                    "ten or more of the last twenty items would become dead letters, {}; the last failure: {failure}",
                    mostly(reason)
                )
            }
        };
        tracing::error!(provider = self.manifest().name, reason, "the breaker opens: the provider needs an operator");
        self.open_breaker(&ProviderStop::Open { since: self.stores.clock.now(), by: OpenedBy::Config, reason }).await
    }
}

/// The most frequent cause of many dead letters, for people.
fn mostly(reason: Reason) -> &'static str {
    match reason {
        Reason::TooOld => {
            "most of them because they are too old (the clock is wrong, or the backlog has waited too long)"
        }
        Reason::Uncertain => "most of them because their workers crashed, and `on_lease_expiry` is \"park\"",
        Reason::NeverReady => "most of them because their records were not ready after `max_polls` polls",
        Reason::AttemptsSpent => "most of them because they have used up their attempts",
        Reason::NotFound => "most of them because the API has no such record",
        Reason::Rejected => "most of them because the API refuses the request",
        Reason::Unreadable => "most of them because their entries are malformed",
    }
}
