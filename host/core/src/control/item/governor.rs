//! The governor's state, stored in the control item. Its decisions are in
//! [`control::governor`](crate::control::governor).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::item::stop::OpenedBy;

/// The slow loop's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Governor {
    /// Records a second while fetches are launched, over the latest invocations.
    pub rate: Option<f64>,
    /// From the last start to the end of an invocation, over the latest ones, in seconds.
    pub tail_seconds: Option<f64>,
    /// The last batch size that was chosen while the API was well.
    pub good_batch: Option<u32>,
    /// When the batch size was changed last.
    pub resized_at: Option<Timestamp>,
    /// The change that was asked for and has not been seen at the mapping yet.
    pub pending: Option<Pending>,
    /// Why the mapping is disabled, if it is.
    pub disabled: Option<Disabled>,
    /// The mapping as it was read last.
    pub seen: Option<Seen>,
    /// How often in a row the mapping was enabled to see whether the API is back; 0: it is not being tried.
    pub tries: u32,
}

/// A mapping that is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// The party that disabled it.
    pub by: OpenedBy,
    /// Since when.
    pub since: Timestamp,
    /// When it may be enabled again, if that is known.
    pub until: Option<Timestamp>,
}

/// A change on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// When it was asked for.
    pub at: Timestamp,
    /// The batch size that will hold.
    pub batch_size: Option<u32>,
    /// Whether batches will be fed.
    pub enabled: Option<bool>,
}

/// A mapping as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// The most entries of one batch.
    pub batch_size: u32,
    /// Whether batches were fed.
    pub enabled: bool,
}
