//! Spans of a week, as manifests write them: `Mon-Fri 20:00-06:00`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use serde::Deserialize;

const MINUTES_A_DAY: u16 = 24 * 60;
const NAMES: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// A stretch of time on some days of every week, by the wall clock: from its beginning (included) to its end (not
/// included).
///
/// Written `DAYS BEGIN-END`, `DAYS` or `BEGIN-END`: days as `Mon`, `Mon-Fri`, `Sat-Mon` or `Mon,Wed,Fri-Sun` (none:
/// every day), times as `HH:MM` (none: the whole day). A span that ends before it begins goes past midnight and belongs
/// to the day it begins: `Fri 22:00-02:00` ends on Saturday. An end of `24:00` or `00:00` is the midnight that ends the
/// day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Span {
    days: Days,
    /// Minutes of the day, below 1440.
    begins: u16,
    /// Minutes of the day, 1 to 1440; at or below `begins` for a span past midnight, never equal to it.
    ends: u16,
}

/// Days of the week, one bit each from Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Days(u8);

impl Days {
    const ALL: Self = Self(0b111_1111);

    fn has(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    1u8.wrapping_shl(day.to_monday_zero_offset().unsigned_abs().into())
}

/// A text that is no [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write a span as \"Mon-Fri 20:00-06:00\", \"Mon,Wed 08:00-12:00\", \"Sat-Sun\" or \"20:00-06:00\"")]
pub struct SpanError {
    problem: String,
}

impl Span {
    /// Whether the span holds at a time of a day of the week.
    #[must_use]
    pub fn holds(&self, day: Weekday, time: Time) -> bool {
        let minute = minute_of_day(time);
        if self.begins < self.ends {
            return self.days.has(day) && (self.begins..self.ends).contains(&minute);
        }
        (self.days.has(day) && minute >= self.begins) || (self.days.has(day.previous()) && minute < self.ends)
    }

    /// The times of day at which the span may begin or end.
    pub(super) fn edges(&self) -> [Time; 2] {
        [self.begins, self.ends].map(time_of_minute)
    }
}

fn minute_of_day(time: Time) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

/// The time of day, where 1440 is the next day's midnight.
fn time_of_minute(minute: u16) -> Time {
    let minute = minute % MINUTES_A_DAY;
    let (hour, minute) = (i8::try_from(minute / 60), i8::try_from(minute % 60));
    Time::new(hour.unwrap_or(0), minute.unwrap_or(0), 0, 0).unwrap_or(Time::midnight())
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| SpanError { problem })
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

fn parse(text: &str) -> Result<Span, String> {
    let mut words = text.split_whitespace();
    let (days, times) = match (words.next(), words.next(), words.next()) {
        (Some(times), None, _) if times.starts_with(|first: char| first.is_ascii_digit()) => (None, Some(times)),
        (Some(days), times, None) => (Some(days), times),
        (None, ..) => return Err("it is empty".to_owned()),
        _ => return Err("it has something after the days and times".to_owned()),
    };
    let days = days.map_or(Ok(Days::ALL), parse_days)?;
    let (begins, ends) = times.map_or(Ok((0, MINUTES_A_DAY)), parse_times)?;
    Ok(Span { days, begins, ends })
}

fn parse_days(text: &str) -> Result<Days, String> {
    let mut days = Days(0);
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_day(first)?, parse_day(last)?);
        let run = first.cycle_forward().take(7);
        for day in run {
            days.0 |= bit(day);
            if day == last {
                break;
            }
        }
    }
    Ok(days)
}

fn parse_day(text: &str) -> Result<Weekday, String> {
    let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known
        .map(|(_, day)| *day)
        .ok_or_else(|| format!("{text:?} is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"))
}

fn parse_times(text: &str) -> Result<(u16, u16), String> {
    let (begin, end) = text.split_once('-').ok_or_else(|| format!("{text:?} has no end"))?;
    let (begins, ends) = (parse_minute(begin)?, parse_minute(end)?);
    if begins == MINUTES_A_DAY {
        return Err("24:00 can only end a span".to_owned());
    }
    if begins == ends {
        return Err(format!("it begins and ends at {begin}: for the whole day, remove the times"));
    }
    Ok((begins, if ends == 0 { MINUTES_A_DAY } else { ends }))
}

