//! The loop of one call of `process`: it starts attempts while it may, handles their results, and flushes chunks at the
//! same time.
//!
//! It moves items from part to part, in one direction: batch -> attempts -> writer -> report. Attempts and flushes run
//! as tasks and report back. It ends when nothing runs, nothing waits for a flush, and nothing can start any more.

mod call_status;
mod ending;
mod giving_up;
mod joining;
mod launch_blocker;
mod launching;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::control::item::Control;
use crate::ledger::{Claimed, Finish, Finished, Release};
use crate::pipeline::adapt::BatchFeedback;
use crate::pipeline::attempt::{AttemptOutcome, FinishedAttempt};
use crate::pipeline::attempts::Attempts;
use crate::pipeline::batch::{Batch, Settled, WorkIndex};
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::batch_notes::BatchNotes;
use crate::pipeline::batch_processor::call_status::CallStatus;
use crate::pipeline::batch_processor::launch_blocker::LaunchBlocker;
use crate::pipeline::call_times::{CallTimes, RESERVE, shortest_call};
use crate::pipeline::capacity::Capacity;
use crate::pipeline::chunks::BatchPart;
use crate::pipeline::due_entries::DueEntries;
use crate::pipeline::flush::{FinishedFlush, FlushError};
use crate::pipeline::gate::Gate;
use crate::pipeline::parking::ParkedChange;
use crate::pipeline::provider::Pipeline;
use crate::pipeline::redelivery::{self, Redelivery};
use crate::pipeline::report::{Aside, End, Report, Stopped};
use crate::pipeline::verdict::Failures;
use crate::pipeline::writer::Writer;
use crate::record::Failure;
use crate::sink::SinkError;

/// One call of `process`.
pub(crate) struct BatchProcessor<'a> {
    /// The parts that last from call to call.
    pipeline: &'a Arc<Pipeline>,
    /// The parts of this call that its attempts share.
    context: Arc<BatchContext>,
    times: CallTimes,
    /// Entries, and the work that is left of them.
    batch: Batch,
    notes: BatchNotes,
    /// The requests that may be sent.
    capacity: Capacity,
    attempts: Attempts,
    writer: Writer,
    status: CallStatus,
    /// Entries of earlier batches that become due meanwhile.
    due_entries: DueEntries,
}

impl<'a> BatchProcessor<'a> {
    pub(crate) fn new(
        pipeline: &'a Arc<Pipeline>,
        context: Arc<BatchContext>,
        batch: Batch,
        notes: BatchNotes,
        capacity: Capacity,
        control: &Control,
        deadline: Instant,
    ) -> Self {
        let times = CallTimes::new(deadline, pipeline.manifest.limits.fetch_timeout, pipeline.window_closes());
        context.set_last_start(times.last_start);
        // There are some already if the previous call has left its own.
        context.set_permit_count(capacity.slots.permit_count());
        let writer = Writer::new(pipeline.stores.clone(), context.provider(), &context.owner);
        let (attempts, status) = (Attempts::new(control), CallStatus::default());
        let due_entries = DueEntries::none();
        let mut processor =
            Self { pipeline, context, times, batch, notes, capacity, attempts, writer, status, due_entries };
        processor.keep_unreadable();
        processor
    }

    /// Prepare the fetcher before slots are acquired, which expire if they are not renewed.
    pub(crate) async fn prepare_fetcher(&self) {
        tokio::select! {
            biased;
            () = self.context.wait_for_stop() => {}
            () = self.context.fetcher().prepare() => {}
            () = sleep_until(self.times.last_start) => {}
        }
    }

