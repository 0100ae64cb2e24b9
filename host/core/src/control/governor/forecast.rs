//! Whether a backlog will be done in time: an estimate, for people.

use std::time::Duration;

use jiff::Timestamp;

use crate::control::window::Window;

/// When a backlog will be done at the recent rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// It is done by then.
    Done {
        /// When.
        at: Timestamp,
    },
    /// The window closes first.
    WindowCloses {
        /// When.
        at: Timestamp,
        /// How many entries are left then.
        left: u64,
    },
    /// The day's quota is spent first.
    QuotaSpent {
        /// How many entries are left then.
        left: u64,
    },
    /// Nothing is known of the rate, or the window never opens.
    Unknown,
}

/// Estimate when `pending` entries are done, fetched at `rate` a second from when the window is open. An entry is taken
/// for one request; the estimate looks at this opening of the window and this day's quota only.
#[must_use]
pub fn forecast(pending: u64, rate: Option<f64>, window: &Window, quota_left: Option<u64>, now: Timestamp) -> Forecast {
    let (Some(rate), Some(opens)) = (rate.filter(|rate| *rate > 0.0), window.opens_at(now)) else {
        return Forecast::Unknown;
    };
    if let Some(left) = quota_left.and_then(|quota| pending.checked_sub(quota)).filter(|left| *left > 0) {
        return Forecast::QuotaSpent { left };
    }
    let needed = Duration::try_from_secs_f64(pending as f64 / rate).unwrap_or(Duration::MAX);
    let done = opens.saturating_add(needed).unwrap_or(Timestamp::MAX);
    match window.closes_at(opens) {
        Some(closes) if closes < done => {
            let open_seconds = Duration::try_from(closes.duration_since(opens)).unwrap_or_default().as_secs_f64();
            let left = pending.saturating_sub((rate * open_seconds) as u64);
            Forecast::WindowCloses { at: closes, left }
        }
        _ => Forecast::Done { at: done },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn night() -> Window {
        let span = "20:00-06:00".parse().unwrap();
        Window::always_utc().tighten(Some(vec![span]), &[])
    }

    #[test]
    fn a_backlog_is_done_when_the_rate_says_so() {
        let now = at("2026-11-25T22:00:00Z");
        assert_eq!(forecast(7_200, Some(2.0), &night(), None, now), Forecast::Done { at: at("2026-11-25T23:00:00Z") });
        assert_eq!(forecast(10, None, &night(), None, now), Forecast::Unknown);
    }

    #[test]
    fn a_window_that_closes_first_leaves_a_rest() {
        let (closes, rest) = (at("2026-11-26T06:00:00Z"), 100_000 - 2 * 8 * 3_600);
        let forecasted = forecast(100_000, Some(2.0), &night(), None, at("2026-11-25T22:00:00Z"));
        assert_eq!(forecasted, Forecast::WindowCloses { at: closes, left: rest });
    }

    #[test]
    fn a_closed_window_begins_to_count_when_it_opens() {
        let forecasted = forecast(3_600, Some(1.0), &night(), None, at("2026-11-25T12:00:00Z"));
        assert_eq!(forecasted, Forecast::Done { at: at("2026-11-25T21:00:00Z") });
    }

    #[test]
    fn a_quota_that_is_spent_first_leaves_a_rest() {
        let forecasted = forecast(1_000, Some(1.0), &Window::always_utc(), Some(400), at("2026-11-25T12:00:00Z"));
        assert_eq!(forecasted, Forecast::QuotaSpent { left: 600 });
    }
}
