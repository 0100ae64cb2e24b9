//! One of the provider's slots for an ad-hoc fetch, and a part of the day's quota, so that both hold beside a `damper
//! run`.

use std::time::Duration;

use damper_config::Config;
use damper_core::budget::Budget;
use damper_core::clock::WallClock;
use damper_core::day::Day;
use damper_core::fetcher::Permits;
use damper_core::ledger::{Control, Ledger, Owner, SlotRequest, change_control};
use damper_core::manifest::Manifest;
use damper_local::{Database, SqliteLedger};
use tokio::time::{Instant, sleep};

use crate::error::RunError;

/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The most requests that one fetch sends of a quota: a guest that sends more is cut off.
const MOST_REQUESTS: u64 = 32;
/// The allowance for clock differences and slow answers.
const MARGIN: Duration = Duration::from_secs(1);

/// What an operator who waits for a slot should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotNotice {
    /// The window is closed; this one fetch goes ahead.
    WindowClosed,
    /// All slots are in use: the fetch waits.
    AllInUse,
}

/// A slot; none is needed where there is no database, for then nobody else fetches.
pub struct Slot<'a> {
    ledger: Option<SqliteLedger>,
    clock: &'a WallClock,
    manifest: &'a Manifest,
    owner: Owner,
    /// The part of the day's quota that may be sent, and the day.
    budget: Budget,
    day: Day,
}

impl<'a> Slot<'a> {
    /// Wait for a slot. It counts for long enough where the fetch starts at once. Each notice is given at most once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn acquire(
        config: &Config,
        clock: &'a WallClock,
        manifest: &'a Manifest,
        notify: impl Fn(SlotNotice),
    ) -> Result<Self, RunError> {
        let database = config.database.exists().then(|| Database::open(&config.database)).transpose()?;
        let now = clock.now();
        let owner = Owner::unique(now);
        let (ledger, day) = (database.map(SqliteLedger::new), manifest.window.day(now));
        let budget = set_aside(ledger.as_ref(), manifest, day, clock).await?;
        let slot = Self { ledger, clock, manifest, owner, budget, day };
        if !manifest.window.is_open(now) {
            notify(SlotNotice::WindowClosed);
        }
        let mut is_told = false;
        loop {
            let asked = Instant::now();
            let has_slot = slot.ask(1).await?;
            // It counts from when it was asked for; a database that others keep locked may answer late.
            if has_slot && asked.elapsed() < manifest.limits.fetch_timeout {
                return Ok(slot);
            }
            if !has_slot && !is_told {
                notify(SlotNotice::AllInUse);
                is_told = true;
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// The permits of the fetch: one request at a time, within the quota.
    #[must_use]
    pub fn permits(&self) -> Permits {
        Permits::within(0, self.budget.clone())
    }

    /// Give the slot back, and what was not sent of the quota, unless the API may still be working at a request: then
    /// it runs out by itself.
    pub async fn give_back(&self, may_be_working: bool) {
        if let (Some(ledger), Some(unspent)) = (&self.ledger, self.budget.close()) {
            let give_back = |control: &mut Control| {
                control.usage.give_back(self.day, unspent);
                true
            };
            if let Err(error) = change_control(ledger, &self.manifest.name, give_back).await {
                tracing::warn!(%error, "{unspent} unsent requests were not returned to the day's quota; they count as sent");
            }
        }
        if !may_be_working && let Err(error) = self.ask(0).await {
            tracing::warn!(%error, "the slot was not released; its lease expires");
        }
    }

    async fn ask(&self, want: u32) -> Result<bool, RunError> {
        let Some(ledger) = &self.ledger else { return Ok(true) };
        let limits = &self.manifest.limits;
        let now = self.clock.now();
        let counts_for = limits.fetch_timeout.saturating_mul(2).saturating_add(MARGIN);
        let request = SlotRequest {
            owner: &self.owner,
            want,
            in_use: 0,
            cap: limits.max_concurrency.get(),
            now,
            until: now.saturating_add(counts_for).unwrap_or(now),
        };
        Ok(ledger.slots(&self.manifest.name, request).await?.slots == want)
    }
}

/// Set as many requests aside as one fetch may need.
async fn set_aside(
    ledger: Option<&SqliteLedger>,
    manifest: &Manifest,
    day: Day,
    clock: &WallClock,
) -> Result<Budget, RunError> {
    let (Some(ledger), Some(quota)) = (ledger, manifest.limits.daily_quota) else { return Ok(Budget::unlimited()) };
    let mut granted = 0;
    let reserve = |control: &mut Control| {
        granted = control.usage.reserve(day, MOST_REQUESTS, Some(quota));
        granted > 0
    };
    change_control(ledger, &manifest.name, reserve).await?;
    Ok(Budget::of(granted).on_day(clock, manifest.window.day_span(day)))
}
