//! What the mapping asks of its driver, and the answers that it takes.

use std::sync::Arc;

use jiff::Timestamp;

use crate::record::Record;

/// Names one batch; its retries share the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(super) u64);

/// A batch to invoke the function with.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its name, for [`Mapping::on_answer`](super::Mapping::on_answer).
    pub batch: BatchId,
    /// Its shard.
    pub shard: String,
    /// Its records, in order.
    pub records: Arc<[Record]>,
    /// 1 for the first invocation with this batch.
    pub attempt: u32,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The function answered with this body.
    Replied {
        /// The invocation's request id.
        request_id: String,
        /// The body.
        body: Vec<u8>,
    },
    /// The function failed: an error, a timeout, an exit.
    Failed {
        /// The invocation's request id.
        request_id: String,
        /// The error, for people.
        message: String,
    },
    /// There was no invocation (throttled): it counts for nothing.
    NotInvoked,
}

/// A batch's last invocation, when it is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAnswer {
    /// The invocation's request id.
    pub request_id: String,
    /// Whether the function failed (`Unhandled`), rather than reporting failures.
    pub unhandled: bool,
}

/// Why records were discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The batch's retries are spent.
    RetryAttemptsExhausted,
    /// The records are too old.
    RecordAgeExceeded,
}

impl Condition {
    /// The condition as the on-failure document writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
        }
    }
}

/// Records given up on, for the on-failure destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Discarded {
    /// Their shard.
    pub shard: String,
    /// The records, in order.
    pub records: Vec<Record>,
    /// Why.
    pub condition: Condition,
    /// `approximateInvokeCount`, counted as AWS counts: an expired batch's includes the invocation that it did not get.
    pub invoke_count: u32,
    /// The last invocation; none if there was none.
    pub last: Option<LastAnswer>,
    /// When.
    pub at: Timestamp,
}

/// An action of the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Invoke the function.
    Invoke(Delivery),
    /// Write to the on-failure destination.
    Discard(Discarded),
}
