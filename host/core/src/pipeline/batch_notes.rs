//! The notes on a batch: what its call has read of them in the control item when it starts, and writes there when it
//! ends.

use crate::control::item::Control;
use crate::pipeline::batch::Batch;
use crate::pipeline::parking::{MOST_PARKED, ParkedRead};
use crate::pipeline::redelivery::Redelivery;

/// The notes on a batch.
#[derive(Debug)]
pub(crate) struct BatchNotes {
    /// Whether it is delivered again.
    pub(crate) redelivery: Redelivery,
    /// The result of reading the parked entries, if they were read.
    pub(crate) parked_read: Option<ParkedRead>,
    /// Whether entries that wait for long may be parked: the number of parked entries is below the limit.
    pub(crate) may_park: bool,
}

impl BatchNotes {
    /// The notes at the start of a call.
    pub(crate) fn new(batch: &Batch, parked_read: Option<ParkedRead>, control: &Control) -> Self {
        let may_park = control.parked.count < MOST_PARKED;
        Self { redelivery: Redelivery::of(batch, control), parked_read, may_park }
    }
}
