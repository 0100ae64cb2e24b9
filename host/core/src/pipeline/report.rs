//! The report of a batch, for its delivery.

use jiff::Timestamp;

use crate::item::SequenceNumber;

/// How an entry ended. There is no other end, so that fed = fetched + skipped + dead letters + pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Its record is in the sink: one line of one object.
    Fetched,
    /// Another entry of the same identity settled it: fetched it, or was given up on.
    Skipped,
    /// It is kept as a dead letter.
    DeadLetter,
}

/// The report of `process` on a batch.
#[derive(Debug, Default)]
pub struct Report {
    /// The entries that have ended, in the batch's order. Entries that are not listed are to be delivered again.
    pub ended: Vec<(SequenceNumber, End)>,
    /// The lowest entry that has neither ended nor is parked: redelivery begins there. `None`: the stream is done with
    /// the whole batch.
    pub first_unfinished: Option<SequenceNumber>,
    /// Entries that have not ended and whose items wait for long: where the delivery keeps account of each entry, it is
    /// to pass over them until they are due. Empty where it does not ([`LongWaits`](crate::ledger::LongWaits)).
    pub waiting: Vec<Waiting>,
    /// Entries of the batch that are parked in the ledger: they have not ended, but the stream is done with them.
    pub parked: Vec<SequenceNumber>,
    /// Entries that had been parked, were taken up again beside the batch and have ended.
    pub taken_up: Vec<(SequenceNumber, End)>,
    /// Why entries were left, where there is more to say than that their time had not come.
    pub stopped: Option<Stopped>,
}

/// An entry whose item cannot be fetched for a while: it failed and waits for its next attempt, or another worker has
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The entry.
    pub sequence: SequenceNumber,
    /// When it is to be delivered again.
    pub until: Timestamp,
}

/// Entries that wait for long and were set aside.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// For the delivery.
    pub(crate) waiting: Vec<Waiting>,
    /// In the ledger.
    pub(crate) parked: Vec<SequenceNumber>,
}

/// Why a batch was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The breaker is open, or opened meanwhile.
    BreakerOpen,
    /// The window is closed.
    WindowClosed,
    /// The day's quota of requests is spent.
    QuotaSpent,
    /// The API has been failing for so long that it is not worth an invocation; the mapping is disabled, and ticks try
    /// it.
    ApiDown,
    /// A clean stop was asked for.
    Asked,
    /// The call was too short for a single fetch: nothing starts as long as calls are that short.
    Deadline,
    /// Another worker sealed this one because its claims had expired: it was frozen for longer than they hold, or the
    /// wall clock leapt. It stores nothing more; the next delivery goes to another worker.
    TakenOver,
    /// The sink or the ledger failed; nothing is lost, but an operator has to look.
    Storage(String),
}