    /// Settle at once the works that an earlier delivery of this batch fetched, as far as the ledger knows.
    pub(crate) async fn skip_what_is_known(&mut self) {
        if self.notes.redelivery.noted.is_empty() {
            return;
        }
        match redelivery::find_settled(&self.context, &self.batch).await {
            Ok(known) => {
                let known: BTreeMap<WorkIndex, Settled> = known.into_iter().collect();
                self.batch.withdraw(|index| known.contains_key(&index));
                // An earlier delivery has reported these: that they are known is no progress, after which the batch may
                // come again at once.
                let has_progressed = self.status.has_progressed;
                known.iter().for_each(|(index, settled)| self.settle(*index, settled));
                self.status.has_progressed = has_progressed;
            }
            Err(error) => {
                tracing::warn!(provider = self.context.provider(), %error, "the ledger was not read before the batch; each claim checks it");
            }
        }
    }

    /// Stop if the whole call is shorter than one fetch may take: nothing would ever start, call after call.
    pub(crate) fn stop_if_no_fetch_fits(&mut self) {
        let fetch_timeout = self.pipeline.manifest.limits.fetch_timeout;
        let left = self.times.deadline.saturating_duration_since(Instant::now());
        if left >= fetch_timeout + RESERVE || self.batch.is_drained() {
            return;
        }
        tracing::error!(
            provider = self.context.provider(),
            call_ms = left.as_millis(),
            fetch_timeout_ms = fetch_timeout.as_millis(),
            shortest_call_ms = shortest_call(fetch_timeout).as_millis(),
            "nothing is fetched: the call is shorter than one fetch may take. Make calls last at least shortest_call_ms \
             (in AWS: raise the stack's parameter TimeoutSeconds to that and one second more), or lower limits.fetch_timeout"
        );
        self.stop(Stopped::Deadline);
    }

