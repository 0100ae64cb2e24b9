//! What a batch came to, for whoever delivered it.

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

/// What `process` reports of a batch.
#[derive(Debug, Default)]
pub struct Report {
    /// The entries that have ended, in the batch's order. What is not named here is to be delivered again.
    pub ended: Vec<(SequenceNumber, End)>,
    /// The lowest entry that has not ended: redelivery begins there. `None`: the whole batch is done.
    pub first_unfinished: Option<SequenceNumber>,
    /// Why entries were left, where there is more to say than that their time had not come.
    pub stopped: Option<Stopped>,
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
    /// The API has been failing for so long that it is not worth an invocation; the mapping is disabled, and ticks try it.
    ApiDown,
    /// A clean stop was asked for.
    Asked,
    /// The call was too short for a single fetch: nothing starts as long as calls are that short.
    Deadline,
    /// The sink or the ledger failed; nothing is lost, but a person has to look.
    Storage(String),
}
