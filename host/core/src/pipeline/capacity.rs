//! Capacity: what one caller may send to the API at present. Slots bound the requests in flight over all processes, the
//! quota bounds those of a day.
//!
//! A batch, an ad-hoc fetch and the fetch of an operator's command each have a [`Capacity`]. They differ in how many
//! slots they want and in how many requests they set aside.

pub(crate) mod leaps;
mod quota;
pub(crate) mod slots;

use crate::clock::WallClock;
use crate::ledger::Owner;
use crate::manifest::Manifest;
use crate::pipeline::capacity::leaps::Leaps;
use crate::pipeline::capacity::slots::{SlotDemand, batch_slots, renewal_of};

pub use quota::{QuotaShare, Reservation, Unspent};
pub use slots::Slots;

/// One caller's slots, and its share of the day's quota.
#[derive(Debug)]
pub struct Capacity {
    /// How many requests may be in flight.
    pub slots: Slots,
    /// How many requests may be sent.
    pub quota: QuotaShare,
}

impl Capacity {
    /// The capacity of a batch: all slots but the one that is left to ad-hoc fetches. Nothing is acquired yet.
    pub(crate) fn of_batch(manifest: &Manifest, owner: &Owner, clock: &WallClock, leaps: Leaps) -> Self {
        let limits = &manifest.limits;
        let demand =
            SlotDemand { slots: batch_slots(limits.max_concurrency.get()), renewal: renewal_of(limits.fetch_timeout) };
        Self::new(demand, QuotaShare::of_call(limits, clock), manifest, owner, leaps)
    }

    /// The same for an ad-hoc fetch: one slot.
    pub(crate) fn of_ad_hoc_fetch(manifest: &Manifest, owner: &Owner, clock: &WallClock, leaps: Leaps) -> Self {
        let limits = &manifest.limits;
        let demand = SlotDemand { slots: 1, renewal: renewal_of(limits.fetch_timeout) };
        Self::new(demand, QuotaShare::of_call(limits, clock), manifest, owner, leaps)
    }

    /// The same for one fetch of an operator's command. Its slot is not renewed: the fetch may start as long after it
    /// was acquired as it may take.
    #[must_use]
    pub fn of_one_fetch(manifest: &Manifest, clock: &WallClock) -> Self {
        let owner = Owner::unique(clock.now());
        let demand = SlotDemand { slots: 1, renewal: manifest.limits.fetch_timeout };
        Self::new(demand, QuotaShare::of_one_fetch(&manifest.limits, clock), manifest, &owner, Leaps::default())
    }

    fn new(demand: SlotDemand, quota: QuotaShare, manifest: &Manifest, owner: &Owner, leaps: Leaps) -> Self {
        let slots = Slots::new(demand, manifest, owner, quota.budget().clone(), leaps);
        Self { slots, quota }
    }
}
