//! The longest time that a window stays closed: what a stream has to keep its items for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Window;

/// A year and four weeks: every week's spans, and every change of the clocks, with whole gaps around them.
const HOURS: i64 = (366 + 28) * 24;

impl Window {
    /// The longest time from a closing to the next opening, over the year that begins at `from`; zero if the window is
    /// always open, `None` if it never opens.
    #[must_use]
    pub fn longest_closed(&self, from: Timestamp) -> Option<Duration> {
        let until = from.saturating_add(SignedDuration::from_hours(HOURS)).unwrap_or(Timestamp::MAX);
        let mut longest = SignedDuration::ZERO;
        let mut at = from;
        while at < until {
            let Some(closes) = self.closes_at(at) else { break };
            let opens = self.opens_at(closes)?;
            longest = longest.max(opens.duration_since(closes));
            at = opens;
        }
        Some(longest.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn longest_gap(timezone: &str, open: &[&str], closed: &[&str]) -> Option<Duration> {
        let spans = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let window = Window {
            timezone: TimeZone::get(timezone).unwrap(),
            open: if open.is_empty() { Vec::new() } else { vec![spans(open)] },
            closed: spans(closed),
            ..Window::always_utc()
        };
        window.longest_closed("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn minutes(minutes: u64) -> Option<Duration> {
        Some(Duration::from_secs(minutes * 60))
    }

    #[test]
    fn what_is_always_open_is_never_closed() {
        assert_eq!(longest_gap("UTC", &[], &[]), minutes(0));
        assert_eq!(longest_gap("Europe/Berlin", &["Mon-Sun"], &[]), minutes(0));
    }

    #[test]
    fn what_never_opens_has_no_longest_gap() {
        assert_eq!(longest_gap("UTC", &["Mon 08:00-10:00"], &["Mon"]), None);
    }

    #[test]
    fn the_longest_of_all_gaps_counts() {
        assert_eq!(longest_gap("UTC", &["Mon-Fri 20:00-06:00", "Sat-Sun"], &[]), minutes(20 * 60));
        assert_eq!(longest_gap("UTC", &["Mon 08:00-09:00"], &[]), minutes(167 * 60));
        assert_eq!(longest_gap("UTC", &[], &["Sun 02:00-04:00", "Wed 00:00-06:00"]), minutes(6 * 60));
    }

    #[test]
    fn a_change_of_the_clocks_makes_a_gap_longer() {
        // Autumn's Sunday has an hour more, which lies in the closed night.
        assert_eq!(longest_gap("Europe/Berlin", &["06:00-20:00"], &[]), minutes(11 * 60));
        assert_eq!(longest_gap("UTC", &["06:00-20:00"], &[]), minutes(10 * 60));
        // Spring skips 02:00 to 03:00: that week's only opening does not come.
        assert_eq!(longest_gap("Europe/Berlin", &["Sun 02:00-03:00"], &[]), minutes((14 * 24 - 1 - 1) * 60));
        // Half an hour in Lord Howe Island.
        assert_eq!(longest_gap("Australia/Lord_Howe", &["06:00-20:00"], &[]), minutes(10 * 60 + 30));
    }
}
