//! Published algorithms for the same job, in Damper's place: each faithful to its source, which its docs name, and held
//! to a figure that its authors published. They live in the simulator alone.
//!
//! All are given what they can use: no more than the slots, a minimum of one, and the same beginning as Damper's own
//! limiter (`initial`). None of them knows Retry-After, a rate, or a breaker, because their sources do not.

pub mod aimd;
pub mod article;
pub mod ciad;
pub mod fixed;
pub mod gradient2;
pub mod oracle;
pub mod vector_arc;

use std::time::Duration;

use damper_core::control::admission::{Admission, BreakerStatus, LimiterSnapshot, Permit};

/// The limit that all begin with: a quarter of the slots, 1 to 8.
#[must_use]
pub fn initial(max_in_flight: u32) -> u32 {
    (max_in_flight / 4).clamp(1, 8)
}

/// Shared by all limits on concurrency: they let start what is below a whole number of calls.
fn admit_below(limit: u32, in_flight: u32) -> Admission {
    if in_flight < limit { Admission::Now } else { Admission::AfterCompletion }
}

/// Counts the calls in flight, as a caller's semaphore would.
#[derive(Debug, Clone, Default)]
struct InFlight(u32);

impl InFlight {
    fn start_call(&mut self, now: Duration) -> Permit {
        self.0 += 1;
        Permit { started: now, in_flight: self.0 }
    }

    fn end_call(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// The reading of an algorithm that has a limit and nothing else.
fn reading(limit: u32, phase: &'static str) -> LimiterSnapshot {
    LimiterSnapshot { limit, breaker: BreakerStatus::Closed, gate: None, rate: None, phase }
}
