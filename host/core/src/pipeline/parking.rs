//! Parked entries: taken up when they are due, beside a batch or by a tick, and kept account of in the control item.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::control::governor::BlockReason;
use crate::control::item::{Control, ParkedHint};
use crate::ledger::{LedgerError, LongWaits, Parked, ParkedEntries};
use crate::pipeline::Pipeline;
use crate::pipeline::report::Report;

/// The most entries of a provider that may be parked: at this number a batch is held by its waiting items. An API of which most
/// requests fail must not run through the whole stream.
pub const MOST_PARKED: u64 = 10_000;
/// How many of them one call takes up.
const MOST_TAKEN_UP: usize = 100;

/// The result of reading the parked entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParkedRead {
    /// The hint at the time of the read.
    hint: ParkedHint,
    /// How many were due and taken up.
    taken_up: u64,
    /// When the first of the others is due; `None`: there is no other.
    next_due: Option<Timestamp>,
}

/// Parked entries that a call works at.
#[derive(Debug, Default)]
pub(crate) struct TakenUp {
    pub(crate) entries: Vec<Parked>,
    pub(crate) read: Option<ParkedRead>,
}

/// The changes of a call to the parked entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ParkedChange {
    /// The read before the changes, if any.
    pub(crate) read: Option<ParkedRead>,
    /// How many entries were parked.
    pub(crate) added: u64,
    /// How many were forgotten.
    pub(crate) removed: u64,
    /// The earliest due time of those that it has parked or left.
    pub(crate) earliest: Option<Timestamp>,
}

impl ParkedChange {
    /// Update the hint in the control item. The read counts only if the hint has not changed since.
    pub(crate) fn note(&self, control: &mut Control) {
        let hint = &mut control.parked;
        if let Some(read) = self.read.filter(|read| read.hint == *hint) {
            hint.next_due = read.next_due;
            // How many come after those that were taken up is not known, only whether any does.
            hint.count = match read.next_due {
                None => read.taken_up,
                Some(_) => hint.count.max(read.taken_up.saturating_add(1)),
            };
        }
        hint.count = hint.count.saturating_add(self.added).saturating_sub(self.removed);
        hint.next_due = hint.next_due.into_iter().chain(self.earliest).min();
        if hint.next_due.is_none() {
            hint.count = 0;
        }
    }
}

impl Pipeline {
    /// The parked entries of a tick: process those that are due, without a batch; a closed gate is reported at once. At most a
    /// hundred entries; the next tick takes the next.
    ///
    /// # Errors
    /// If the control item or the parked entries cannot be read; the next tick tries again.
    pub async fn process_parked(
        self: &Arc<Self>,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Result<Report, LedgerError> {
        if self.stores.ledger.long_waits() != LongWaits::Parked {
            return Ok(Report::default());
        }
        let control = self.control().await?;
        if let Some(gate) = self.gate(&control) {
            return Ok(Report { stopped: Some(gate.why), ..Report::default() });
        }
        // The limiter would keep the tick waiting for as long as the API has asked.
        if let Some(BlockReason::RetryAfter { .. }) = self.block_reason(&control) {
            return Ok(Report::default());
        }
        let taken_up = self.read_parked(&control).await?;
        if !taken_up.entries.is_empty() {
            return Ok(self.work(Vec::new(), taken_up, &control, deadline, stop).await);
        }
        // With a wrong hint every call would read the entries.
        let change = ParkedChange { read: taken_up.read, ..ParkedChange::default() };
        let correct = |control: &mut Control| {
            let before = control.parked;
            change.note(control);
            control.parked != before
        };
        if correct(&mut control.clone()) {
            self.change_control(correct).await?;
        }
        Ok(Report::default())
    }

    /// The parked entries that a call processes beside its batch: those that are due, by the hint.
    pub(crate) async fn take_up(&self, control: &Control) -> TakenUp {
        let is_worth_a_look = self.stores.ledger.long_waits() == LongWaits::Parked
            && control.parked.count < MOST_PARKED
            && control.parked.is_due(self.stores.clock.now());
        if !is_worth_a_look {
            return TakenUp::default();
        }
        self.read_parked(control).await.unwrap_or_else(|error| {
            let provider = &self.manifest.name;
            tracing::warn!(provider, %error, "parked entries were not read; the next call or tick reads them");
            TakenUp::default()
        })
    }

    async fn read_parked(&self, control: &Control) -> Result<TakenUp, LedgerError> {
        let (provider, now) = (&self.manifest.name, self.stores.clock.now());
        let ParkedEntries { due, next_due } = self.stores.ledger.read_parked(provider, now, MOST_TAKEN_UP).await?;
        let read = ParkedRead { hint: control.parked, taken_up: due.len() as u64, next_due };
        Ok(TakenUp { entries: due, read: Some(read) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn hint(count: u64, next_due: Option<u64>) -> ParkedHint {
        ParkedHint { count, next_due: next_due.map(at) }
    }

    fn hint_after(before: ParkedHint, change: ParkedChange) -> ParkedHint {
        let mut control = Control { parked: before, ..Control::default() };
        change.note(&mut control);
        control.parked
    }

    #[test]
    fn what_is_parked_adds_up() {
        let parked = ParkedChange { added: 2, earliest: Some(at(60)), ..ParkedChange::default() };
        assert_eq!(hint_after(hint(0, None), parked), hint(2, Some(60)));
        assert_eq!(hint_after(hint(3, Some(30)), parked), hint(5, Some(30)), "others are due earlier");
    }

    #[test]
    fn what_was_read_is_the_truth_unless_somebody_has_noted_something_since() {
        let seen = hint(7, Some(30));
        let read =
            |taken_up, next_due: Option<u64>| Some(ParkedRead { hint: seen, taken_up, next_due: next_due.map(at) });
        let all_ended = ParkedChange { read: read(2, None), removed: 2, ..ParkedChange::default() };
        assert_eq!(hint_after(seen, all_ended), hint(0, None), "there were two, whatever was noted");
        let some = ParkedChange { read: read(2, Some(90)), removed: 2, ..ParkedChange::default() };
        assert_eq!(hint_after(seen, some), hint(5, Some(90)));
        let once_more = ParkedChange { added: 1, earliest: Some(at(50)), ..some };
        assert_eq!(hint_after(seen, once_more), hint(6, Some(50)));
        let others = hint(8, Some(20));
        assert_eq!(hint_after(others, all_ended), hint(6, Some(20)), "what others noted since stands");
    }
}
