//! The wall clock: the only place of the pipeline that knows what time of day it is.
//!
//! Durations, timeouts and deadlines are `tokio::time`; this adds the calendar to it. In tests and simulations the
//! wall clock is pinned to tokio's, so that a paused clock runs a day in a second.

use jiff::Timestamp;
use tokio::time::Instant;

/// Where the time of day comes from.
#[derive(Debug, Clone, Copy)]
pub enum WallClock {
    /// The machine's own clock.
    System,
    /// A time of day that moves with tokio's clock: `epoch` was at `started`.
    Pinned {
        /// The time of day at `started`.
        epoch: Timestamp,
        /// The instant of tokio's clock that `epoch` stands for.
        started: Instant,
    },
}

impl WallClock {
    /// A clock that reads `epoch` now and moves with tokio's clock from here on.
    #[must_use]
    pub fn pinned(epoch: Timestamp) -> Self {
        Self::Pinned { epoch, started: Instant::now() }
    }

    /// The time of day, now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Self::System => Timestamp::now(),
            Self::Pinned { epoch, started } => {
                let elapsed = Instant::now().saturating_duration_since(*started);
                epoch.saturating_add(elapsed).unwrap_or(*epoch)
            }
        }
    }
}
