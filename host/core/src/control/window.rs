//! The window: when an API may be called (off-peak hours, its maintenance), in its own time zone, and what a day is
//! there.
//!
//! Pure: no clock and no file. Spans mean the wall clock of the time zone, so every question is answered from the local
//! time of an instant: in the hour that autumn repeats a span holds twice, in the hour that spring skips it does not
//! hold at all.

mod longest;
mod span;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::day::Day;

pub(crate) use span::parse_time;
pub use span::{Span, SpanError};

/// How far ahead, in days, to look for the window to open or to close: first near, then far. Spans repeat every week,
/// and a change of the clocks can swallow one occurrence of a span, never four in a row.
const HORIZONS_DAYS: [i32; 2] = [2, 28];

/// When an API may be called. Open where every layer of `open` has a span that holds, and no span of `closed` does.
///
/// ```
/// # use damper_core::manifest::Manifest;
/// let window = Manifest::parse(r#"
///     name = "gleif"
///     version = "0.3.0"
///     egress.hosts = ["api.gleif.org"]
///     [window]
///     timezone = "Europe/London"
///     day_starts = "04:00"
///     open = ["Mon-Fri 20:00-06:00"]
/// "#)?.window;
///
/// let monday_night = "2026-11-23T21:00:00Z".parse()?;
/// assert!(window.is_open(monday_night));
/// assert_eq!(window.closes_at(monday_night), Some("2026-11-24T06:00:00Z".parse()?));
/// // At three o'clock it is still Monday's day.
/// assert_eq!(window.day("2026-11-24T03:00:00Z".parse()?).to_string(), "2026-11-23");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The time zone of the spans and of the day.
    pub timezone: TimeZone,
    /// The local time at which a day starts: before it, it is still the day before.
    pub day_starts: Time,
    /// Layers of opening hours, the author's and the operator's; within a layer one span is enough. No layer: always
    /// open.
    pub open: Vec<Vec<Span>>,
    /// Spans in which nothing is called, whatever `open` says.
    pub closed: Vec<Span>,
}

impl Default for Window {
    fn default() -> Self {
        Self::always_utc()
    }
}

impl Window {
    /// Always open, with the days of UTC.
    #[must_use]
    pub fn always_utc() -> Self {
        Self { timezone: TimeZone::UTC, day_starts: Time::midnight(), open: Vec::new(), closed: Vec::new() }
    }

    /// The stricter of this window and an operator's spans: open only where both are, closed where either is. `open` is
    /// `None` if the operator restricts nothing; an empty list never opens.
    #[must_use]
    pub fn tighten(mut self, open: Option<Vec<Span>>, closed: &[Span]) -> Self {
        self.open.extend(open);
        self.closed.extend_from_slice(closed);
        self
    }

    /// The day that an instant belongs to: the local date, or the one before where the day has not started yet. Days
    /// never go backwards, not even where the clocks do.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> Day {
        let date = self.local(at).date();
        // Around a change of the clocks the local date can be one beyond, or the day have started twice.
        let latest = date.tomorrow().unwrap_or(date);
        let mut day = latest;
        for _ in 0..3 {
            if self.starts(day).is_some_and(|start| start <= at) {
                return Day(day);
            }
            day = day.yesterday().unwrap_or(day);
        }
        Day(day)
    }

    /// When a day begins, and when the next one does.
    #[must_use]
    pub fn day_span(&self, day: Day) -> (Timestamp, Timestamp) {
        let next = day.0.tomorrow().ok().and_then(|next| self.starts(next));
        (self.starts(day.0).unwrap_or(Timestamp::MIN), next.unwrap_or(Timestamp::MAX))
    }

    /// The instant at which the day of `at` ends and the next begins; after `at`.
    #[must_use]
    pub fn day_ends(&self, at: Timestamp) -> Timestamp {
        let next = self.day(at).0.tomorrow();
        next.ok().and_then(|next| self.starts(next)).unwrap_or(Timestamp::MAX)
    }

    /// Whether the API may be called at an instant.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = self.local(at);
        let (weekday, time) = (local.weekday(), local.time());
        let holds = |span: &Span| span.holds(weekday, time);
        self.open.iter().all(|layer| layer.iter().any(holds)) && !self.closed.iter().any(holds)
    }

    /// When the window is open from `at` on: `at` itself if it is open, `None` if it never opens.
    #[must_use]
    pub fn opens_at(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) { Some(at) } else { self.next_change(at) }
    }

    /// When the window closes: `at` itself if it is closed, `None` if it never closes.
    #[must_use]
    pub fn closes_at(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) { self.next_change(at) } else { Some(at) }
    }

    fn local(&self, at: Timestamp) -> DateTime {
        self.timezone.to_datetime(at)
    }

    /// The first instant after `at` at which the window is not what it is at `at`.
    fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        if self.open.is_empty() && self.closed.is_empty() {
            return None;
        }
        let open = self.is_open(at);
        HORIZONS_DAYS.iter().find_map(|days| self.edges(at, *days).into_iter().find(|edge| self.is_open(*edge) != open))
    }

    /// Every instant after `at`, for some days, at which the window might change, in order: where a span's edge falls,
    /// and where the clocks change. Between two of them it does not change.
    fn edges(&self, at: Timestamp, days: i32) -> Vec<Timestamp> {
        let horizon = SignedDuration::from_hours(i64::from(days) * 24);
        let until = at.saturating_add(horizon).unwrap_or(Timestamp::MAX);
        let mut times: Vec<Time> = self.open.iter().flatten().chain(&self.closed).flat_map(Span::edges).collect();
        times.push(Time::midnight());
        times.sort_unstable();
        times.dedup();

        // A day more at both ends: where the clocks go back over midnight, days overlap.
        let first = self.local(at).date();
        let first = first.yesterday().unwrap_or(first);
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        let mut edges: Vec<Timestamp> = self.clock_changes(at).take_while(|change| *change <= until).collect();
        for date in dates.take(days.unsigned_abs() as usize + 3) {
            for time in &times {
                edges.extend(self.instants(date.to_datetime(*time)).into_iter().flatten());
            }
        }
        edges.retain(|edge| *edge > at && *edge <= until);
        edges.sort_unstable();
        edges
    }

    /// The instants, none to two, at which the local clock shows a time.
    fn instants(&self, local: DateTime) -> [Option<Timestamp>; 2] {
        match self.timezone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(local).ok(), None],
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => {
                [before.to_timestamp(local).ok(), after.to_timestamp(local).ok()]
            }
        }
    }

    /// The first instant at which the local clock shows the start of a day or later; `None` beyond the end of time.
    fn starts(&self, day: Date) -> Option<Timestamp> {
        let local = day.to_datetime(self.day_starts);
        match self.timezone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            // The clock skips that time: the day starts where it skips.
            AmbiguousOffset::Gap { after, .. } => self.clock_changes(after.to_timestamp(local).ok()?).next(),
        }
    }

    /// When the clocks change after an instant.
    fn clock_changes(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        self.timezone.following(after).map(|transition| transition.timestamp())
    }
}

#[cfg(test)]
mod tests;
