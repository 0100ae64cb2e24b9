//! The pacer: spaces the starts of requests evenly, so that a rate of one a second never means ten at once.
//!
//! Pure state: the caller passes the time in and reports each start. It counts no requests in flight (the slots do) and
//! no day's quota. Idle time is not saved up: after an hour of nothing, two requests still start one slot apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::rebase::Rebase;

/// Spaces request starts by one slot of `1 / rate` each.
///
/// Over any stretch of length `T` at a constant rate, never more than `rate * T + 1` requests start, given that the
/// caller starts none before [`Pacer::next`] allows it. Instants are `Duration`s since an epoch that the caller chooses
/// and keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pacer {
    /// The least time between two starts; zero if no rate is set.
    slot: Duration,
    /// When the latest start's slot began.
    latest: Option<Duration>,
    /// Whether a start that came late makes the next one due sooner, by one slot at most.
    makes_up: bool,
}

impl Pacer {
    /// A pacer that has started nothing yet. `requests_per_second`: `None` paces nothing; what is not above zero starts
    /// one request and then none (manifests allow no such rate, and to stop is the safe mistake).
    #[must_use]
    pub fn new(requests_per_second: Option<f64>) -> Self {
        Self { slot: slot(requests_per_second), latest: None, makes_up: false }
    }

    /// The same, but lateness of up to a slot is made up for: then the rate is kept in the mean however late the caller
    /// looks, and now and then two start together. For a rate that was learned rather than demanded.
    #[must_use]
    pub fn making_up(requests_per_second: f64) -> Self {
        Self { slot: slot(Some(requests_per_second)), latest: None, makes_up: true }
    }

    /// When the next request may start: `None` is now, `Some(instant)` is not before that instant, which is after
    /// `now`.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        self.free_at().filter(|free| *free > now)
    }

    /// Notes that a request started at `now`. One that started too early takes the next free slot, so that those after
    /// it make up for it.
    pub fn on_started(&mut self, now: Duration) {
        let earliest = if self.makes_up { now.saturating_sub(self.slot) } else { now };
        self.latest = Some(self.free_at().map_or(earliest, |free| free.max(earliest)));
    }

    /// Notes that `requests` started at `now` beyond those that were asked for. They take the next free slots.
    pub fn on_extra_started(&mut self, now: Duration, requests: u32) {
        let Some(others) = requests.checked_sub(1) else { return };
        self.on_started(now);
        self.latest = self.latest.map(|latest| latest.saturating_add(self.slot.saturating_mul(others)));
    }

    /// Nothing starts before this, and nothing makes up for that.
    pub fn not_before(&mut self, instant: Duration) {
        let latest = instant.saturating_sub(self.slot);
        self.latest = Some(self.latest.map_or(latest, |before| before.max(latest)));
    }

    /// Changes the rate from the latest start on: a lower rate also holds back the request that waits now, a higher one
    /// lets it go sooner. For values see [`Pacer::new`].
    pub fn set_rate(&mut self, requests_per_second: Option<f64>) {
        self.slot = slot(requests_per_second);
    }

    /// Move its instants to the time of the process that has read it: the latest start lies at most `longest` ahead.
    pub(crate) fn rebase(&mut self, rebase: &Rebase, longest: Duration) {
        self.latest.iter_mut().for_each(|latest| rebase.ahead(latest, longest));
    }

    fn free_at(&self) -> Option<Duration> {
        self.latest.map(|latest| latest.saturating_add(self.slot))
    }
}

