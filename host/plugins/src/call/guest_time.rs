//! Measures what a guest does between its host functions: it computes, or it waits for a clock, which is a sleep.

use std::time::Duration;

use tokio::time::Instant;

/// The times of one guest. All that came before its start, such as a wait for an instance, does not count.
#[derive(Debug, Default)]
pub(crate) struct GuestTime {
    is_started: bool,
    computed: Duration,
    slept: Duration,
    asleep_since: Option<Instant>,
}

/// Why a poll of a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollEnd {
    /// It returned, gave way to others, or waits for a host function.
    Other,
    /// It waits, and not for a host function: only clocks are left.
    Asleep,
}

impl GuestTime {
    /// The guest's function is about to be called.
    pub(crate) fn on_start(&mut self) {
        self.is_started = true;
    }

    /// The guest is about to run.
    pub(crate) fn on_poll(&mut self, now: Instant) {
        if let Some(since) = self.asleep_since.take() {
            self.slept += now.saturating_duration_since(since);
        }
    }

    /// The guest ran since `begun`, until now.
    pub(crate) fn on_poll_end(&mut self, begun: Instant, now: Instant, end: PollEnd) {
        if self.is_started {
            self.computed += now.saturating_duration_since(begun);
            self.asleep_since = (end == PollEnd::Asleep).then_some(now);
        }
    }

    /// The time for which it ran.
    pub(crate) fn time_computed(&self) -> Duration {
        self.computed
    }

    /// The time for which it slept, until now.
    pub(crate) fn time_slept(&self, now: Instant) -> Duration {
        self.slept + self.asleep_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_computes_while_it_is_polled_and_sleeps_while_it_waits_for_a_clock() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut time = GuestTime::default();
        // It waits for an instance.
        time.on_poll(at(0));
        time.on_poll_end(at(0), at(1), PollEnd::Asleep);
        time.on_poll(at(5));
        assert_eq!((time.time_computed(), time.time_slept(at(5))), (Duration::ZERO, Duration::ZERO));
        time.on_start();
        time.on_poll_end(at(5), at(7), PollEnd::Asleep);
        assert_eq!((time.time_computed(), time.time_slept(at(8))), (Duration::from_secs(2), Duration::from_secs(1)));
        time.on_poll(at(10));
        // It waits for a response.
        time.on_poll_end(at(10), at(11), PollEnd::Other);
        time.on_poll(at(20));
        time.on_poll_end(at(20), at(20), PollEnd::Other);
        assert_eq!((time.time_computed(), time.time_slept(at(30))), (Duration::from_secs(3), Duration::from_secs(3)));
    }
}
