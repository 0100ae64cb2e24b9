//! This call's share of the provider's slots: what makes the hard cap hold across processes.
//!
//! Slots count for their owner until a time that every renewal moves on. Who cannot renew stops launching, early enough for
//! the last fetch to end while its slot still counts. Where each write is paid for and the next batch is about to come, a call
//! leaves its slots to the next one of its process ([`Slots::keep`]); if none comes they run out by themselves.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::WallClock;
use crate::fetcher::Permits;
use crate::ledger::{Granted, Ledger, LedgerError, Owner, SlotRequest};
use crate::manifest::Limits;

/// The longest time between two renewals.
const LONGEST_RENEWAL: Duration = Duration::from_secs(10);
/// The shortest time between two renewals, and between two tries for slots that others have.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);
/// What clocks and answers may be late.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// How many slots a stream's batch wants of a cap: one is left to ad-hoc fetches where there are two or more.
pub(crate) fn wanted(cap: u32) -> u32 {
    if cap >= 2 { cap - 1 } else { cap }
}

/// Slots that a call has left to the next one, in times of day: a process may be frozen in between, and its own clock with it.
#[derive(Debug)]
pub(crate) struct Kept {
    owner: Owner,
    granted: u32,
    launch_until: Timestamp,
    next_renewal: Timestamp,
}

/// The slots that one owner has.
#[derive(Debug)]
pub(crate) struct Slots {
    provider: String,
    owner: Owner,
    cap: u32,
    want: u32,
    granted: u32,
    /// Permits in use that are not ours any more: a renewal gave fewer than before. The ledger counts them for us until they are free.
    owed: u32,
    /// Whether another owner had fewer than it wants when we asked last.
    others_wait: bool,
    fetch_timeout: Duration,
    permits: Permits,
    launch_until: Instant,
    next_renewal: Instant,
}

impl Slots {
    /// No slots yet; [`Slots::renew`] gets a batch's.
    pub(crate) fn new(provider: &str, owner: &Owner, limits: &Limits, budget: Budget) -> Self {
        Self::wanting(wanted(limits.max_concurrency.get()), provider, owner, limits, budget)
    }

    /// The same for an ad-hoc fetch: the one that batches leave.
    pub(crate) fn one(provider: &str, owner: &Owner, limits: &Limits, budget: Budget) -> Self {
        Self::wanting(1, provider, owner, limits, budget)
    }

    fn wanting(want: u32, provider: &str, owner: &Owner, limits: &Limits, budget: Budget) -> Self {
        let cap = limits.max_concurrency.get();
        let now = Instant::now();
        Self {
            provider: provider.to_owned(),
            owner: owner.clone(),
            cap,
            want,
            granted: 0,
            owed: 0,
            others_wait: false,
            fetch_timeout: limits.fetch_timeout,
            permits: Permits::within(0, budget),
            launch_until: now,
            next_renewal: now,
        }
    }

    /// Go on with the slots that the call before has left, as far as they still count.
    pub(crate) fn resume(&mut self, kept: Kept, now: Timestamp) {
        let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
        self.owner = kept.owner;
        if left(kept.launch_until).is_zero() {
            return;
        }
        self.resize(kept.granted);
        self.launch_until = Instant::now() + left(kept.launch_until);
        self.next_renewal = Instant::now() + left(kept.next_renewal);
    }

    /// Leave the slots to the next call. None where this cannot be: the API may still be working at a request, or others want
    /// what they would have.
    pub(crate) fn keep(&self, now: Timestamp) -> Option<Kept> {
        if self.granted < self.want || self.owed > 0 || self.in_use() > 0 || self.others_wait {
            return None;
        }
        let at = |instant: Instant| {
            let left = instant.saturating_duration_since(Instant::now());
            now.saturating_add(left).unwrap_or(now)
        };
        let (launch_until, next_renewal) = (at(self.launch_until), at(self.next_renewal));
        Some(Kept { owner: self.owner.clone(), granted: self.granted, launch_until, next_renewal })
    }

    /// The permits that stand for the slots.
    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// How many permits there are, free ones and those that are not ours any more included.
    pub(crate) fn issued(&self) -> u32 {
        self.granted + self.owed
    }

    fn in_use(&self) -> u32 {
        self.issued().saturating_sub(self.permits.available())
    }

    /// Until when a fetch may start.
    pub(crate) fn launch_until(&self) -> Instant {
        if self.owed > 0 { Instant::now() } else { self.launch_until }
    }

    /// When to renew next.
    pub(crate) fn next_renewal(&self) -> Instant {
        self.next_renewal
    }

    /// Acquire or renew.
    pub(crate) async fn renew(&mut self, ledger: &dyn Ledger, clock: &WallClock) -> Result<(), LedgerError> {
        let asked = Instant::now();
        let renewal = self.fetch_timeout.clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL);
        let counts_for = renewal + self.fetch_timeout + MARGIN;
        // A fetch may take a free permit for a second request at any time, so that all count as in use until we have fewer.
        let issued = self.issued();
        self.ask(ledger, clock, counts_for).await?;
        if self.issued() < issued {
            self.ask(ledger, clock, counts_for).await?;
        }
        self.launch_until = asked + renewal;
        // Half way, so that one slow renewal does not stop anything; sooner while others have all, or wait for what we owe.
        let pause = if self.granted == 0 || self.owed > 0 { SHORTEST_RENEWAL } else { renewal / 2 };
        self.next_renewal = asked + pause;
        Ok(())
    }

    async fn ask(&mut self, ledger: &dyn Ledger, clock: &WallClock, counts_for: Duration) -> Result<(), LedgerError> {
        let granted = self.request(ledger, clock, (self.want, self.issued()), counts_for).await?;
        self.others_wait = granted.others_wait;
        self.resize(granted.slots);
        Ok(())
    }

    /// Take permits that are not ours any more out of the pool where they have come free. The last one makes a renewal due: others may
    /// wait for them.
    pub(crate) fn pay_owed(&mut self) {
        let paid = self.permits.shrink(self.owed);
        self.owed -= paid;
        if paid > 0 && self.owed == 0 {
            self.next_renewal = Instant::now();
        }
    }

    /// Give back all slots but those whose requests the API may still be working at; these count until it must be done.
    pub(crate) async fn give_back(mut self, ledger: &dyn Ledger, clock: &WallClock) -> Result<(), LedgerError> {
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
        let now = clock.now();
        let until = now.saturating_add(counts_for).unwrap_or(now);
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