/// The time that one request takes up, rounded up to a nanosecond: rounding must never raise the rate.
fn slot(requests_per_second: Option<f64>) -> Duration {
    let Some(rate) = requests_per_second else { return Duration::ZERO };
    if rate.is_nan() || rate <= 0.0 {
        return Duration::MAX;
    }
    Duration::try_from_secs_f64(1.0 / rate).map_or(Duration::MAX, |slot| slot.saturating_add(Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn first_request_starts_at_once_and_the_second_one_slot_later() {
        let mut pacer = Pacer::new(Some(2.0));
        assert_eq!(pacer.next(seconds(10.0)), None);
        pacer.on_started(seconds(10.0));
        let at = pacer.next(seconds(10.0)).unwrap();
        assert!(at >= seconds(10.5) && at < seconds(10.500_001), "{at:?}");
        assert_eq!(pacer.next(seconds(10.499)), Some(at));
        assert_eq!(pacer.next(at), None);
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut pacer = Pacer::new(Some(1.0));
        pacer.on_started(seconds(0.0));
        pacer.on_started(seconds(3600.0));
        assert!(pacer.next(seconds(3600.5)).is_some());
    }

    #[test]
    fn a_pacer_that_makes_up_keeps_its_rate_for_a_caller_that_is_always_late() {
        let mut pacer = Pacer::making_up(100.0);
        let (mut now, mut starts) = (seconds(0.0), 0);
        while now < seconds(10.0) {
            // The caller looks every 7 ms.
            now += seconds(0.007);
            while pacer.next(now).is_none() {
                pacer.on_started(now);
                starts += 1;
            }
        }
        assert!((998..=1_002).contains(&starts), "{starts}");
    }

    #[test]
    fn what_is_held_back_is_not_made_up_for() {
        let mut pacer = Pacer::making_up(1.0);
        pacer.on_started(seconds(0.0));
        pacer.not_before(seconds(100.0));
        assert!(pacer.next(seconds(99.9)).is_some());
        pacer.on_started(seconds(100.0));
        assert!(pacer.next(seconds(100.9)).is_some());
    }

    #[test]
    fn many_more_requests_take_their_slots_at_once() {
        let mut pacer = Pacer::new(Some(1.0));
        pacer.on_started(seconds(0.0));
        pacer.on_extra_started(seconds(0.0), 0);
        assert_eq!(pacer.next(seconds(1.1)), None);
        pacer.on_extra_started(seconds(0.0), 3);
        assert!(pacer.next(seconds(3.9)).is_some());
        assert_eq!(pacer.next(seconds(4.1)), None);
        pacer.on_extra_started(seconds(0.0), u32::MAX);
        assert!(pacer.next(seconds(4e9)).is_some());
    }

    #[test]
    fn no_rate_paces_nothing() {
        let mut pacer = Pacer::new(None);
        for _ in 0..3 {
            assert_eq!(pacer.next(seconds(1.0)), None);
            pacer.on_started(seconds(1.0));
        }
    }

    #[test]
    fn request_that_started_too_early_is_made_up_for() {
        let mut pacer = Pacer::new(Some(1.0));
        pacer.on_started(seconds(0.0));
        pacer.on_started(seconds(0.1));
        assert!(pacer.next(seconds(1.9)).is_some());
        assert_eq!(pacer.next(seconds(2.1)), None);
    }

    #[test]
    fn new_rate_counts_from_the_latest_start() {
        let mut pacer = Pacer::new(Some(1.0));
        pacer.on_started(seconds(0.0));
        pacer.set_rate(Some(0.1));
        assert!(pacer.next(seconds(9.9)).is_some());
        pacer.set_rate(Some(10.0));
        assert_eq!(pacer.next(seconds(0.2)), None);
        pacer.set_rate(None);
        assert_eq!(pacer.next(seconds(0.0)), None);
    }

    #[test]
    fn rate_that_is_no_rate_starts_one_request_and_then_none() {
        for rate in [0.0, -1.0, f64::NAN, f64::MIN_POSITIVE] {
            let mut pacer = Pacer::new(Some(rate));
            assert_eq!(pacer.next(seconds(1.0)), None);
            pacer.on_started(seconds(1.0));
            assert!(pacer.next(seconds(1e12)).is_some(), "{rate}");
        }
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_sees_more_starts_than_the_rate(
            rate in 0.01f64..10_000.0,
            steps in prop::collection::vec(0.0f64..5.0, 1..120),
        ) {
            let mut pacer = Pacer::new(Some(rate));
            let mut now = Duration::ZERO;
            let mut starts = Vec::new();
            for step in steps {
                // Callers look again after a while that is shorter or longer than a slot, or exactly at the returned
                // time.
                now = if step < 2.0 { pacer.next(now).unwrap_or(now) } else { now + seconds((step - 2.0) / rate) };
                if pacer.next(now).is_none() {
                    pacer.on_started(now);
                    starts.push(now);
                }
            }
            for (first, begin) in starts.iter().enumerate() {
                for (last, end) in starts.iter().enumerate().skip(first) {
                    let allowed = rate * (*end - *begin).as_secs_f64() + 1.0;
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        #[test]
        fn next_is_never_in_the_past_and_may_be_used(
            rate in 0.01f64..10_000.0, now in 0u64..1_000_000, later in 0u64..5_000_000,
        ) {
            let mut pacer = Pacer::new(Some(rate));
            pacer.on_started(Duration::from_micros(now));
            let later = Duration::from_micros(later);
            if let Some(at) = pacer.next(later) {
                prop_assert!(at > later);
                prop_assert_eq!(pacer.next(at), None);
            }
        }
    }
}
