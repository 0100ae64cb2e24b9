//! One of the provider's slots for an ad-hoc fetch, and a part of the day's quota, so that both hold beside a `damper
//! run`.

use std::time::Duration;

use damper_config::Config;
use damper_core::clock::WallClock;
use damper_core::fetcher::Permits;
use damper_core::ledger::{Control, change_control};
use damper_core::manifest::Manifest;
use damper_core::pipeline::capacity::Capacity;
use damper_local::{Database, SqliteLedger};
use tokio::time::{Instant, sleep};

use crate::error::RunError;

/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A notice for an operator who waits for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotNotice {
    /// The window is closed; this one fetch goes ahead.
    WindowClosed,
    /// All slots are in use: the fetch waits.
    AllInUse,
}

/// A slot; none is needed where there is no database, for then nobody else fetches.
pub struct Slot<'a> {
    capacity: Option<(SqliteLedger, Capacity)>,
    clock: &'a WallClock,
    manifest: &'a Manifest,
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
        let mut capacity =
            database.map(|database| (SqliteLedger::new(database), Capacity::of_one_fetch(manifest, clock)));
        if let Some((ledger, capacity)) = &mut capacity
            && let Some(mut reservation) = capacity.quota.next_reservation(&manifest.window, now)
        {
            change_control(ledger, &manifest.name, |control| reservation.take(control)).await?;
            capacity.quota.add(&reservation);
        }
        if !manifest.window.is_open(now) {
            notify(SlotNotice::WindowClosed);
        }
        if let Some((ledger, capacity)) = &mut capacity {
            let mut is_told = false;
            loop {
                capacity.slots.renew(ledger, clock).await?;
                let has_slot = capacity.slots.permit_count() > 0;
                // It counts from when it was asked for; a database that others keep locked may answer late.
                if has_slot && Instant::now() < capacity.slots.launch_until(clock) {
                    break;
                }
                if !has_slot && !is_told {
                    notify(SlotNotice::AllInUse);
                    is_told = true;
                }
                sleep(ASK_AGAIN).await;
            }
        }
        Ok(Self { capacity, clock, manifest })
    }

    /// The permits of the fetch: one request at a time, within the quota.
    #[must_use]
    pub fn permits(&self) -> Permits {
        match &self.capacity {
            Some((_, capacity)) => Permits::within(0, capacity.quota.budget().clone()),
            None => Permits::new(0),
        }
    }

    /// Give the slot back, and what was not sent of the quota, unless the API may still be working at a request: then
    /// it runs out by itself.
    pub async fn give_back(self, may_be_working: bool) {
        let Some((ledger, Capacity { slots, quota })) = self.capacity else { return };
        let unspent = quota.close();
        if let Some(day) = unspent.day {
            let give_back = |control: &mut Control| {
                control.usage.give_back(day, unspent.requests);
                true
            };
            if let Err(error) = change_control(&ledger, &self.manifest.name, give_back).await {
                let unspent = unspent.requests;
                tracing::warn!(%error, "{unspent} unsent requests were not returned to the day's quota; they count as sent");
            }
        }
        if !may_be_working && let Err(error) = slots.give_back(&ledger, self.clock).await {
            tracing::warn!(%error, "the slot was not released; its lease expires");
        }
    }
}