    /// Work until nothing can be done any more.
    pub(crate) async fn until_done(&mut self) {
        loop {
            self.renew_slots_if_due().await;
            self.set_requests_aside_if_low().await;
            let blocker = self.launch();
            let all = self.may_flush_all(blocker);
            self.writer.flush_if_due(Instant::now(), all);
            if self.is_over(blocker) {
                return;
            }
            let wake = self.wake(blocker);
            tokio::select! {
                biased;
                Some(attempt) = self.attempts.next_finished() => match attempt {
                    Ok(attempt) => self.on_attempt_done(attempt).await,
                    Err(error) => self.stop(Stopped::Storage(format!("an attempt ended without a result: {error}"))),
                },
                Some(flush) = self.writer.next_finished() => match flush {
                    Ok(flush) => self.on_flush_done(flush).await,
                    Err(error) => self.stop(Stopped::Storage(format!("a flush ended without a result: {error}"))),
                },
                Some(entries) = self.due_entries.next(), if self.takes_due_entries() => self.join_due_entries(entries),
                () = self.context.wait_for_stop(), if self.status.stopped.is_none() => self.stop(Stopped::Asked),
                () = self.context.permits.wait_for_free(), if blocker == LaunchBlocker::Permits => {}
                () = self.context.wait_for_queue(), if blocker == LaunchBlocker::StartQueue => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Nothing may be fetched now: the governor handles the mapping, and the batch waits before it is delivered again.
    pub(crate) async fn report_closed_gate(self, gate: Gate) -> Report {
        let Self { pipeline, context, times, batch, capacity, attempts, .. } = self;
        let (unspent, probed) = (capacity.quota.close(), attempts.probes.into_failed());
        // The notes on the batch stay: nothing of it has been processed.
        let (redelivery, parked) = (Redelivery::default(), ParkedChange::default());
        let feedback = BatchFeedback { invocation: None, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(feedback).await {
            tracing::warn!(provider = context.provider(), %error, "the control item was not updated, and the mapping stays as it is");
        }
        context.wait_until(gate.opens, times.deadline).await;
        batch.into_report(Some(gate.why), Aside::default())
    }

    /// Release all resources and report the results of the batch.
    pub(crate) async fn report(mut self) -> Report {
        let invocation = self.invocation();
        let (mut aside, parked) = self.set_waiting_aside().await;
        let retained = if self.expects_more() { self.capacity.slots.keep(self.context.clock()) } else { None };
        let redelivery = Redelivery { again: self.batch.first_before_an_end(), ..self.notes.redelivery };
        let Self { pipeline, context, times, batch, capacity, attempts, status, .. } = self;
        let (Capacity { slots, quota }, CallStatus { stopped, has_progressed, .. }) = (capacity, status);
        if retained.is_some() {
            *pipeline.retained_slots() = retained;
        } else if let Err(error) = slots.give_back(context.ledger(), context.clock()).await {
            tracing::warn!(provider = context.provider(), %error, "the slots were not released; their lease expires");
        }
        let (unspent, probed) = (quota.close(), attempts.probes.into_failed());
        let feedback = BatchFeedback { invocation, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(feedback).await {
            tracing::warn!(provider = context.provider(), %error, "the limiter state was not saved; the next batch of this process saves it");
            // Entries without a note would not be looked for: they stay in the stream, too.
            aside.parked.clear();
        }
        // Redelivery is at once: what has to wait, for another's claim or a gate, waits here.
        let waits_for_quota = stopped == Some(Stopped::QuotaSpent);
        if !has_progressed && batch.len() > 0 && !batch.is_drained() && (stopped.is_none() || waits_for_quota) {
            let due = if waits_for_quota { None } else { batch.next_due() };
            context.wait_until(due, times.deadline).await;
        }
        batch.into_report(stopped, aside)
    }

    fn next_renewal(&self) -> Instant {
        self.capacity.slots.next_renewal(self.context.clock())
    }

    async fn renew_slots_if_due(&mut self) {
        self.capacity.slots.pay_owed();
        self.context.set_permit_count(self.capacity.slots.permit_count());
        let may_need_more = self.status.stopped.is_none() || !self.attempts.are_over();
        if !may_need_more || Instant::now() < self.next_renewal() {
            return;
        }
        if let Err(error) = self.capacity.slots.renew(self.context.ledger(), self.context.clock()).await {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        self.context.set_permit_count(self.capacity.slots.permit_count());
        match self.pipeline.control().await.map(|control| self.pipeline.gate(&control)) {
            // This call itself has set aside what is left of the quota.
            Ok(None | Some(Gate { why: Stopped::QuotaSpent, .. })) => {}
            Ok(Some(gate)) => self.stop(gate.why),
            Err(error) => self.stop(Stopped::Storage(error.to_string())),
        }
    }

    async fn set_requests_aside_if_low(&mut self) {
        if self.status.stopped.is_some() {
            return;
        }
        match self.pipeline.refill_quota(&mut self.capacity.quota).await {
            Ok(()) if self.capacity.quota.is_spent() && self.attempts.are_over() => self.stop(Stopped::QuotaSpent),
            Ok(()) => {}
            Err(error) => self.stop(Stopped::Storage(error.to_string())),
        }
    }

    /// Handle the result of an attempt.
    async fn on_attempt_done(&mut self, attempt: FinishedAttempt) {
        let FinishedAttempt { index, outcome, alarm, failed } = attempt;
        let breaker = self.context.limiter_snapshot().breaker;
        let id = self.batch.work(index).map(|work| work.item.id.as_str());
        self.attempts.probes.on_fetch_done(id, failed.is_some(), breaker);
        match outcome {
            AttemptOutcome::Settled { by, end } => self.settle(index, &Settled::Before { by, end }),
            AttemptOutcome::NotBefore(until) => self.batch.delay(index, self.pipeline.instant(until)),
            AttemptOutcome::Retry { due, failures, is_ordered } => {
                self.pipeline.progress.count_retry();
                self.batch.record_failures(index, failures);
                if is_ordered {
                    self.batch.prefer(index);
                }
                self.batch.delay(index, due);
            }
            AttemptOutcome::NotReady { due, .. } => {
                self.batch.record_failures(index, Failures::default());
                self.batch.poll_later(index, due);
            }
            AttemptOutcome::NotStarted => self.batch.delay(index, Instant::now()),
            AttemptOutcome::Recovered(claimed) => self.writer.chunks.add_recovered(index, claimed),
            AttemptOutcome::Fetched { claimed, line } => {
                self.attempts.records += 1;
                self.writer.chunks.add_record(index, claimed, &line);
            }
            AttemptOutcome::GiveUp { claimed, letter, is_allowed: true } => {
                self.give_up_as_allowed(index, claimed, *letter)
            }
            AttemptOutcome::GiveUp { claimed, letter, is_allowed: false } => {
                self.give_up(index, claimed, *letter, alarm.is_some()).await;
            }
            AttemptOutcome::StorageFailed(message) => self.stop(Stopped::Storage(message)),
        }
        if let Some((alarm, failure)) = alarm {
            self.raise_alarm(alarm, &failure).await;
        }
        self.notice_breaker(failed).await;
    }

    /// The limiter's breaker may have opened or closed: the control item shows it to all other processes.
    async fn notice_breaker(&mut self, failed: Option<Failure>) {
        let breaker = self.context.limiter_snapshot().breaker;
        if self.attempts.probes.take_breaker_change(breaker)
            && let Err(error) =
                self.pipeline.note_breaker(breaker, failed.map(|failed| failed.to_string()).as_deref()).await
        {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        if self.attempts.probes.is_hopeless(breaker, self.context.limiter_now()) {
            self.stop(Stopped::ApiDown);
        }
    }

    async fn keep_for_later(&mut self, index: WorkIndex, claimed: Claimed, why: &str) {
        let release = Release::without_attempt(claimed, self.context.clock().now(), why);
        if let Err(error) = self.context.ledger().release(self.context.provider(), &self.context.owner, release).await {
            tracing::warn!(provider = self.context.provider(), %error, "the claim was not released; its lease expires");
        }
        self.batch.delay(index, Instant::now());
    }

    /// Handle the result of a flush.
    async fn on_flush_done(&mut self, flush: FinishedFlush) {
        for (waiting, finish, finished) in flush.finished {
            match (waiting, finished) {
                (BatchPart::Unreadable(position), _) => {
                    let end = self.batch.on_unreadable_kept(position);
                    self.on_entry_ended(end);
                }
                (BatchPart::Work(index), Finished::Written) => {
                    let settled = if matches!(finish, Finish::Fetched(_)) { Settled::Fetched } else { Settled::Dead };
                    self.settle(index, &settled);
                }
                // The owner that took the claim over has found our object, or will; the next claim shows it.
                (BatchPart::Work(index), Finished::Fenced) => self.batch.delay(index, Instant::now()),
            }
        }
        if let Some((day, used)) = flush.number {
            self.writer.chunks.on_number_used(day, used);
        }
        // After any failure this owner starts nothing more, and entries that have not ended are delivered again to
        // another.
        if let Some(error) = flush.failure {
            self.stop(stopped_by(&error));
        }
        for (index, claimed) in flush.not_stored {
            self.keep_for_later(index, claimed, "its record could not be stored").await;
        }
    }

    fn settle(&mut self, index: WorkIndex, settled: &Settled) {
        for end in self.batch.settle(index, settled) {
            self.on_entry_ended(end);
        }
    }

    fn on_entry_ended(&mut self, end: End) {
        self.status.has_progressed = true;
        self.pipeline.progress.count_end(end);
    }

    /// Start nothing more; the first reason stands.
    fn stop(&mut self, why: Stopped) {
        self.status.stop(why);
        self.context.stop();
    }
}

/// Why a call starts nothing more after a flush that failed.
fn stopped_by(failure: &FlushError) -> Stopped {
    match failure {
        FlushError::Sink(error @ SinkError::Sealed(_)) => {
            tracing::warn!(%error, "another worker recovers this owner's items; the unfinished entries of the batch are delivered again");
            Stopped::TakenOver
        }
        failure => Stopped::Storage(failure.to_string()),
    }
}
