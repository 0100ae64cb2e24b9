//! This call's share of the provider's slots, which enforce the hard cap across processes.
//!
//! Slots count for their owner until a time that every renewal moves on. An owner that cannot renew stops launching,
//! early enough for the last fetch to end while its slot still counts. If each write costs money and the next batch is
//! about to come, a call leaves its slots to the next one of its process ([`Slots::keep`]); if none comes they expire.

use std::time::Duration;

use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::{Moment, WallClock};
use crate::fetcher::Permits;
use crate::ledger::{Granted, Ledger, LedgerError, Owner, SlotRequest};
use crate::manifest::Manifest;
use crate::pipeline::capacity::leaps::Leaps;

/// The longest time between two renewals.
const LONGEST_RENEWAL: Duration = Duration::from_secs(10);
/// The shortest time between two renewals, and between two tries for slots that others have.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);
/// The tolerance for clocks and responses.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// How many slots a stream's batch wants of a cap: one is left to ad-hoc fetches where there are two or more.
pub(crate) fn batch_slots(cap: u32) -> u32 {
    if cap >= 2 { cap - 1 } else { cap }
}

/// How long slots of fetches that may take so long let fetches start, unless they are renewed.
pub(crate) fn renewal_of(fetch_timeout: Duration) -> Duration {
    fetch_timeout.clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL)
}

/// The slots that an owner wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotDemand {
    /// How many.
    pub(crate) slots: u32,
    /// For how long after each renewal a fetch may start.
    pub(crate) renewal: Duration,
}

/// Slots that a call has left to the next one. A process may be frozen in between, and its own clock with it, or the
/// time of day be set: the clock counts that says that more time has passed.
#[derive(Debug)]
pub(crate) struct RetainedSlots {
    owner: Owner,
    granted: u32,
    at: Moment,
    /// From then on: how long fetches may start, and when to renew.
    launch_for: Duration,
    renewal_in: Duration,
}

/// Whether the wall clock has gone further than the monotonic one since a renewal, by more than clocks may be late.
pub(crate) fn has_leapt_since(renewed: &Moment, clock: &WallClock) -> bool {
    Duration::try_from(clock.moment().leap_since(renewed)).is_ok_and(|leap| leap > MARGIN)
}

/// The slots that one owner has.
#[derive(Debug)]
pub struct Slots {
    provider: String,
    owner: Owner,
    cap: u32,
    demand: SlotDemand,
    granted: u32,
    /// Permits in use that are not ours any more: a renewal gave fewer than before. The ledger counts them for us until
    /// they are free.
    owed: u32,
    /// Whether another owner had fewer than it wants when we asked last.
    others_wait: bool,
    fetch_timeout: Duration,
    permits: Permits,
    launch_until: Instant,
    next_renewal: Instant,
    /// When they were acquired or renewed last.
    renewed: Option<Moment>,
    leaps: Leaps,
}

impl Slots {
    /// No slots yet; [`Slots::renew`] acquires them.
    pub(crate) fn new(demand: SlotDemand, manifest: &Manifest, owner: &Owner, budget: Budget, leaps: Leaps) -> Self {
        let Manifest { name, limits, .. } = manifest;
        let now = Instant::now();
        Self {
            provider: name.clone(),
            owner: owner.clone(),
            cap: limits.max_concurrency.get(),
            demand,
            granted: 0,
            owed: 0,
            others_wait: false,
            fetch_timeout: limits.fetch_timeout,
            permits: Permits::within(0, budget),
            launch_until: now,
            next_renewal: now,
            renewed: None,
            leaps,
        }
    }

    /// Go on with the slots that the call before has left, as far as they still count.
    pub(crate) fn resume(&mut self, retained: RetainedSlots, now: Moment) {
        let passed = now.passed_since(&retained.at);
        self.owner = retained.owner;
        if passed >= retained.launch_for {
            return;
        }
        self.resize(retained.granted);
        self.launch_until = now.monotonic + retained.launch_for.saturating_sub(passed);
        self.next_renewal = now.monotonic + retained.renewal_in.saturating_sub(passed);
        self.renewed = Some(now);
    }

    /// Leave the slots to the next call. `None` if this is not possible: the API may still be processing a request, or
    /// others wait for slots.
    pub(crate) fn keep(&self, clock: &WallClock) -> Option<RetainedSlots> {
        if self.granted < self.demand.slots || self.owed > 0 || self.in_use() > 0 || self.others_wait {
            return None;
        }
        if self.has_leapt(clock) {
            return None;
        }
        let at = clock.moment();
        let from_now = |instant: Instant| instant.saturating_duration_since(at.monotonic);
        let (launch_for, renewal_in) = (from_now(self.launch_until), from_now(self.next_renewal));
        Some(RetainedSlots { owner: self.owner.clone(), granted: self.granted, at, launch_for, renewal_in })
    }

