//! Retry-After (RFC 9110, section 10.2.3): seconds, or a date. And the reset of rate headers: seconds, or a Unix time.

use std::time::{Duration, SystemTime};

use super::date;

/// How long to wait. A date is measured from the answer's own Date where it has one, so that neither side's
/// clock needs to be right; `now`, a Unix time, is asked only where it has none. A date that is past means no wait.
pub(super) fn parse(value: &str, date: Option<&str>, now: impl FnOnce() -> Duration) -> Option<Duration> {
    let value = value.trim();
    if let Some(wait) = seconds(value) {
        return Some(wait);
    }
    let until = date::parse(value)?;
    Some(until.saturating_sub(date.and_then(date::parse).unwrap_or_else(now)))
}

/// From here on a reset is no number of seconds from now, which would be thirty years of them, but a Unix time in
/// seconds.
const UNIX_TIMES: Duration = Duration::from_secs(1_000_000_000);

/// How long until a rate header's reset. Measured as above where it is a time; one that is past means no wait.
pub(super) fn reset(value: &str, date: Option<&str>, now: impl FnOnce() -> Duration) -> Option<Duration> {
    let reset = seconds(value.trim())?;
    if reset < UNIX_TIMES {
        return Some(reset);
    }
    // More than any clock has.
    i64::try_from(reset.as_secs()).ok()?;
    Some(reset.saturating_sub(date.and_then(date::parse).unwrap_or_else(now)))
}

/// Seconds, and against the RFC but seen in the field, with a fraction.
fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // More digits than fit are a very long wait, not none.
    let whole = whole.parse().unwrap_or(u64::MAX);
    let millis = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(3)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(Duration::from_secs(whole).saturating_add(Duration::from_millis(millis)))
}

/// The wall clock, as a Unix time: WASI's in a component.
#[allow(clippy::disallowed_methods, reason = "the SDK's one look at the clock, for answers that have no Date")]
pub(super) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: &str = "Thu, 01 Jan 2026 12:00:00 GMT";
    const ONE_MINUTE_PAST: &str = "Thu, 01 Jan 2026 12:01:00 GMT";

    fn never() -> Duration {
        panic!("the clock is not needed")
    }

    #[test]
    fn reads_seconds() {
        let read = |value| parse(value, None, never);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read(" 0 "), Some(Duration::ZERO));
        assert_eq!(read("1.25"), Some(Duration::from_millis(1250)));
        assert_eq!(read("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn measures_a_date_from_the_answer_s_own_date() {
        let wait = parse(ONE_MINUTE_PAST, Some(NOON), never);
        assert_eq!(wait, Some(Duration::from_secs(60)));
        assert_eq!(parse(NOON, Some(ONE_MINUTE_PAST), never), Some(Duration::ZERO));
    }

    #[test]
    fn measures_a_date_from_the_clock_where_the_answer_has_none() {
        let noon = || date::parse(NOON).unwrap();
        for date in [None, Some("yesterday")] {
            assert_eq!(parse(ONE_MINUTE_PAST, date, noon), Some(Duration::from_secs(60)));
        }
    }

    #[test]
    fn what_is_neither_is_none() {
        for value in ["", "-1", "soon", "1,2", "1.", ".5", "1e3", "Thu, 99 Jan 2026 12:00:00 GMT"] {
            assert_eq!(parse(value, None, never), None, "{value:?}");
        }
    }

    #[test]
    fn a_reset_is_seconds_or_a_unix_time() {
        assert_eq!(reset(" 6 ", None, never), Some(Duration::from_secs(6)));
        assert_eq!(reset("1767268830", Some(NOON), never), Some(Duration::from_secs(30)));
        assert_eq!(reset("1767268799", Some(NOON), never), Some(Duration::ZERO));
        let noon = || date::parse(NOON).unwrap();
        assert_eq!(reset("1767268830", None, noon), Some(Duration::from_secs(30)));
        for value in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(reset(value, Some(NOON), never), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(value in prop_oneof![any::<String>(), "[0-9.]{0,30}", "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"], date: Option<String>) {
            let _ = parse(&value, date.as_deref(), || Duration::ZERO);
            let _ = reset(&value, date.as_deref(), || Duration::ZERO);
        }
    }
}
