//! A plan of faults: data, so that it can be drawn from a seed, printed, and made smaller.

use std::fmt;
use std::time::Duration;

/// The operations of the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The ledger: claim an item.
    Claim,
    /// The ledger: end items.
    Finish,
    /// The ledger: give a claim back.
    Release,
    /// The ledger: acquire, renew or give back slots.
    Slots,
    /// The ledger: read the control item.
    ReadControl,
    /// The ledger: write the control item.
    WriteControl,
    /// The ledger: which items are done.
    ReadDone,
    /// The sink: create an object.
    Put,
    /// The sink: read an object.
    Get,
    /// The sink: list objects.
    List,
    /// The mapping: read it.
    ReadMapping,
    /// The mapping: change it.
    ChangeMapping,
    /// The stream: become or stay the one who delivers.
    Hold,
    /// The stream: read a batch.
    ReadBatch,
    /// The stream: record what a batch came to.
    Checkpoint,
    /// The ledger: keep entries until they are due.
    Park,
    /// The ledger: read the entries that are kept and due.
    ReadParked,
    /// The ledger: forget entries that were kept.
    Unpark,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 18] = [
        Self::Claim,
        Self::Finish,
        Self::Release,
        Self::Slots,
        Self::ReadControl,
        Self::WriteControl,
        Self::ReadDone,
        Self::Put,
        Self::Get,
        Self::List,
        Self::ReadMapping,
        Self::ChangeMapping,
        Self::Hold,
        Self::ReadBatch,
        Self::Checkpoint,
        Self::Park,
        Self::ReadParked,
        Self::Unpark,
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claim => "claim",
            Self::Finish => "finish",
            Self::Release => "release",
            Self::Slots => "slots",
            Self::ReadControl => "read control",
            Self::WriteControl => "write control",
            Self::ReadDone => "read done",
            Self::Put => "put",
            Self::Get => "get",
            Self::List => "list",
            Self::ReadMapping => "read mapping",
            Self::ChangeMapping => "change mapping",
            Self::Hold => "hold stream",
            Self::ReadBatch => "read batch",
            Self::Checkpoint => "checkpoint",
            Self::Park => "park",
            Self::ReadParked => "read parked",
            Self::Unpark => "unpark",
        })
    }
}

/// How one call of a port goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing is done; the caller gets an error.
    FailBefore,
    /// It is done; the caller gets an error.
    FailAfter,
    /// It is done, and done again by a client that missed the first answer; the caller gets the second answer.
    Twice,
    /// The caller gets an error; it is done so much later.
    Late(Duration),
    /// It is done, and takes so long.
    Slow(Duration),
    /// The port throttles; nothing is done.
    Refused,
    /// The calling process is frozen for so long, before it is done.
    FreezeBefore(Duration),
    /// The calling process is frozen for so long, after it is done.
    FreezeAfter(Duration),
    /// The calling process dies before it is done.
    DieBefore,
    /// The calling process dies after it is done.
    DieAfter,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailBefore => f.write_str("fails, nothing is done"),
            Self::FailAfter => f.write_str("is done, its answer is lost"),
            Self::Twice => f.write_str("is done twice, the second answer comes"),
            Self::Late(by) => write!(f, "fails, and is done {by:?} later"),
            Self::Slow(by) => write!(f, "takes {by:?}"),
            Self::Refused => f.write_str("is throttled"),
            Self::FreezeBefore(by) => write!(f, "freezes its process for {by:?} before it is done"),
            Self::FreezeAfter(by) => write!(f, "freezes its process for {by:?} after it is done"),
            Self::DieBefore => f.write_str("kills its process before it is done"),
            Self::DieAfter => f.write_str("kills its process after it is done"),
        }
    }
}

/// One fault. Times count from the beginning of the run; calls count over all processes, the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The `nth` call of an operation goes wrong.
    Call {
        /// Which operation.
        operation: Operation,
        /// Which of its calls.
        nth: u32,
        /// How.
        how: How,
    },
    /// All calls of an operation fail for a while: a full disk, a store that is down.
    Outage {
        /// Which operation.
        operation: Operation,
        /// From when.
        from: Duration,
        /// For how long.
        length: Duration,
    },
    /// A process dies and is started again.
    Death {
        /// Which process.
        process: usize,
        /// When.
        at: Duration,
    },
    /// A process is frozen.
    Freeze {
        /// Which process.
        process: usize,
        /// When.
        at: Duration,
        /// For how long.
        length: Duration,
    },
    /// The machine's wall clock steps.
    ClockStep {
        /// When.
        at: Duration,
        /// By how many seconds, back where negative.
        by_seconds: i64,
    },
    /// An object with records is removed from the sink by a third party.
    ObjectGone {
        /// When.
        at: Duration,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { operation, nth, how } => write!(f, "{operation} number {nth} {how}"),
            Self::Outage { operation, from, length } => {
                write!(f, "from {from:?} every {operation} fails for {length:?}")
            }
            Self::Death { process, at } => write!(f, "at {at:?} process {process} dies"),
            Self::Freeze { process, at, length } => write!(f, "at {at:?} process {process} freezes for {length:?}"),
            Self::ClockStep { at, by_seconds } => write!(f, "at {at:?} the wall clock steps by {by_seconds} s"),
            Self::ObjectGone { at } => write!(f, "at {at:?} an object with records is taken out of the sink"),
        }
    }
}

/// All faults of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// In any order.
    pub faults: Vec<Fault>,
    /// After this time no call goes wrong any more.
    pub ends: Duration,
}