    /// The permits that stand for the slots.
    pub fn permits(&self) -> &Permits {
        &self.permits
    }

    /// How many permits there are, free ones and those that are not ours any more included.
    pub fn permit_count(&self) -> u32 {
        self.granted + self.owed
    }

    fn in_use(&self) -> u32 {
        self.permit_count().saturating_sub(self.permits.available())
    }

    /// Until when a fetch may start. In the past, where the wall clock has leapt since the renewal: for others, who go
    /// by it, the slots run out that much earlier.
    pub fn launch_until(&self, clock: &WallClock) -> Instant {
        let now = Instant::now();
        let past = || now.checked_sub(Duration::from_millis(1)).unwrap_or(now);
        match self.owed {
            0 if self.has_leapt(clock) => self.launch_until.min(past()),
            0 => self.launch_until,
            _ => now,
        }
    }

    /// When to renew next: at once, where the wall clock has leapt.
    pub(crate) fn next_renewal(&self, clock: &WallClock) -> Instant {
        if self.has_leapt(clock) { Instant::now() } else { self.next_renewal }
    }

    /// When they were acquired or renewed last.
    pub(crate) fn last_renewal(&self) -> Option<Moment> {
        self.renewed
    }

    fn has_leapt(&self, clock: &WallClock) -> bool {
        self.renewed.is_some_and(|renewed| has_leapt_since(&renewed, clock))
    }

    /// Acquire or renew.
    ///
    /// # Errors
    /// If the ledger fails; slots that were acquired before still count as long as they did.
    pub async fn renew(&mut self, ledger: &dyn Ledger, clock: &WallClock) -> Result<(), LedgerError> {
        let moment = clock.moment();
        let asked = moment.monotonic;
        let renewal = self.demand.renewal;
        let counts_for = renewal + self.fetch_timeout + MARGIN;
        // A fetch may take a free permit for a second request at any time, so that all count as in use until we have
        // fewer.
        let permits = self.permit_count();
        self.ask(ledger, clock, counts_for).await?;
        if self.permit_count() < permits {
            self.ask(ledger, clock, counts_for).await?;
        }
        self.launch_until = asked + renewal;
        self.renewed = Some(moment);
        // Half way, so that one slow renewal does not stop anything; sooner while others have all, or wait for what we
        // owe.
        let pause = if self.granted == 0 || self.owed > 0 { SHORTEST_RENEWAL } else { renewal / 2 };
        self.next_renewal = asked + pause;
        Ok(())
    }

    async fn ask(&mut self, ledger: &dyn Ledger, clock: &WallClock, counts_for: Duration) -> Result<(), LedgerError> {
        let granted = self.request(ledger, clock, (self.demand.slots, self.permit_count()), counts_for).await?;
        self.others_wait = granted.others_wait;
        self.resize(granted.slots);
        Ok(())
    }

    /// Take permits that are not ours any more out of the pool where they have come free. The last one makes a renewal
    /// due: others may wait for them.
    pub(crate) fn pay_owed(&mut self) {
        let paid = self.permits.shrink(self.owed);
        self.owed -= paid;
        if paid > 0 && self.owed == 0 {
            self.next_renewal = Instant::now();
        }
    }

    /// Give back all slots but those whose requests the API may still be working at; these count until it must be done.
    ///
    /// # Errors
    /// If the ledger fails; the slots run out by themselves.
    pub async fn give_back(mut self, ledger: &dyn Ledger, clock: &WallClock) -> Result<(), LedgerError> {
        let now = Instant::now();
        let held = self.permits.held_until(now).map(|until| (self.in_use(), until - now));
        let (in_use, counts_for) = held.unwrap_or((0, Duration::ZERO));
        self.granted = self.request(ledger, clock, (in_use, in_use), counts_for).await?.slots;
        Ok(())
    }

    async fn request(
        &self,
        ledger: &dyn Ledger,
        clock: &WallClock,
        (want, in_use): (u32, u32),
        counts_for: Duration,
    ) -> Result<Granted, LedgerError> {
        let moment = clock.moment();
        let until = moment.wall.saturating_add(counts_for).unwrap_or(moment.wall);
        // Slots that expired only because the clock leapt may have requests in flight.
        let now = moment.wall.saturating_sub(self.leaps.see(moment)).unwrap_or(moment.wall);
        let request = SlotRequest { owner: &self.owner, want, in_use, cap: self.cap, now, until };
        ledger.slots(&self.provider, request).await
    }

    fn resize(&mut self, granted: u32) {
        let paid = self.permits.shrink(self.owed);
        self.owed -= paid;
        if granted >= self.granted {
            let grown = granted - self.granted;
            let paid = grown.min(self.owed);
            self.owed -= paid;
            self.permits.grow(grown - paid);
        } else {
            let lost = self.granted - granted;
            self.owed += lost - self.permits.shrink(lost);
        }
        self.granted = granted;
    }
}
