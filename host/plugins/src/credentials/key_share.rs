//! A process's share of a key's daily quota: how many requests it reserves at a time, and how many of them are left.
//! Decisions only; `key_quota` reads and writes the store.
//!
//! A process begins with one request and doubles its reservations while it needs more, so that a command reserves few
//! and a run writes seldom. Near the end of a quota reservations shrink: the last requests are not held by a process
//! that does not need them.

use std::time::Duration;

use damper_core::day::Day;
use tokio::time::Instant;

/// The largest reservation, and the part of the quota that it may be at most.
const LARGEST_BLOCK: u64 = 50;
const BLOCKS_OF_QUOTA: u64 = 50;
/// The part of the requests that are left of a day that one reservation may take.
const PARTS_OF_REST: u64 = 4;
/// The time after which a spent quota is asked for again: another process may have returned requests.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// A share of one key's quota.
#[derive(Debug)]
pub(super) struct KeyShare {
    quota: u64,
    /// The day of what follows.
    day: Option<Day>,
    /// Reserved and neither sent nor about to be.
    left: u64,
    /// The count of all processes, as far as it is known.
    counted: u64,
    /// When a spent quota is asked for again.
    ask_again: Option<Instant>,
    /// The size of the next reservation.
    block: u64,
    /// The size of the last reservation, if nothing was returned since.
    last: Option<u64>,
}

impl KeyShare {
    pub(super) fn new(quota: u64) -> Self {
        Self { quota, day: None, left: 0, counted: 0, ask_again: None, block: 1, last: None }
    }

    /// It is this day: what was reserved for another one cannot be sent.
    fn set_day(&mut self, day: Day) {
        if self.day != Some(day) {
            *self = Self { day: Some(day), block: self.block, ..Self::new(self.quota) };
        }
    }

    /// Takes one request of the day, if one is reserved.
    pub(super) fn take(&mut self, day: Day) -> bool {
        self.set_day(day);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// A request that was taken on that day is not sent.
    pub(super) fn put_back(&mut self, day: Day) {
        if self.day == Some(day) {
            self.left = self.left.saturating_add(1);
        }
    }

    /// Whether the day's quota is spent, as far as it is known.
    pub(super) fn is_spent(&self, day: Day, now: Instant) -> bool {
        self.day == Some(day) && self.left == 0 && self.ask_again.is_some_and(|again| now < again)
    }

    /// How many requests to reserve; none if the quota is spent.
    pub(super) fn next_reservation(&mut self, now: Instant) -> Option<u64> {
        if self.ask_again.is_some_and(|again| now >= again) {
            self.ask_again = None;
            self.counted = self.counted.min(self.quota.saturating_sub(1));
        }
        match self.quota.saturating_sub(self.counted) {
            0 => {
                self.ask_again.get_or_insert(now + ASK_AGAIN);
                None
            }
            rest => Some(self.block.min((rest / PARTS_OF_REST).max(1))),
        }
    }

    /// A reservation for a day was granted, and so many requests of it are counted now. One for a day that is over by
    /// now is of no use.
    pub(super) fn on_granted(&mut self, day: Day, requests: u64, counted: u64) {
        if self.day != Some(day) {
            return;
        }
        if self.last.replace(requests).is_some() {
            self.block = self.block.saturating_mul(2).min(self.largest_block());
        }
        self.left = self.left.saturating_add(requests);
        self.counted = counted;
        self.ask_again = None;
    }

    /// A reservation for a day was refused, because so many requests of it are counted.
    pub(super) fn on_refused(&mut self, day: Day, counted: u64, now: Instant) {
        if self.day != Some(day) {
            return;
        }
        self.counted = counted;
        if counted >= self.quota {
            self.ask_again = Some(now + ASK_AGAIN);
        }
    }

    /// Takes all requests out that are not sent, with their day: they are to be returned.
    pub(super) fn take_unsent(&mut self) -> Option<(Day, u64)> {
        let (day, unsent) = (self.day?, std::mem::take(&mut self.left));
        if let Some(last) = self.last.take() {
            // The next reservation is as large as what was needed of the last one.
            self.block = last.saturating_sub(unsent).max(1);
        }
        (unsent > 0).then_some((day, unsent))
    }

    fn largest_block(&self) -> u64 {
        (self.quota / BLOCKS_OF_QUOTA).clamp(1, LARGEST_BLOCK)
    }
}

#[cfg(test)]
mod tests;
