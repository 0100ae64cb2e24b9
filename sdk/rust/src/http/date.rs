//! Dates of HTTP (RFC 9110, section 5.6.7), in the three forms that a recipient must accept. Of our own, since a
//! component pays for each byte: the crate for it takes ten times as many.

use std::time::Duration;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The first day of the Unix time was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The time since the first second of 1970, of a date from then on; `None` for what is no date.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let parts: Vec<&str> = text.split([' ', ',', '-', ':']).filter(|part| !part.is_empty()).collect();
    let (weekday, day, month, year, time) = match *parts.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT; Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, day, month, year, hour, minute, second, "GMT"] => (weekday, day, month, year, [hour, minute, second]),
        // Sun Nov  6 08:49:37 1994
        [weekday, month, day, hour, minute, second, year] => (weekday, day, month, year, [hour, minute, second]),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let year = match number(year)? {
        short @ 0..70 if year.len() == 2 => 2000 + short,
        short if year.len() == 2 => 1900 + short,
        long => long,
    };
    let days = days_since_1970(year, month, number(day)?)?;
    let name = WEEKDAYS.iter().cycle().nth((days % 7) as usize)?;
    let [hour, minute, second] = time.map(number);
    let (hour, minute, second) = (hour?, minute?, second?);
    // A leap second is one second more.
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_time && weekday.starts_with(name))
        .then(|| Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

/// A number of at most four digits.
fn number(digits: &str) -> Option<u64> {
    let is_number = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// `month`: from 0.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of = |month: u64| match month {
        1 => 28 + u64::from(is_leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if year < 1970 || day == 0 || day > days_of(month) {
        return None;
    }
    let before = year - 1;
    // Those before 1970 are 477.
    let leap_days = before / 4 - before / 100 + before / 400 - 477;
    Some((year - 1970) * 365 + leap_days + (0..month).map(days_of).sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    /// The last second of 9999, as far as the crate that these dates are compared with goes.
    const LAST: u64 = 253_402_300_799;

    #[test]
    fn reads_the_three_forms_of_the_rfc() {
        let expected = Some(Duration::from_secs(784_111_777));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT"), expected);
        assert_eq!(parse("Sun Nov  6 08:49:37 1994"), expected);
        assert_eq!(parse("Wednesday, 01-Jan-69 00:00:00 GMT"), None, "2069 begins with a Tuesday");
        assert!(parse("Tuesday, 01-Jan-69 00:00:00 GMT").is_some());
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Thu, 00 Jan 2026 12:00:00 GMT",
            "Sun, 29 Feb 2026 12:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_date_is_what_another_reader_makes_of_it(seconds in 0..=LAST) {
            let expected = Duration::from_secs(seconds);
            let date = httpdate::fmt_http_date(UNIX_EPOCH + expected);
            prop_assert_eq!(parse(&date), Some(expected), "{}", date);
        }

        #[test]
        fn what_another_reader_accepts_is_the_same_here(text in "(Mon|Thu|Sunday|Sun)[, ]{0,2}[0-3][0-9][ -](Jan|Feb|Nov)[ -](19|20|)[0-9]{2} [0-2][0-9]:[0-6][0-9]:[0-6][0-9] GMT") {
            if let Ok(time) = httpdate::parse_http_date(&text) {
                prop_assert_eq!(parse(&text), time.duration_since(UNIX_EPOCH).ok(), "{}", text);
            }
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = parse(&text);
        }
    }
}
