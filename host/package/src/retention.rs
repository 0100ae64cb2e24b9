//! How long a provider's stream keeps its items: longer than its window is ever closed. Pure.

use std::time::Duration;

use damper_core::manifest::Manifest;
use jiff::Timestamp;

use crate::error::PackagingError;

const HOUR: Duration = Duration::from_secs(3_600);
/// The shortest retention of a stream, in hours: a week, enough time to see the alarm.
const MIN_HOURS: u64 = 168;
/// The margin added to the longest closed time of the window, in hours.
const SPARE_HOURS: u64 = 48;
/// The most that Kinesis keeps, in hours: a year.
const MAX_HOURS: u64 = 8_760;
/// The most that Lambda lets MaximumRecordAgeInSeconds be.
const MAX_RECORD_AGE: Duration = Duration::from_secs(604_800);
/// The year whose windows are looked at, so that the same manifest always gives the same stream.
const YEAR: &str = "2026-01-01T00:00:00Z";

/// How long a stream and its mapping keep an item.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamRetention {
    /// The longest time that the window is closed.
    pub(crate) closed: Duration,
    /// The stream's retention, in hours.
    pub hours: u64,
    /// The age at which the mapping gives a record up; none: it never does, for it might while the window is closed.
    pub(crate) record_age: Option<Duration>,
}

impl StreamRetention {
    /// The retention that a provider's window needs.
    ///
    /// # Errors
    /// If no stream keeps items for so long.
    pub(crate) fn of(manifest: &Manifest) -> Result<Self, PackagingError> {
        let year = YEAR.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let closed = manifest.window.longest_closed(year).ok_or_else(|| {
            PackagingError::input(
                format!("the window of {} never opens", manifest.name),
                "check `window` in its provider.toml and in damper.toml: the window is open only while both are",
            )
        })?;
        Self::for_closed_time(closed).ok_or_else(|| {
            let hours = closed.as_secs().div_ceil(3_600);
            PackagingError::input(
                format!(
                    "the window of {} is closed for {hours} h at a time, and a stream keeps an item for at most \
                        {MAX_HOURS} h, {SPARE_HOURS} of which are kept in reserve",
                    manifest.name
                ),
                "open it more often, or feed the provider only while it is open",
            )
        })
    }

    fn for_closed_time(closed: Duration) -> Option<Self> {
        let hours = (closed.as_secs().div_ceil(3_600) + SPARE_HOURS).max(MIN_HOURS);
        let kept_for = HOUR.saturating_mul(u32::try_from(hours).ok()?);
        let age = kept_for.saturating_sub(HOUR);
        let record_age = (age <= MAX_RECORD_AGE).then_some(age);
        (hours <= MAX_HOURS).then_some(Self { closed, hours, record_age })
    }

    /// The age of the oldest item that is to be told: a day before the stream trims it.
    pub(crate) fn alarm_age(&self) -> Duration {
        HOUR.saturating_mul(u32::try_from(self.hours.saturating_sub(24)).unwrap_or(u32::MAX))
    }

    /// The warning that the mapping gives items up before Damper would.
    pub(crate) fn warning(&self, manifest: &Manifest) -> Option<String> {
        let (age, wanted) = (self.record_age?, manifest.retry.max_item_age);
        let hours = |duration: Duration| duration.as_secs() / 3_600;
        (wanted > age).then(|| {
            format!(
                "{}: Lambda gives up on an item after {} h, before its max_item_age of {} h makes it a dead \
                    letter; the item is then stored in the bucket below aws/lambda/. Set `retry.max_item_age` in \
                    provider.toml to \"6d\" or less, so that such items become dead letters",
                manifest.name,
                hours(age),
                hours(wanted)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u32) -> Duration {
        HOUR * hours
    }

    #[test]
    fn a_stream_keeps_its_items_for_a_week_at_least() {
        for closed in [0, 10, 120] {
            let retention = StreamRetention::for_closed_time(hours(closed)).unwrap();
            assert_eq!((retention.hours, retention.record_age), (168, Some(hours(167))), "{closed} h");
        }
    }

    #[test]
    fn a_stream_outlasts_the_closed_window_by_two_days() {
        let retention = StreamRetention::for_closed_time(hours(167) + Duration::from_secs(1)).unwrap();
        assert_eq!(retention.hours, 168 + 48);
        assert_eq!(retention.alarm_age(), hours(216 - 24));
    }

    #[test]
    fn a_mapping_gives_nothing_up_that_a_closed_window_may_hold_back() {
        assert_eq!(StreamRetention::for_closed_time(hours(121)).unwrap().record_age, Some(MAX_RECORD_AGE));
        assert_eq!(StreamRetention::for_closed_time(hours(122)).unwrap().record_age, None);
    }

    #[test]
    fn what_kinesis_cannot_keep_is_refused() {
        assert_eq!(StreamRetention::for_closed_time(hours(8_712)).unwrap().hours, 8_760);
        assert_eq!(StreamRetention::for_closed_time(hours(8_713)), None);
    }
}
