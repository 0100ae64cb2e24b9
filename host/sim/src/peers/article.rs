//! The article's algorithm: a batch size that goes up and down by one, and off at nothing.
//!
//! Batches are fetched whole, all items at once, one batch after another. Once a minute the size is judged by the
//! minute's calls: one more if none was slow or failed, one fewer if more than half were. At none the mapping is
//! disabled, and a schedule enables it again with one item. The article gives neither the first size nor what is slow;
//! here it begins like all others, a schedule is the governor's tick of ten minutes, and an answer is slow after
//! [`SLOW`].

use std::time::Duration;

use damper_core::control::admission::{Admission, BreakerStatus, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};

use super::{InFlight, initial};

/// How often the size is judged.
pub const STEP: Duration = Duration::from_secs(60);
/// How often a disabled mapping is enabled.
pub const SCHEDULE: Duration = Duration::from_secs(600);
/// An answer that takes longer is slow.
pub const SLOW: Duration = Duration::from_secs(5);

/// How many calls of a minute were good and how many slow or failed, and what follows.
#[derive(Debug, Clone)]
pub struct Steps {
    batch_size: u32,
    max: u32,
    good: u32,
    bad: u32,
    /// When the size is judged next, or the mapping enabled.
    next: Duration,
}

impl Steps {
    /// From `first` up to `max` items.
    #[must_use]
    pub fn new(first: u32, max: u32) -> Self {
        Self { batch_size: first, max, good: 0, bad: 0, next: STEP }
    }

    /// The batch size; 0: disabled.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        self.batch_size
    }

    /// When there is something to decide.
    #[must_use]
    pub fn next(&self) -> Duration {
        self.next
    }

    /// A call took so long.
    pub fn record_call(&mut self, latency: Duration, outcome: Outcome) {
        let counter = if outcome == Outcome::Ok && latency <= SLOW { &mut self.good } else { &mut self.bad };
        *counter += 1;
    }

    /// Decide what is due.
    pub fn decide(&mut self, now: Duration) {
        while self.next <= now {
            if self.batch_size == 0 {
                self.batch_size = 1;
            } else if self.bad == 0 && self.good > 0 {
                self.batch_size = (self.batch_size + 1).min(self.max);
            } else if self.bad > self.good {
                self.batch_size -= 1;
            }
            (self.good, self.bad) = (0, 0);
            self.next += if self.batch_size == 0 { SCHEDULE } else { STEP };
        }
    }
}

/// The article's algorithm where a limiter stands.
#[derive(Debug, Clone)]
pub struct Article {
    steps: Steps,
    in_flight: InFlight,
    /// Items of the current batch that have not started.
    left: u32,
}

impl Article {
    /// From the common beginning up to `max` items, all in flight at once.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { steps: Steps::new(initial(max), max), in_flight: InFlight::default(), left: 0 }
    }

    fn on_call_end(&mut self) {
        self.in_flight.end_call();
    }
}

impl ConcurrencyLimiter for Article {
    fn admit(&mut self, now: Duration, in_flight: u32) -> Admission {
        self.steps.decide(now);
        if self.left == 0 {
            if in_flight > 0 {
                return Admission::AfterCompletion;
            }
            self.left = self.steps.batch_size();
        }
        if self.left > 0 { Admission::Now } else { Admission::At(self.steps.next()) }
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        self.left = self.left.saturating_sub(1);
        self.in_flight.start_call(now)
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        self.on_call_end();
        self.steps.record_call(now - permit.started, outcome);
    }

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {
        self.on_call_end();
    }

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        let limit = self.steps.batch_size();
        LimiterSnapshot { limit, breaker: BreakerStatus::Closed, gate: None, rate: None, phase: "article" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(steps: &mut Steps, good: u32, bad: u32) -> u32 {
        (0..good).for_each(|_| steps.record_call(Duration::from_millis(200), Outcome::Ok));
        (0..bad).for_each(|_| steps.record_call(Duration::from_secs(6), Outcome::Ok));
        steps.decide(steps.next());
        steps.batch_size()
    }

    #[test]
    fn one_more_if_all_is_well_one_fewer_if_more_than_half_is_not() {
        let mut steps = Steps::new(3, 10);
        assert_eq!(minute(&mut steps, 100, 0), 4);
        assert_eq!(minute(&mut steps, 99, 1), 4, "one slow answer is enough to stay");
        assert_eq!(minute(&mut steps, 50, 50), 4);
        assert_eq!(minute(&mut steps, 49, 50), 3);
    }

    #[test]
    fn off_at_none_and_on_by_the_schedule() {
        let mut steps = Steps::new(1, 10);
        assert_eq!(minute(&mut steps, 0, 1), 0);
        assert_eq!(steps.next(), STEP + SCHEDULE);
        assert_eq!(minute(&mut steps, 0, 0), 1);
    }

    #[test]
    fn a_batch_waits_for_its_last() {
        let mut article = Article::new(8);
        let permits = [0, 1].map(|in_flight| {
            assert_eq!(article.admit(Duration::ZERO, in_flight), Admission::Now);
            article.on_started(Duration::ZERO)
        });
        assert_eq!(article.admit(Duration::ZERO, 2), Admission::AfterCompletion);
        article.on_completed(Duration::from_secs(1), permits[0], Outcome::Ok);
        assert_eq!(article.admit(Duration::from_secs(1), 1), Admission::AfterCompletion);
        article.on_completed(Duration::from_secs(2), permits[1], Outcome::Ok);
        assert_eq!(article.admit(Duration::from_secs(2), 0), Admission::Now);
    }
}
