//! An API as a state machine in virtual time: for each call it computes the response and its time.
//!
//! ```text
//!   call -> dark? --> shut out? --> over the rate? --> too many at once? --> [queue for a worker] --> [work] -> answer
//!             |            |              |                    |                                         |
//!          nothing,       429            429                  429                   slower the more there are at once;
//!       or 503 at once                                                            lost if the API goes dark meanwhile
//! ```
//!
//! [`Conditions`] describe an API's behaviour, and a [`Plan`] says how they change over time. The plan is known
//! beforehand, so the response is known when the call comes in. A client that gives up does not stop the API: the call
//! goes on working there, and counts among those at once. There is no network between the two.

pub mod conditions;
pub mod plan;
mod rate_limit_penalty;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use damper_core::control::admission::Outcome;

pub use conditions::{Conditions, Outage};
pub use plan::{Capacity, Plan};

use crate::api::rate_limit_penalty::RateLimitPenalty;
use crate::random::Random;
use crate::units::seconds;

/// How long a refusal takes: a 429, or the 503 of an API that is down.
pub const REFUSAL: Duration = Duration::from_millis(20);

/// The result of a call, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Duration,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether the API did not answer in time and may still be working at the call.
    pub unanswered: bool,
}

/// A simulated API.
#[derive(Debug, Clone)]
pub struct Api {
    plan: Plan,
    step: usize,
    random: Random,
    /// When each call that is being worked at, or waits for a worker, ends.
    ends: BinaryHeap<Reverse<Duration>>,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<Duration>>,
    /// The tokens left in the bucket, and the time of that count.
    tokens: Option<(f64, Duration)>,
    /// When the present window began, and how many calls it has had.
    window: (Duration, u32),
    penalty: RateLimitPenalty,
}

/// Which stream of a seed the APIs draw from.
const STREAM: u64 = 1;

impl Api {
    /// An API that follows `plan`; what is left to chance follows from `seed`.
    #[must_use]
    pub fn new(plan: Plan, seed: u64) -> Self {
        let mut api = Self {
            plan,
            step: 0,
            random: Random::new(seed, STREAM),
            ends: BinaryHeap::new(),
            workers: BinaryHeap::new(),
            tokens: None,
            window: (Duration::ZERO, 0),
            penalty: RateLimitPenalty::default(),
        };
        api.adjust_workers(Duration::ZERO);
        api
    }

    /// How many calls it works at, or has waiting for a worker, at `now`.
    pub fn active_calls(&mut self, now: Duration) -> u32 {
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= now) {
            self.ends.pop();
        }
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// A call comes in at `now`, and its client waits for `timeout`. Calls come in the order of time.
    pub fn call(&mut self, now: Duration, timeout: Duration) -> Answer {
        self.advance(now);
        let lost = Answer { at: now + timeout, outcome: Outcome::TimedOut, unanswered: true };
        let refused = |outcome| Answer { at: now + REFUSAL.min(timeout), outcome, unanswered: false };
        let conditions = *self.plan.step(self.step);
        match conditions.outage() {
            Outage::None => {}
            Outage::Errors => return refused(Outcome::Failed),
            Outage::BlackHole => return lost,
        }
        if self.penalty.is_shut_out(now) {
            return refused(Outcome::Throttled { retry_after: None });
        }
        if let Some(whims) = conditions.whims.filter(|whims| self.random.chance(whims.share)) {
            return refused(Outcome::Throttled { retry_after: whims.retry_after });
        }
        if let Some(retry_after) = self.count_in_window(now, &conditions).or_else(|| self.take_token(now, &conditions))
        {
            self.penalty.on_refusal(now, conditions.patience);
            return refused(Outcome::Throttled { retry_after });
        }
        let before = self.active_calls(now);
        if let Some(cap) = conditions.concurrency.filter(|cap| before >= cap.limit) {
            if cap.drops {
                return lost;
            }
            self.penalty.on_refusal(now, conditions.patience);
            return refused(Outcome::Throttled { retry_after: cap.retry_after });
        }
        let end = self.work(now, before + 1, &conditions);
        let failed = self.random.chance(conditions.error_rate());
        self.ends.push(Reverse(end));
        let answer = match self.plan.next_outage(now, end) {
            Some((_, Outage::BlackHole)) => return lost,
            Some((at, _)) => Answer { at, outcome: Outcome::Failed, unanswered: false },
            None => {
                let outcome = if failed { Outcome::Failed } else { Outcome::Ok };
                Answer { at: end, outcome, unanswered: false }
            }
        };
        if answer.at > now + timeout { lost } else { answer }
    }

    /// When the work at a call ends that came as one of `at_once`.
    fn work(&mut self, now: Duration, at_once: u32, conditions: &Conditions) -> Duration {
        let time = conditions.latency().draw(&mut self.random) * conditions.stretch(at_once);
        let begin = match (conditions.workers, self.workers.pop()) {
            (Some(_), Some(Reverse(free))) => free.max(now),
            _ => now,
        };
        let end = begin + seconds(time);
        if conditions.workers.is_some() {
            self.workers.push(Reverse(end));
        }
        end
    }

    /// Counts a call in its window. If the window is full: how long the API asks to wait.
    fn count_in_window(&mut self, now: Duration, conditions: &Conditions) -> Option<Option<Duration>> {
        let window = conditions.window?;
        let (mut since, mut calls) = self.window;
        while now >= since + window.every {
            (since, calls) = (since + window.every, 0);
        }
        let is_full = calls >= window.calls;
        self.window = (since, calls + u32::from(!is_full));
        // RFC 9110, section 10.2.3: whole seconds.
        is_full.then(|| Some(seconds((since + window.every - now).as_secs_f64().ceil())))
    }

    /// Takes a token. If there is none: how long the API asks to wait, if it says so.
    fn take_token(&mut self, now: Duration, conditions: &Conditions) -> Option<Option<Duration>> {
        let rate = conditions.rate?;
        let (left, then) = self.tokens.unwrap_or((rate.burst, now));
        let left = (left + (now - then).as_secs_f64() * rate.per_second).min(rate.burst);
        if left >= 1.0 {
            self.tokens = Some((left - 1.0, now));
            return None;
        }
        self.tokens = Some((left, now));
        // RFC 9110, section 10.2.3: whole seconds.
        let wait = seconds(((1.0 - left) / rate.per_second).ceil().max(1.0));
        Some(rate.retry_after.then_some(wait))
    }

    fn advance(&mut self, now: Duration) {
        while let Some(at) = self.plan.step_start(self.step + 1).filter(|at| *at <= now) {
            self.step += 1;
            self.adjust_workers(at);
        }
    }

    /// Hire or dismiss workers at `now`; those who go first are those who are free first.
    fn adjust_workers(&mut self, now: Duration) {
        let count = self.plan.step(self.step).workers.map_or(0, |workers| workers.count as usize);
        while self.workers.len() > count {
            self.workers.pop();
        }
        while self.workers.len() < count {
            self.workers.push(Reverse(now));
        }
        // A bucket that changes its size keeps what is in it.
        if let (Some(rate), Some((left, _))) = (self.plan.step(self.step).rate, self.tokens.as_mut()) {
            *left = left.min(rate.burst);
        }
    }
}

#[cfg(test)]
mod tests;
