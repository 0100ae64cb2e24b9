//! Seconds as floating point and as `Duration`, and how a scenario writes them.

use std::time::Duration;

use damper_core::manifest::units::parse_duration;
use serde::{Deserialize, Deserializer, de};

/// Longer than any simulation: what a time that is not finite becomes.
pub const FOREVER: Duration = Duration::from_secs(1 << 32);

/// A duration of so many seconds, at most [`FOREVER`]. What is negative or not a number is none at all.
#[must_use]
pub fn seconds(seconds: f64) -> Duration {
    if seconds.is_nan() || seconds <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(seconds).map_or(FOREVER, |duration| duration.min(FOREVER))
}

/// `count` as a floating point number; exact below 2^53, which no simulation reaches.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// Reads `"30s"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|error| de::Error::custom(format!("{text:?} is no duration: {error}")))
}

/// Reads `"30s"` where it may be left out.
pub(crate) fn duration_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
