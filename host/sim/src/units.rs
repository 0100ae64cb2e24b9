//! Seconds as floating point and as `Duration`, and how a scenario writes them.

use std::time::Duration;

use damper_core::manifest::units::parse_duration;
use serde::{Deserialize, Deserializer, de};

/// Longer than any simulation: what a time that is not finite becomes.
pub const FOREVER: Duration = Duration::from_secs(1 << 32);

/// A duration of so many seconds, at most [`FOREVER`]. A negative number or NaN becomes zero.
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

/// A time of the run, as `1:05:00` or `12:30`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a week")]
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Reads `"30s"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|error| de::Error::custom(format!("{text:?} is not a duration: {error}")))
}

/// Reads `"30s"` where it may be left out.
pub(crate) fn duration_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_a_clock() {
        assert_eq!([0.0, 750.0, 3_900.0].map(clock), ["0:00", "12:30", "1:05:00"]);
    }

    #[test]
    fn what_is_no_time_is_none_and_what_is_too_long_is_cut() {
        assert_eq!([f64::NAN, -1.0, f64::INFINITY].map(seconds), [Duration::ZERO, Duration::ZERO, FOREVER]);
    }
}
