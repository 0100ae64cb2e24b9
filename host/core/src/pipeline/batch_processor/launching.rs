//! Whether an attempt may start, and what the loop waits for where none may.

use std::time::Duration;

use tokio::time::Instant;

use crate::control::admission::Admission;
use crate::pipeline::batch_processor::BatchProcessor;
use crate::pipeline::batch_processor::launch_blocker::LaunchBlocker;
use crate::pipeline::call_times::LONGEST_WAIT;

/// How often to check whether permits of requests that were given up are free again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl BatchProcessor<'_> {
    /// Start attempts while work is due and the limiter, the slots and the time allow it. Returns what blocks the next
    /// one.
    pub(super) fn launch(&mut self) -> LaunchBlocker {
        let last_start = self.capacity.slots.launch_until(self.context.clock()).min(self.times.last_start);
        self.context.let_start_until(last_start, self.capacity.slots.last_renewal());
        loop {
            let now = Instant::now();
            if self.status.stopped.is_some() || now > self.times.last_start {
                return LaunchBlocker::ForGood;
            }
            if !self.writer.chunks.have_room() {
                return LaunchBlocker::Flush;
            }
            if now > last_start {
                return LaunchBlocker::Until(self.next_renewal());
            }
            if !self.capacity.quota.covers(self.context.queued_count()) {
                return if self.context.queued_count() > 0 {
                    LaunchBlocker::StartQueue
                } else {
                    LaunchBlocker::Completion
                };
            }
            let in_use = self.context.in_use();
            if in_use > 0 && self.context.cautious_limit().is_some_and(|most| in_use >= most) {
                return LaunchBlocker::Completion;
            }
            // The limiter is called only if there is something to fetch: it learns from fetches that have to wait.
            let Some(index) = self.batch.take_due(now) else { return LaunchBlocker::NothingDue };
            if let Some(blocker) = self.limiter_blocker(now) {
                self.batch.put_back(index);
                return blocker;
            }
            let Some(permit) = self.context.permits.try_acquire() else {
                self.batch.put_back(index);
                return LaunchBlocker::Permits;
            };
            self.attempts.start(&self.context, &mut self.batch, index, permit, now);
        }
    }

    /// How the limiter blocks another attempt, if it does.
    fn limiter_blocker(&self, now: Instant) -> Option<LaunchBlocker> {
        match self.context.admit_try() {
            Some(Admission::Now) => None,
            Some(Admission::At(at)) => Some(LaunchBlocker::Until(now + at.saturating_sub(self.context.limiter_now()))),
            Some(Admission::AfterCompletion) => Some(LaunchBlocker::Completion),
            None => Some(LaunchBlocker::StartQueue),
        }
    }

    /// Whether nothing runs, nothing waits for a flush, and nothing can start any more.
    pub(super) fn is_over(&self, blocker: LaunchBlocker) -> bool {
        self.attempts.are_over()
            && self.writer.is_idle()
            && match blocker {
                LaunchBlocker::ForGood => true,
                LaunchBlocker::NothingDue => {
                    self.batch.next_due().is_none_or(|due| due > self.times.last_start) || self.only_waits()
                }
                LaunchBlocker::Until(instant) => instant > self.times.last_start,
                LaunchBlocker::Permits
                | LaunchBlocker::Completion
                | LaunchBlocker::StartQueue
                | LaunchBlocker::Flush => false,
            }
    }

    /// When to continue if nothing happens.
    pub(super) fn wake(&self, blocker: LaunchBlocker) -> Instant {
        let due = match blocker {
            LaunchBlocker::NothingDue => self.batch.next_due(),
            LaunchBlocker::Until(instant) => Some(instant),
            // The permit in use may belong to a request that was given up.
            LaunchBlocker::Completion if self.attempts.are_over() => Some(Instant::now() + LOOK_AGAIN),
            LaunchBlocker::Permits
            | LaunchBlocker::Completion
            | LaunchBlocker::StartQueue
            | LaunchBlocker::Flush
            | LaunchBlocker::ForGood => None,
        };
        let renewal = (blocker != LaunchBlocker::ForGood).then(|| self.next_renewal());
        let flush = self.writer.next_flush();
        // Nothing starts after this; a loop without events must see it.
        let end = (blocker != LaunchBlocker::ForGood).then(|| self.times.last_start + Duration::from_millis(1));
        [due, renewal, flush, end].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + LONGEST_WAIT)
    }

    /// Whether chunks are flushed that are not due: nothing else is left to do.
    pub(super) fn may_flush_all(&self, blocker: LaunchBlocker) -> bool {
        self.attempts.are_over()
            && matches!(blocker, LaunchBlocker::NothingDue | LaunchBlocker::ForGood | LaunchBlocker::Flush)
    }
}