/// A time of day as `HH:MM` from 00:00 to 23:59, for a manifest's `day_starts`.
///
/// # Errors
/// If the text is no such time; the message says how to write it.
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    match parse_minute(text) {
        Ok(minute) if minute < MINUTES_A_DAY => Ok(time_of_minute(minute)),
        Ok(_) => Err("a day starts from 00:00 to 23:59".to_owned()),
        Err(problem) => Err(problem),
    }
}

/// Minutes of the day from `HH:MM`, at most 24:00.
fn parse_minute(text: &str) -> Result<u16, String> {
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':').unwrap_or((text, ""));
    match (two_digits(hour), two_digits(minute)) {
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        (Some(24), Some(0)) => Ok(MINUTES_A_DAY),
        _ => Err(format!("{text:?} is not a time: times are HH:MM, as in 08:30")),
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = NAMES.iter().filter(|(_, day)| self.days.has(*day)).map(|(name, _)| *name).collect();
        let [begins, ends] = [self.begins, self.ends].map(|minute| (minute / 60, minute % 60));
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", names.join(","), begins.0, begins.1, ends.0, ends.1)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    #[test]
    fn spans_are_read_in_every_form() {
        for (text, same_as) in [
            ("Mon-Fri 20:00-06:00", "Mon,Tue,Wed,Thu,Fri 20:00-06:00"),
            ("Sat-Sun", "Sat,Sun 00:00-24:00"),
            ("Sun 02:00-04:00", "Sun 02:00-04:00"),
            ("20:00-06:00", "Mon,Tue,Wed,Thu,Fri,Sat,Sun 20:00-06:00"),
            ("Mon,Wed 08:00-12:00", "Mon,Wed 08:00-12:00"),
            ("Sat-Mon,Wed", "Mon,Wed,Sat,Sun 00:00-24:00"),
            ("tue 20:00-00:00", "Tue 20:00-24:00"),
            ("  Mon   08:00-24:00 ", "Mon 08:00-24:00"),
        ] {
            assert_eq!(span(text).to_string(), same_as, "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("Mon 08:00-12:00 UTC", "it has something after the days and times"),
            ("Moon", "\"Moon\" is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("Mon-", "\"\" is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("Mon, Wed", "\"\" is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("Mon-Wed-Fri", "\"Wed-Fri\" is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("Mon 08:00", "\"08:00\" has no end"),
            ("08:00-08:00", "it begins and ends at 08:00: for the whole day, remove the times"),
            ("00:00-00:00", "it begins and ends at 00:00: for the whole day, remove the times"),
            ("24:00-06:00", "24:00 can only end a span"),
            ("Mon 8:00-12:00", "\"8:00\" is not a time: times are HH:MM, as in 08:30"),
            ("Mon 08:00-24:01", "\"24:01\" is not a time: times are HH:MM, as in 08:30"),
            ("Mon 08:60-12:00", "\"08:60\" is not a time: times are HH:MM, as in 08:30"),
            ("Mon +8:00-12:00", "\"+8:00\" is not a time: times are HH:MM, as in 08:30"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap_err().problem, reason, "{text}");
        }
    }

    #[test]
    fn span_past_midnight_belongs_to_the_day_it_begins() {
        let night = span("Sun 22:00-02:00");
        assert!(!night.holds(Weekday::Sunday, time(1, 0, 0, 0)));
        assert!(!night.holds(Weekday::Sunday, time(21, 59, 59, 999)));
        assert!(night.holds(Weekday::Sunday, time(22, 0, 0, 0)));
        assert!(night.holds(Weekday::Monday, time(1, 59, 59, 0)));
        assert!(!night.holds(Weekday::Monday, time(2, 0, 0, 0)));
        assert!(!night.holds(Weekday::Monday, time(22, 0, 0, 0)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9:, -]{0,24}|\\PC*") {
            if let Ok(read) = text.parse::<Span>() {
                prop_assert_eq!(span(&read.to_string()), read);
            }
        }
    }
}
