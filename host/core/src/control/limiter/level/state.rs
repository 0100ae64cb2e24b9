//! The state of a level, as it is saved: what is known of the API, and the experiment that is going on. Nothing is
//! decided here: the states' own modules import it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::limiter::errors::Errors;
use crate::control::limiter::latency::{Baseline, Sample};

/// The level and the experiment that is going on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Level {
    /// The hard cap.
    pub(super) most: f64,
    /// How many may be in flight, rounded down.
    pub(super) limit: f64,
    /// The last level that was found good.
    pub(super) held: f64,
    /// A level that was too much, if one is known.
    pub(super) too_much: Option<f64>,
    pub(super) phase: Phase,
    pub(super) measure: Measure,
    /// Whether something had to wait for the level lately.
    pub(super) limits: bool,
    pub(super) climb: Climb,
    pub(super) descent: Descent,
    pub(super) overload: Overload,
    pub(super) errors: Errors,
    pub(super) baseline: Baseline,
    /// The level before the first Retry-After whose cause is not known yet.
    pub(super) before_refusals: Option<f64>,
    /// In seconds; `None` until the first answer.
    pub(super) mean_latency: Option<f64>,
}

/// The current experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    Start(Start),
    Hold,
    Ramp(Ramp),
    Up(Up),
    Confirm,
    Down(Down),
    Relief(Relief),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Start(Start::default())
    }
}

/// The measurements since the present state began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Measure {
    pub(super) since: Duration,
    pub(super) window_since: Duration,
    pub(super) window_length: Duration,
    /// Latencies of this window.
    pub(super) window: Sample,
    /// Latencies of the windows before it; while a window is being judged, of all.
    pub(super) all: Sample,
    /// Fetches that started in this state and have ended.
    pub(super) ended: u32,
    /// How many of them failed.
    pub(super) failed: u32,
    /// Whether something had to wait for the level in this window.
    pub(super) limits: bool,
}

/// The steps to compare with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Start {
    pub(super) first: Option<Step>,
    pub(super) before: Option<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) level: f64,
    pub(super) latency: Sample,
}

/// When to look up next, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Climb {
    pub(super) due: Duration,
    pub(super) interval: Duration,
    pub(super) step: f64,
}

/// On the way up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ramp {
    pub(super) target: f64,
    pub(super) next: Duration,
    pub(super) before: Sample,
}

/// Measuring at the higher level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Up {
    pub(super) before: Sample,
}

/// When to look down next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Descent {
    pub(super) due: Duration,
    pub(super) interval: Duration,
}

/// Measuring at a lower level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Down {
    pub(super) why: Why,
    /// The level to go back to.
    pub(super) from: f64,
    pub(super) before: Sample,
}

/// Why the level was lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// It was time to see whether fewer would do.
    Due,
    /// Answers had become slower.
    Slower,
}

/// The information from 429s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Overload {
    /// When the level was last lowered for one.
    pub(super) cut: Option<Duration>,
    /// The last times that a level was too much which had been good.
    pub(super) surprises: VecDeque<Duration>,
    pub(super) shared_until: Option<Duration>,
    /// How many were in flight with the last fetch that was refused.
    pub(super) refused_at: Option<f64>,
    pub(super) contested_until: Option<Duration>,
}

/// Measuring failures at a lower level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Relief {
    /// The level to go back to.
    pub(super) from: f64,
    /// The share that failed there.
    pub(super) share_before: f64,
}
