//! Items that are to be given up on: they become dead letters, or are kept until the fault is fixed if an operator is needed
//! first.

use tokio::time::Instant;

use crate::control::failure_monitor::Alarm;
use crate::dead_letter::{DeadLetter, Reason};
use crate::ledger::Claimed;
use crate::pipeline::batch::WorkIndex;
use crate::pipeline::batch_processor::BatchProcessor;
use crate::pipeline::chunks::Waiting;
use crate::pipeline::report::Stopped;

impl BatchProcessor<'_> {
    /// Give an item up, unless an operator is needed first: then it is kept until the fault is fixed.
    pub(super) async fn give_up(&mut self, index: WorkIndex, claimed: Claimed, letter: DeadLetter, alarmed: bool) {
        if alarmed || self.needs_operator() {
            self.spare(index, claimed, letter.reason).await;
        } else {
            self.chunks.add_dead_letter(Waiting::Work(index), claimed.day, Some(claimed), letter);
        }
    }

    /// An item is to be given up on, and an operator has allowed that: no alarm takes it back.
    pub(super) fn give_up_as_allowed(&mut self, index: WorkIndex, claimed: Claimed, letter: DeadLetter) {
        self.chunks.allow(index);
        self.chunks.add_dead_letter(Waiting::Work(index), claimed.day, Some(claimed), letter);
    }

    /// An operator is needed: stop the provider and keep the items that would have become dead letters.
    pub(super) async fn raise_alarm(&mut self, alarm: Alarm, failure: &str) {
        if self.needs_operator() {
            return;
        }
        self.is_alarmed = true;
        self.stop(Stopped::BreakerOpen);
        if let Err(error) = self.pipeline.raise(alarm, failure).await {
            self.stopped = Some(Stopped::Storage(error.to_string()));
        }
        for (index, claimed, reason) in self.chunks.discard_pending_dead_letters() {
            self.spare(index, claimed, reason).await;
        }
    }

    /// Keep an item that would have been given up on until the fault is fixed. An uncertain one stays claimed until its lease
    /// expires: a release would lose the fact that the API may have been called.
    async fn spare(&mut self, index: WorkIndex, claimed: Claimed, reason: Reason) {
        if reason == Reason::Uncertain {
            self.batch.delay(index, Instant::now());
        } else {
            self.keep_for_later(index, claimed, "kept until the breaker is closed").await;
        }
    }

    /// Whether the breaker is open for an operator, also where this call was stopped for another reason before.
    fn needs_operator(&self) -> bool {
        self.is_alarmed || self.stopped == Some(Stopped::BreakerOpen)
    }
}
