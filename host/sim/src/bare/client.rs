//! One client of an API: an algorithm, its work, and what it has in flight.

use std::time::Duration;

use damper_core::control::admission::{ConcurrencyLimiter, Outcome, Permit};

use crate::api::Answer;
use crate::work::Work;

/// A call in flight, and how it will end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) permit: Permit,
    pub(super) ends: Duration,
    pub(super) outcome: Outcome,
    pub(super) unanswered: bool,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) limiter: Box<dyn ConcurrencyLimiter>,
    /// Permits that are out: calls in flight, and those the API may still be working at.
    pub(super) in_flight: u32,
    /// The items left to fetch; `None`: more than ever can be.
    waiting: Option<u64>,
    wake: Option<Duration>,
}

impl Client {
    pub(super) fn new(limiter: Box<dyn ConcurrencyLimiter>, work: Work) -> Self {
        Self { limiter, in_flight: 0, waiting: work.backlog.or((work.per_second > 0.0).then_some(0)), wake: None }
    }

    pub(super) fn has_work(&self) -> bool {
        self.waiting != Some(0)
    }

    pub(super) fn add_item(&mut self) {
        self.waiting = self.waiting.map(|waiting| waiting + 1);
    }

    pub(super) fn start(&mut self, now: Duration, answer: Answer) -> Call {
        self.in_flight += 1;
        self.waiting = self.waiting.map(|waiting| waiting - 1);
        let Answer { at: ends, outcome, unanswered } = answer;
        Call { permit: self.limiter.on_started(now), ends, outcome, unanswered }
    }

    pub(super) fn on_call_end(&mut self, now: Duration, call: Call) {
        if call.outcome != Outcome::Ok {
            self.add_item();
        }
        self.limiter.on_completed(now, call.permit, call.outcome);
    }

    /// Records a wake at `at`. Returns whether it has to be scheduled, because no earlier wake is.
    pub(super) fn schedule_wake(&mut self, at: Duration) -> bool {
        let wanted = self.wake.is_none_or(|wake| wake > at);
        if wanted {
            self.wake = Some(at);
        }
        wanted
    }

    pub(super) fn on_wake(&mut self, now: Duration) {
        self.wake = self.wake.filter(|wake| *wake > now);
    }
}
