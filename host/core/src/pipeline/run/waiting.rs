//! Items that wait for long: a call ends without them rather than keep all that comes behind its batch waiting too.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::control::admission::BreakerReading;
use crate::ledger::LongWaits;
use crate::pipeline::report::{Stopped, Waiting};
use crate::pipeline::run::Run;

/// How long a call stays for items that wait while nothing else is left of its batch. It ends without those that wait longer, where
/// somebody delivers them again when they are due ([`LongWaits`]).
const LONGEST_HOLD: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Whether nothing is left but items that wait for long, and the batch may end without them.
    pub(super) fn only_waits(&self) -> bool {
        self.may_leave_waiting() && self.batch.only_waits(Instant::now(), LONGEST_HOLD)
    }

    /// Take what waits for long out of the batch, for the report.
    pub(super) fn set_waiting_aside(&mut self) -> Vec<Waiting> {
        if !self.may_leave_waiting() {
            return Vec::new();
        }
        let (now, time) = (Instant::now(), self.call.clock().now());
        let waiting = self.batch.take_waiting(now, LONGEST_HOLD).into_iter().map(|(entry, due)| {
            let until = time.saturating_add(due.saturating_duration_since(now)).unwrap_or(Timestamp::MAX);
            Waiting { sequence: entry.sequence, until }
        });
        waiting.collect()
    }

    /// Whether the batch may end without the items that wait for long. While the API is down or a person is needed it is not these
    /// items that have to wait, but all.
    fn may_leave_waiting(&self) -> bool {
        let are_delivered_again = self.call.ledger().long_waits() != LongWaits::Held;
        let is_well = self.call.reading().breaker == BreakerReading::Closed
            && !matches!(self.stopped, Some(Stopped::BreakerOpen | Stopped::ApiDown | Stopped::Storage(_)));
        are_delivered_again && is_well
    }
}
