//! Items that wait for long: a call ends without them, so that the entries behind its batch do not wait, too. If the
//! stream cannot skip entries, they are parked.
//!
//! The order of writes makes sure that nothing is lost, whenever the process dies:
//!
//! 1. the entry is parked, before the stream hears that it is done with it: dead in between, the call leaves an entry
//!    that is delivered again, whose claim says that it waits, and that is parked under the same name;
//! 2. an entry that was taken up and waits once more is parked until the later time before the earlier one is
//!    forgotten;
//! 3. an entry that was taken up and has ended is forgotten after the ledger's row says so: else it is taken up again,
//!    and its claim says that it is done.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use tokio::time::Instant;

use crate::control::admission::BreakerStatus;
use crate::ledger::{LongWaits, Parked};
use crate::pipeline::batch::{Late, Patience};
use crate::pipeline::batch_processor::BatchProcessor;
use crate::pipeline::parking::ParkedChange;
use crate::pipeline::report::{Aside, Stopped, Waiting};

/// How long a call stays for items that wait while nothing else is left of its batch. It ends without those that wait
/// longer, if they are delivered again when they are due ([`LongWaits`]).
const LONGEST_HOLD: Duration = Duration::from_secs(10);

impl BatchProcessor<'_> {
    /// Whether nothing is left but items that wait for long, and the batch may end without them.
    pub(super) fn only_waits(&self) -> bool {
        self.may_leave_waiting() && self.batch.only_waits(self.patience(Instant::now()))
    }

    /// Set aside entries that wait for long, and unpark entries that have ended. Returns the changes for the report and
    /// for the control item.
    pub(super) async fn set_waiting_aside(&mut self) -> (Aside, ParkedChange) {
        let (now, time) = (Instant::now(), self.context.clock().now());
        let late = if self.may_leave_waiting() { self.batch.take_waiting(self.patience(now)) } else { Vec::new() };
        let until = |due: Instant| time.saturating_add(due.saturating_duration_since(now)).unwrap_or(Timestamp::MAX);
        if self.context.ledger().long_waits() == LongWaits::Parked {
            return self.park(late, |due| whole_second(until(due))).await;
        }
        let waiting =
            late.into_iter().map(|Late { entry, due, .. }| Waiting { sequence: entry.sequence, until: until(due) });
        (Aside { waiting: waiting.collect(), ..Aside::default() }, ParkedChange::default())
    }

    /// Until when the batch waits for items that are not due. An item may be not ready for a long time, from poll to
    /// poll: a batch that waited for it would hold up the items behind. A delivery that keeps account of
    /// each entry gets it back at once. Parking an entry costs writes and up to a minute, until a tick takes it up:
    /// there, the batch waits for a little while after the last other item, and no longer.
    fn patience(&self, now: Instant) -> Patience {
        let for_polls = match self.context.ledger().long_waits() {
            LongWaits::Reported => now,
            LongWaits::Parked | LongWaits::Held => self.attempts.last_fresh_start() + LONGEST_HOLD,
        };
        Patience { for_polls, for_others: now + LONGEST_HOLD }
    }

    async fn park(&mut self, late: Vec<Late>, until: impl Fn(Instant) -> Timestamp) -> (Aside, ParkedChange) {
        let (provider, ledger) = (self.context.provider(), self.context.ledger());
        let mut change = ParkedChange { read: self.notes.parked_read, ..ParkedChange::default() };
        let (mut parked, mut gone) = (Vec::with_capacity(late.len()), Vec::new());
        for Late { entry, parked: before, due } in late {
            let due = until(due);
            // The same name: what is parked is not to be forgotten.
            let before = before.into_iter().filter(|before| *before != due);
            gone.extend(before.map(|due| Parked { entry: entry.clone(), due }));
            parked.push(Parked { entry, due });
        }
        match ledger.park(provider, &parked).await {
            Ok(new) => change.added = new,
            Err(error) => {
                tracing::warn!(provider, %error, "waiting entries were not parked; they are delivered again with their batch");
                (parked, gone) = (Vec::new(), Vec::new());
            }
        }
        gone.extend(self.batch.taken_up().filter(|(_, has_ended)| *has_ended).map(|(parked, _)| parked));
        match ledger.unpark(provider, &gone).await {
            Ok(()) => change.removed = gone.len() as u64,
            Err(error) => {
                tracing::warn!(provider, %error, "finished parked entries were not removed; they are taken up again");
            }
        }
        // Entries that were taken up and have neither ended nor wait are still due.
        let is_gone =
            |left: &Parked| gone.iter().any(|gone| gone.due == left.due && gone.entry.sequence == left.entry.sequence);
        let left = self.batch.taken_up().map(|(left, _)| left).filter(|left| !is_gone(left)).map(|left| left.due);
        change.earliest = left.chain(parked.iter().map(|parked| parked.due)).min();
        let parked = parked.into_iter().map(|parked| parked.entry.sequence).collect();
        (Aside { parked, ..Aside::default() }, change)
    }

    /// Whether the batch may end without the items that wait for long. While the API is down or an operator is needed,
    /// all items have to wait.
    fn may_leave_waiting(&self) -> bool {
        let are_delivered_again = match self.context.ledger().long_waits() {
            LongWaits::Held => false,
            LongWaits::Reported => true,
            // Entries that were taken up are parked already.
            LongWaits::Parked => self.notes.may_park || self.batch.len() == 0,
        };
        let is_well = self.context.limiter_snapshot().breaker == BreakerStatus::Closed
            && !matches!(self.status.stopped, Some(Stopped::BreakerOpen | Stopped::ApiDown | Stopped::Storage(_)));
        are_delivered_again && is_well
    }
}

/// The time, or the next whole second: an entry that is parked twice for the same wait gets the same name.
fn whole_second(time: Timestamp) -> Timestamp {
    time.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).unwrap_or(time)
}
