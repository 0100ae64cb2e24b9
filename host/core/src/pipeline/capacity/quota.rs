//! The requests that one caller may still send of the day's quota: reserved in the control item a share at a time,
//! spent request by request.
//!
//! ```text
//!            next_reservation            take                        add
//!   few left -----------------> wanted -------> granted, as written ------> left
//! ```
//!
//! Pure: the caller writes the control item, because a pipeline has a cache of it and a command has none.

use jiff::Timestamp;

use crate::budget::Budget;
use crate::clock::WallClock;
use crate::control::item::Control;
use crate::control::quota::share;
use crate::control::window::Window;
use crate::day::Day;
use crate::manifest::Limits;

/// The most requests that the fetch of an operator's command sends of a quota: a guest that sends more is cut off.
const MOST_OF_ONE_FETCH: u64 = 32;

/// One caller's share of the quota.
#[derive(Debug)]
pub struct QuotaShare {
    budget: Budget,
    quota: Option<u64>,
    share: u64,
    /// Less than this, and more is set aside.
    low: u64,
    /// The day that it is of.
    day: Option<Day>,
    /// Whether nothing more can be had on that day.
    is_exhausted: bool,
}

/// Requests to set aside in the control item.
#[derive(Debug)]
pub struct Reservation {
    day: Day,
    quota: Option<u64>,
    wanted: u64,
    granted: u64,
}

/// The requests that are given back at the end of a call.
#[derive(Debug, Clone, Copy)]
pub struct Unspent {
    /// The day it was set aside for.
    pub day: Option<Day>,
    /// Set aside and not sent.
    pub requests: u64,
    /// Sent and not counted yet, if there is no quota.
    pub uncounted: u64,
}

impl QuotaShare {
    /// The share of a batch or of an ad-hoc fetch. Nothing is set aside yet.
    pub(crate) fn of_call(limits: &Limits, clock: &WallClock) -> Self {
        let cap = limits.max_concurrency.get();
        let share = share(limits.daily_quota.unwrap_or_default(), cap);
        Self::new(limits, share, u64::from(cap).min(share), clock)
    }

    /// The share of a fetch that sets all that it may need aside at once.
    pub(crate) fn of_one_fetch(limits: &Limits, clock: &WallClock) -> Self {
        Self::new(limits, MOST_OF_ONE_FETCH, MOST_OF_ONE_FETCH, clock)
    }

    fn new(limits: &Limits, share: u64, low: u64, clock: &WallClock) -> Self {
        let budget = match limits.daily_quota {
            Some(_) => Budget::of(0).on_day(clock, (Timestamp::MIN, Timestamp::MIN)),
            None => Budget::without_limit(),
        };
        Self { budget, quota: limits.daily_quota, share, low, day: None, is_exhausted: false }
    }

    /// The requests that may be sent.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether one more attempt is covered, beside so many that have yet to send their first request.
    pub(crate) fn covers(&self, queued_count: u32) -> bool {
        self.budget.remaining().is_none_or(|left| left > u64::from(queued_count))
    }

    /// Whether nothing is left of the day's quota, here or in the control item.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_exhausted && self.budget.remaining() == Some(0)
    }

    /// The requests to set aside now: if few are left, or if a new day has begun. The caller writes what
    /// [`Reservation::take`] makes of the control item, and then adds the reservation.
    pub fn next_reservation(&mut self, window: &Window, now: Timestamp) -> Option<Reservation> {
        let quota = Some(self.quota?);
        let today = window.day(now);
        if self.day != Some(today) {
            // The rest of yesterday does not count today.
            self.budget.close();
            self.budget.set_day(window.day_span(today));
            self.day = Some(today);
            self.is_exhausted = false;
        }
        if self.is_exhausted || self.budget.remaining().unwrap_or_default() >= self.low {
            return None;
        }
        Some(Reservation { day: today, quota, wanted: self.share, granted: 0 })
    }

    /// A reservation is written.
    pub fn add(&mut self, reservation: &Reservation) {
        self.is_exhausted = reservation.granted < reservation.wanted;
        self.budget.add(reservation.granted);
    }

    /// Nothing more is sent.
    #[must_use]
    pub fn close(&self) -> Unspent {
        let (requests, spent) = (self.budget.close().unwrap_or_default(), self.budget.take_spent());
        Unspent { day: self.day, requests, uncounted: if self.quota.is_none() { spent } else { 0 } }
    }
}

impl Reservation {
    /// Set the requests aside in the control item, as many as are left. Returns whether there is something to write.
    pub fn take(&mut self, control: &mut Control) -> bool {
        self.granted = control.usage.reserve(self.day, self.wanted, self.quota);
        self.granted > 0
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::clock::SteppedClock;
    use crate::manifest::Manifest;

    const MANIFEST: &str = r#"
name = "demo"
version = "0.1.0"
[egress]
hosts = ["api.example.org"]
[limits]
max_concurrency = 2
daily_quota = 10
"#;

    /// Reserve if few are left, as a caller does. Returns how many requests may be sent then.
    fn refill(quota: &mut QuotaShare, manifest: &Manifest, control: &mut Control, now: Timestamp) -> Option<u64> {
        if let Some(mut reservation) = quota.next_reservation(&manifest.window, now) {
            reservation.take(control);
            quota.add(&reservation);
        }
        quota.budget().remaining()
    }

    fn spend(quota: &QuotaShare, requests: u32) {
        for _ in 0..requests {
            assert!(quota.budget().spend());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shares_are_reserved_where_few_are_left_until_the_day_has_none() {
        let (manifest, mut control) = (Manifest::parse(MANIFEST).unwrap(), Control::default());
        let machine = SteppedClock::new("2026-11-22T12:00:00Z".parse().unwrap());
        let clock = WallClock::from(&machine);
        let mut quota = QuotaShare::of_call(&manifest.limits, &clock);
        assert!(!quota.covers(0));
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(4));
        spend(&quota, 2);
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(2), "enough for each slot");
        spend(&quota, 1);
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(5));
        spend(&quota, 4);
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(3), "the last two of ten");
        spend(&quota, 3);
        assert!(quota.is_spent());

        machine.step(SignedDuration::from_hours(24));
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(4), "another day");
        let unspent = quota.close();
        assert_eq!((unspent.day, unspent.requests), (Some(manifest.window.day(clock.now())), 4));
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_reserves_all_that_it_may_need_at_once() {
        let (manifest, mut control) = (Manifest::parse(MANIFEST).unwrap(), Control::default());
        let clock = WallClock::from(&SteppedClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
        let mut quota = QuotaShare::of_one_fetch(&manifest.limits, &clock);
        assert_eq!(refill(&mut quota, &manifest, &mut control, clock.now()), Some(10), "as many as are left");
        assert_eq!(control.usage.remaining(manifest.window.day(clock.now()), manifest.limits.daily_quota), Some(0));
    }
}
