//! Requests at the control plane, of which all providers of an account share fifteen a second.

use std::time::Duration;

use damper_core::testing::mapping::MemoryMapping;
use tokio::time::Instant;

/// The requests of a run's clients at their mappings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MappingRequests {
    /// Changes of the batch size alone.
    pub resized: u64,
    /// Of these, in the run's last quarter.
    pub resized_late: u64,
    /// The shortest time between two of one client's; none: there were no two.
    pub least_between: Option<Duration>,
    /// Enabled and disabled.
    pub switched: u64,
    /// Reads.
    pub reads: u64,
}

impl MappingRequests {
    /// The requests at one mapping in a run of this length.
    pub(super) fn at(mapping: &MemoryMapping, began: Instant, duration: Duration) -> Self {
        let changes = mapping.changes();
        let sizes = changes.iter().filter(|(_, change)| change.enabled.is_none());
        let resized: Vec<Duration> = sizes.map(|(at, _)| at.saturating_duration_since(began)).collect();
        let between = resized.iter().zip(resized.iter().skip(1)).map(|(earlier, later)| later.saturating_sub(*earlier));
        Self {
            resized: resized.len() as u64,
            resized_late: resized.iter().filter(|at| **at >= duration * 3 / 4).count() as u64,
            least_between: between.min(),
            switched: (changes.len() - resized.len()) as u64,
            reads: mapping.reads() as u64,
        }
    }

    /// These and another client's.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            resized: self.resized + other.resized,
            resized_late: self.resized_late + other.resized_late,
            least_between: self.least_between.into_iter().chain(other.least_between).min(),
            switched: self.switched + other.switched,
            reads: self.reads + other.reads,
        }
    }
}
