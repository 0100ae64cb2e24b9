//! Tests of the window: tables of days on which clocks change, and what must hold in every time zone.

use jiff::ToSpan;
use jiff::civil::time;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn spans(texts: &[&str]) -> Vec<Span> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A window of a zone that is open in some spans (none: always) and closed in others.
fn window(timezone: &str, open: &[&str], closed: &[&str]) -> Window {
    let open = if open.is_empty() { Vec::new() } else { vec![spans(open)] };
    Window { timezone: zone(timezone), open, closed: spans(closed), ..Window::always_utc() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn window_without_spans_is_always_open() {
    let window = Window::default();
    let now = at("2026-07-01T12:00Z");
    assert!(window.is_open(now));
    assert_eq!(window.opens_at(now), Some(now));
    assert_eq!(window.closes_at(now), None);
    assert_eq!(window.day(now).to_string(), "2026-07-01");
    assert_eq!(window.day_ends(now), at("2026-07-02T00:00Z"));
}

#[test]
fn window_opens_and_closes_at_the_edges_of_its_spans() {
    let night = ["Mon-Fri 20:00-06:00", "Sat-Sun"];
    let maintenance = ["Sun 02:00-04:00"];
    // 2026-07-03 is a Friday; in summer New York is four hours behind UTC, London one ahead.
    for (name, open, closed, now, opens, closes) in [
        ("before the night", &night[..], &[][..], "2026-07-01T18:59:59Z", Some("2026-07-01T19:00Z"), None),
        ("in the night", &night, &[], "2026-07-01T23:30Z", None, Some("2026-07-02T05:00Z")),
        ("at the end of the night", &night, &[], "2026-07-02T05:00Z", Some("2026-07-02T19:00Z"), None),
        ("from Friday night over the weekend", &night, &[], "2026-07-03T19:00Z", None, Some("2026-07-05T23:00Z")),
        (
            "maintenance ends the weekend's run",
            &night,
            &maintenance,
            "2026-07-03T19:00Z",
            None,
            Some("2026-07-05T01:00Z"),
        ),
        ("in maintenance", &night, &maintenance, "2026-07-05T01:00Z", Some("2026-07-05T03:00Z"), None),
        ("Monday is not in the weekend", &["Sat-Sun"], &[], "2026-07-05T23:00Z", Some("2026-07-10T23:00Z"), None),
        ("no open spans: maintenance only", &[], &maintenance, "2026-07-06T00:00Z", None, Some("2026-07-12T01:00Z")),
        ("week wrap, Sunday", &["Sun 22:00-02:00"], &[], "2026-07-05T20:00Z", Some("2026-07-05T21:00Z"), None),
        ("week wrap, Monday", &["Sun 22:00-02:00"], &[], "2026-07-06T00:30Z", None, Some("2026-07-06T01:00Z")),
        ("week wrap, done", &["Sun 22:00-02:00"], &[], "2026-07-06T01:00Z", Some("2026-07-12T21:00Z"), None),
        (
            "24:00 joins the next day",
            &["Mon 20:00-24:00", "Tue 00:00-01:00"],
            &[],
            "2026-07-06T19:00Z",
            None,
            Some("2026-07-07T00:00Z"),
        ),
    ] {
        let window = window("Europe/London", open, closed);
        let now = at(now);
        assert_eq!(window.is_open(now), opens.is_none(), "{name}");
        assert_eq!(window.opens_at(now), Some(opens.map_or(now, at)), "{name}");
        assert_eq!(window.closes_at(now), Some(closes.map_or(now, at)), "{name}");
    }
}

#[test]
fn window_that_is_closed_for_the_whole_week_never_opens() {
    let window = window("Europe/London", &["Mon 08:00-12:00"], &["Mon"]);
    assert_eq!(window.opens_at(at("2026-07-01T00:00Z")), None);
    let whole_week = Window { closed: Vec::new(), open: vec![spans(&["Mon-Fri", "Sat-Sun"])], ..window };
    assert_eq!(whole_week.closes_at(at("2026-07-01T00:00Z")), None);
}

/// Zone, span, instant; when it opens and closes from there, where that is not the instant itself.
type Change<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>);

fn check_changes(rows: &[Change<'_>]) {
    for (zone, open, now, opens, closes) in rows {
        let window = window(zone, &[open], &[]);
        let row = format!("{zone} {open} {now}");
        let now = at(now);
        assert_eq!(window.opens_at(now), Some(opens.map_or(now, at)), "{row}");
        assert_eq!(window.closes_at(now), Some(closes.map_or(now, at)), "{row}");
    }
}

#[test]
fn span_does_not_hold_in_the_hour_that_spring_skips() {
    // London: 2026-03-29 01:00 UTC from 01:00 to 02:00. New York: 2026-03-08 07:00 UTC from 02:00 to 03:00.
    check_changes(&[
        // A night is an hour shorter.
        ("Europe/London", "20:00-06:00", "2026-03-28T20:00Z", None, Some("2026-03-29T05:00Z")),
        ("America/New_York", "20:00-06:00", "2026-03-08T01:00Z", None, Some("2026-03-08T10:00Z")),
        // A span within it waits a week, one into it ends early, one out of it begins late.
        ("Europe/London", "Sun 01:15-01:45", "2026-03-29T00:00Z", Some("2026-04-05T00:15Z"), None),
        ("Europe/London", "Sun 00:30-01:30", "2026-03-29T00:30Z", None, Some("2026-03-29T01:00Z")),
        ("America/New_York", "Sun 02:30-04:00", "2026-03-08T06:00Z", Some("2026-03-08T07:00Z"), None),
    ]);
}

#[test]
fn span_holds_twice_in_the_hour_that_autumn_repeats() {
    // London: 2026-10-25 01:00 UTC from 02:00 back to 01:00. New York: 2026-11-01 06:00 UTC from 02:00 back to 01:00.
    check_changes(&[
        // A night is an hour longer.
        ("Europe/London", "20:00-06:00", "2026-10-24T19:00Z", None, Some("2026-10-25T06:00Z")),
        ("America/New_York", "20:00-06:00", "2026-11-01T00:00Z", None, Some("2026-11-01T11:00Z")),
        // A span within it holds twice, one into it begins anew.
        ("Europe/London", "Sun 01:15-01:45", "2026-10-25T00:20Z", None, Some("2026-10-25T00:45Z")),
        ("Europe/London", "Sun 01:15-01:45", "2026-10-25T00:45Z", Some("2026-10-25T01:15Z"), None),
        ("America/New_York", "Sun 00:00-01:30", "2026-11-01T05:30Z", Some("2026-11-01T06:00Z"), None),
    ]);
}

#[test]
fn day_is_the_local_date_from_the_hour_it_starts() {
    for (timezone, day_starts, now, day, ends) in [
        ("UTC", time(0, 0, 0, 0), "2026-02-28T23:59:59.999Z", "2026-02-28", "2026-03-01T00:00Z"),
        ("Europe/London", time(12, 0, 0, 0), "2026-07-02T04:00Z", "2026-07-01", "2026-07-02T11:00Z"),
        ("Europe/London", time(12, 0, 0, 0), "2026-07-02T11:00Z", "2026-07-02", "2026-07-03T11:00Z"),
        ("America/New_York", time(0, 0, 0, 0), "2026-07-02T03:59Z", "2026-07-01", "2026-07-02T04:00Z"),
        ("Asia/Tokyo", time(0, 0, 0, 0), "2026-07-01T15:00Z", "2026-07-02", "2026-07-02T15:00Z"),
        // Days of 23 and of 25 hours.
        ("Europe/London", time(0, 0, 0, 0), "2026-03-29T00:00Z", "2026-03-29", "2026-03-29T23:00Z"),
        ("Europe/London", time(0, 0, 0, 0), "2026-10-24T23:00Z", "2026-10-25", "2026-10-26T00:00Z"),
        // A start in the skipped hour is where it is skipped; one in the repeated hour is its first time.
        ("Europe/London", time(1, 30, 0, 0), "2026-03-29T00:59:59Z", "2026-03-28", "2026-03-29T01:00Z"),
        ("Europe/London", time(1, 30, 0, 0), "2026-03-29T01:00Z", "2026-03-29", "2026-03-30T00:30Z"),
        ("Europe/London", time(1, 30, 0, 0), "2026-10-25T00:30Z", "2026-10-25", "2026-10-26T01:30Z"),
        ("Europe/London", time(1, 30, 0, 0), "2026-10-25T01:10Z", "2026-10-25", "2026-10-26T01:30Z"),
        ("America/New_York", time(2, 30, 0, 0), "2026-03-08T06:59Z", "2026-03-07", "2026-03-08T07:00Z"),
        ("America/New_York", time(1, 30, 0, 0), "2026-11-01T06:10Z", "2026-11-01", "2026-11-02T06:30Z"),
        // Samoa had no 30 December 2011.
        ("Pacific/Apia", time(0, 0, 0, 0), "2011-12-30T09:00Z", "2011-12-29", "2011-12-30T10:00Z"),
        ("Pacific/Apia", time(0, 0, 0, 0), "2011-12-30T10:00Z", "2011-12-31", "2011-12-31T10:00Z"),
    ] {
        let window = Window { timezone: zone(timezone), day_starts, ..Window::always_utc() };
        assert_eq!(window.day(at(now)).to_string(), day, "{timezone} {now}");
        assert_eq!(window.day_ends(at(now)), at(ends), "{timezone} {now}");
    }
}

#[test]
fn tightened_window_is_open_only_where_both_are_and_closed_where_either_is() {
    let author = window("Europe/London", &["20:00-06:00"], &["Sun 02:00-04:00"]);
    let both = author.clone().tighten(Some(spans(&["04:00-22:00"])), &spans(&["Mon"]));
    // Open 20:00-22:00 and 04:00-06:00, London being UTC in January; 2026-01-04 is a Sunday.
    for (now, open) in [
        ("2026-01-03T19:30Z", false),
        ("2026-01-03T20:30Z", true),
        ("2026-01-03T22:30Z", false),
        ("2026-01-04T03:00Z", false),
        ("2026-01-04T05:00Z", true),
        ("2026-01-05T05:00Z", false),
    ] {
        assert_eq!(both.is_open(at(now)), open, "{now}");
    }
    assert_eq!(author.clone().tighten(None, &[]), author);
    assert_eq!(author.tighten(Some(Vec::new()), &[]).opens_at(at("2026-01-03T19:30Z")), None);
}

#[test]
fn ends_of_time_are_answered() {
    let window = window("America/New_York", &["Mon 08:00-09:00"], &[]);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let _ = (window.day(now), window.day_ends(now), window.opens_at(now), window.closes_at(now));
    }
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    // Changes at midnight (Cairo, Santiago, Beirut), by half an hour (Lord Howe), at 00:01 (St John's until 2011), a
    // lost day (Apia).
    prop::sample::select(vec![
        "UTC",
        "Europe/London",
        "America/New_York",
        "America/St_Johns",
        "America/Santiago",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ])
}

fn any_span() -> impl Strategy<Value = Span> {
    let days = prop::sample::select(vec!["", "Mon", "Mon-Fri", "Sat-Sun", "Sun", "Sun,Wed", "Fri-Mon"]);
    (days, 0u16..1440, 1u16..1440, any::<bool>()).prop_map(|(days, begins, length, whole)| {
        let ends = (begins + length) % 1440;
        let times = format!("{:02}:{:02}-{:02}:{:02}", begins / 60, begins % 60, ends / 60, ends % 60);
        let text = if whole && !days.is_empty() { days.to_owned() } else { format!("{days} {times}") };
        text.parse().unwrap()
    })
}

prop_compose! {
    fn any_window()(
        timezone in any_zone(),
        day_starts in prop::sample::select(vec![(0, 0), (0, 1), (1, 30), (2, 30), (12, 0), (23, 30)]),
        open in prop::collection::vec(prop::collection::vec(any_span(), 1..4), 0..3),
        closed in prop::collection::vec(any_span(), 0..3),
    ) -> Window {
        Window { timezone: zone(timezone), day_starts: time(day_starts.0, day_starts.1, 0, 0), open, closed }
    }
}

/// An instant from 1985 to 2040, within days of a change of the clocks where the zone has one.
fn instant_near_a_change(window: &Window, second: i64, offset: i64) -> Timestamp {
    let anywhere = Timestamp::from_second(second).unwrap();
    let near = window.clock_changes(anywhere).next().filter(|change| change.as_second() < 2_300_000_000);
    near.map_or(anywhere, |change| change.saturating_add(offset.seconds()).unwrap())
}

const SECONDS: std::ops::Range<i64> = 473_385_600..2_208_988_800;
const NEAR: std::ops::Range<i64> = -200_000..200_000;

/// Every full minute after one instant and before another.
fn minutes_between(begin: Timestamp, end: Timestamp) -> impl Iterator<Item = Timestamp> {
    let first = begin.as_second().div_euclid(60) + 1;
    (first..).map(|minute| Timestamp::from_second(minute * 60).unwrap()).take_while(move |minute| *minute < end)
}

proptest! {
    #[test]
    fn window_changes_where_it_says_and_nowhere_before(window in any_window(), second in SECONDS, offset in NEAR) {
        let now = instant_near_a_change(&window, second, offset);
        let open = window.is_open(now);
        let (same, change) = if open {
            (window.opens_at(now), window.closes_at(now))
        } else {
            (window.closes_at(now), window.opens_at(now))
        };
        prop_assert_eq!(same, Some(now));
        if let Some(change) = change {
            prop_assert!(change > now);
            prop_assert_eq!(window.is_open(change), !open);
        }
        let month = now.saturating_add(720.hours()).unwrap();
        for minute in minutes_between(now, change.unwrap_or(month)) {
            prop_assert_eq!(window.is_open(minute), open, "{}", minute);
        }
    }

    #[test]
    fn day_changes_once_where_it_ends_and_never_goes_back(window in any_window(), second in SECONDS, offset in NEAR) {
        let now = instant_near_a_change(&window, second, offset);
        let (day, ends) = (window.day(now), window.day_ends(now));
        prop_assert!(ends > now);
        prop_assert!(window.day(ends) > day);
        prop_assert_eq!(window.day(ends.saturating_sub(1.nanosecond()).unwrap()), day);
        for minute in minutes_between(now, ends) {
            prop_assert_eq!(window.day(minute), day, "{}", minute);
        }
        for minute in minutes_between(ends, window.day_ends(ends)) {
            prop_assert_eq!(window.day(minute), window.day(ends), "{}", minute);
        }
    }

    #[test]
    fn tightened_window_is_never_open_where_the_author_is_closed(
        window in any_window(),
        open in prop::option::of(prop::collection::vec(any_span(), 1..3)),
        closed in prop::collection::vec(any_span(), 0..2),
        second in SECONDS,
    ) {
        let now = Timestamp::from_second(second).unwrap();
        let operator = Window { open: open.clone().into_iter().collect(), closed: closed.clone(), ..window.clone() };
        let both = window.clone().tighten(open, &closed);
        prop_assert_eq!(both.is_open(now), window.is_open(now) && operator.is_open(now));
    }
}
