//! One of the provider's slots for an ad-hoc fetch, so that the hard cap holds beside a `damper run`.

use std::time::Duration;

use damper_core::ledger::{Ledger, Owner, SlotRequest};
use damper_core::manifest::Manifest;
use damper_local::{Database, SqliteLedger};
use tokio::time::sleep;

use crate::config::Config;
use crate::context::Context;
use crate::error::CliError;

/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// What clocks and answers may be late.
const MARGIN: Duration = Duration::from_secs(1);

/// A slot; none is needed where there is no database, for then nobody else fetches.
pub(super) struct Slot<'a> {
    ledger: Option<SqliteLedger>,
    context: &'a Context,
    manifest: &'a Manifest,
    owner: Owner,
}

impl<'a> Slot<'a> {
    /// Wait for a slot.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn acquire(
        context: &'a Context,
        config: &Config,
        manifest: &'a Manifest,
    ) -> Result<Self, CliError> {
        let database = config.database.exists().then(|| Database::open(&config.database)).transpose()?;
        let owner = Owner::unique(context.clock.now());
        let slot = Self { ledger: database.map(SqliteLedger::new), context, manifest, owner };
        let now = context.clock.now();
        if !manifest.window.is_open(now) {
            context.screen.warn(format!("the window of {} is closed now; this one fetch goes ahead", manifest.name));
        }
        let mut is_told = false;
        while !slot.ask(1).await? {
            if !is_told {
                context.screen.say(format!("waiting: all slots of {} are in use", manifest.name));
                is_told = true;
            }
            sleep(ASK_AGAIN).await;
        }
        Ok(slot)
    }

    /// Give the slot back, unless the API may still be working at a request: then it runs out by itself.
    pub(super) async fn give_back(&self, may_be_working: bool) {
        if !may_be_working && let Err(error) = self.ask(0).await {
            tracing::warn!(%error, "a slot was not given back; it runs out by itself");
        }
    }

    async fn ask(&self, want: u32) -> Result<bool, CliError> {
        let Some(ledger) = &self.ledger else { return Ok(true) };
        let limits = &self.manifest.limits;
        let now = self.context.clock.now();
        let counts_for = limits.fetch_timeout.saturating_mul(2).saturating_add(MARGIN);
        let request = SlotRequest {
            owner: &self.owner,
            want,
            cap: limits.max_concurrency.get(),
            now,
            until: now.saturating_add(counts_for).unwrap_or(now),
        };
        Ok(ledger.slots(&self.manifest.name, request).await? == want)
    }
}
