//! The stores and the clock that a pipeline works with: its ports, apart from the fetcher. The programs construct them.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::clock::WallClock;
use crate::ledger::Ledger;
use crate::mapping::Mapping;
use crate::random::RandomSource;
use crate::sink::Compression;

/// The stores of state and records, and the clock.
#[derive(Clone)]
pub struct Stores {
    /// Claims, slots and control items.
    pub ledger: Arc<dyn Ledger>,
    /// Records.
    pub sink: Arc<dyn ObjectStore>,
    /// How they are compressed there.
    pub compression: Compression,
    /// The source of batches.
    pub mapping: Arc<dyn Mapping>,
    /// The time of day.
    pub clock: WallClock,
    /// Jitter, and the names of owners.
    pub random: RandomSource,
}
