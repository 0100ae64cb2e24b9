//! The loop of one call of `process`: it starts tries while it may, handles their results, and flushes chunks at the same time.
//!
//! It owns the batch, the chunks and the slots; tries and flushes run as tasks and report back. It ends when nothing runs,
//! nothing waits for a flush, and nothing can start any more.

mod ending;
mod giving_up;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::control::admission::Admission;
use crate::control::item::Control;
use crate::ledger::{Claimed, Finish, Finished, Release};
use crate::pipeline::adapt::BatchFeedback;
use crate::pipeline::allowance::Allowance;
use crate::pipeline::attempt::{AttemptOutcome, FinishedAttempt, attempt};
use crate::pipeline::batch::{Batch, Settled, WorkIndex};
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::chunks::{Chunks, Waiting};
use crate::pipeline::flush::{FinishedFlush, FlushError, flush};
use crate::pipeline::parking::{MOST_PARKED, ParkedChange, ParkedRead};
use crate::pipeline::probes::Probes;
use crate::pipeline::redelivery::{self, Redelivery};
use crate::pipeline::report::{Aside, End, Report, Stopped};
use crate::pipeline::slots::Slots;
use crate::pipeline::{Gate, Pipeline};
use crate::record::Failure;
use crate::sink::SinkError;

/// The time that a call needs at its end, after the last fetch: a flush, the finishes, the report.
pub(crate) const RESERVE: Duration = Duration::from_secs(5);
/// The time that a call needs before its first fetch: the control item, slots, a claim.
const BEGIN: Duration = Duration::from_secs(4);

/// The shortest call in which a fetch that may take so long can start and end. With less nothing ever starts.
#[must_use]
pub fn shortest_call(fetch_timeout: Duration) -> Duration {
    BEGIN.saturating_add(fetch_timeout).saturating_add(RESERVE)
}

/// A batch that made no progress waits at most so long before it is reported, so that redelivery does not spin.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often to check whether permits of requests that were given up are free again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One call of `process`.
pub(crate) struct BatchProcessor<'a> {
    pipeline: &'a Arc<Pipeline>,
    context: Arc<BatchContext>,
    batch: Batch,
    chunks: Chunks,
    slots: Slots,
    allowance: Allowance,
    probes: Probes,
    redelivery: Redelivery,
    /// The result of reading the parked entries, if they were read.
    pub(super) parked_read: Option<ParkedRead>,
    /// Whether entries that wait for long may be parked: the number of parked entries is below the limit.
    may_park: bool,
    tries: JoinSet<FinishedAttempt>,
    flushing: JoinSet<FinishedFlush>,
    deadline: Instant,
    /// The last instant at which a fetch may start and still end before the deadline and the window's end.
    last_start: Instant,
    /// Why nothing more is started.
    stopped: Option<Stopped>,
    /// Whether this call has raised an alarm.
    is_alarmed: bool,
    progressed: bool,
    /// Records that were fetched.
    ok: u64,
}

/// Why nothing can start at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaunchBlocker {
    /// Nothing is due.
    NothingDue,
    /// All permits are in use.
    Permits,
    /// A fetch in flight has to complete first.
    Completion,
    /// Not before this instant.
    Until(Instant),
    /// A queued try has to start its fetch first.
    StartQueue,
    /// Chunks have to be flushed first.
    Flush,
    /// Never again in this call.
    ForGood,
}

impl<'a> BatchProcessor<'a> {
    pub(crate) fn new(
        pipeline: &'a Arc<Pipeline>,
        context: Arc<BatchContext>,
        batch: Batch,
        slots: Slots,
        control: &Control,
        deadline: Instant,
    ) -> Self {
        let fetch_timeout = pipeline.manifest.limits.fetch_timeout;
        let earlier = |end: Instant, by: Duration| end.checked_sub(by).unwrap_or(end);
        let by_deadline = earlier(deadline, fetch_timeout + RESERVE);
        let by_window = pipeline.window_closes().map(|closes| earlier(closes, fetch_timeout));
        let redelivery = Redelivery::of(&batch, control);
        let last_start = by_window.map_or(by_deadline, |by_window| by_window.min(by_deadline));
        context.set_last_start(last_start);
        // There are some already if the previous call has left its own.
        context.set_permit_count(slots.permit_count());
        let mut processor = Self {
            pipeline,
            context,
            batch,
            chunks: Chunks::default(),
            slots,
            allowance: Allowance::new(&pipeline.manifest.limits),
            probes: Probes::new(control),
            redelivery,
            parked_read: None,
            may_park: control.parked.count < MOST_PARKED,
            tries: JoinSet::new(),
            flushing: JoinSet::new(),
            deadline,
            last_start,
            stopped: None,
            is_alarmed: false,
            progressed: false,
            ok: 0,
        };
        let today = processor.pipeline.today();
        for (position, letter) in processor.batch.take_unreadable() {
            processor.chunks.add_dead_letter(Waiting::Unreadable(position), today, None, letter);
        }
        processor
    }

    /// Prepare the fetcher before slots are acquired, which expire if they are not renewed.
    pub(crate) async fn prepare_fetcher(&self) {
        tokio::select! {
            biased;
            () = self.context.wait_for_stop() => {}
            () = self.context.fetcher().prepare() => {}
            () = sleep_until(self.last_start) => {}
        }
    }

    /// Settle at once the works that an earlier delivery of this batch fetched, as far as the ledger knows.
    pub(crate) async fn skip_what_is_known(&mut self) {
        if self.redelivery.noted.is_empty() {
            return;
        }
        match redelivery::find_settled(&self.context, &self.batch).await {
            Ok(known) => {
                let known: BTreeMap<WorkIndex, Settled> = known.into_iter().collect();
                self.batch.withdraw(|index| known.contains_key(&index));
                // An earlier delivery has reported these: that they are known is no progress, after which the batch may come again at once.
                let progressed = self.progressed;
                known.iter().for_each(|(index, settled)| self.settle(*index, settled));
                self.progressed = progressed;
            }
            Err(error) => {
                tracing::warn!(provider = self.context.provider(), %error, "the ledger was not read before the batch; each claim checks it");
            }
        }
    }

    /// Stop if the whole call is shorter than one fetch may take: nothing would ever start, call after call.
    pub(crate) fn stop_if_no_fetch_fits(&mut self) {
        let fetch_timeout = self.pipeline.manifest.limits.fetch_timeout;
        let left = self.deadline.saturating_duration_since(Instant::now());
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
            self.flush_if_due(blocker);
            if self.is_over(blocker) {
                return;
            }
            let wake = self.wake(blocker);
            tokio::select! {
                biased;
                Some(attempt) = self.tries.join_next() => match attempt {
                    Ok(attempt) => self.on_attempt_done(attempt).await,
                    Err(error) => self.stop(Stopped::Storage(format!("an attempt ended without a result: {error}"))),
                },
                Some(flush) = self.flushing.join_next() => match flush {
                    Ok(flush) => self.on_flush_done(flush).await,
                    Err(error) => self.stop(Stopped::Storage(format!("a flush ended without a result: {error}"))),
                },
                () = self.context.wait_for_stop(), if self.stopped.is_none() => self.stop(Stopped::Asked),
                () = self.context.permits.wait_for_free(), if blocker == LaunchBlocker::Permits => {}
                () = self.context.wait_for_queue(), if blocker == LaunchBlocker::StartQueue => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Nothing may be fetched now: the governor handles the mapping, and the batch waits before it is delivered again.
    pub(crate) async fn report_closed_gate(self, gate: Gate) -> Report {
        let Self { pipeline, context, batch, allowance, probes, deadline, .. } = self;
        let (unspent, probed) = (allowance.close(&context), probes.into_failed());
        // The notes on the batch stay: nothing of it has been processed.
        let (redelivery, parked) = (Redelivery::default(), ParkedChange::default());
        let feedback = BatchFeedback { invocation: None, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(feedback).await {
            tracing::warn!(provider = context.provider(), %error, "the control item was not updated, and the mapping stays as it is");
        }
        pipeline.wait(gate.opens, deadline, &context).await;
        batch.into_report(Some(gate.why), Aside::default())
    }

    /// Release all resources and report the results of the batch.
    pub(crate) async fn report(mut self) -> Report {
        let invocation = self.invocation();
        let (mut aside, parked) = self.set_waiting_aside().await;
        let retained = if self.expects_more() { self.slots.keep(self.context.clock()) } else { None };
        let redelivery = Redelivery { again: self.batch.first_before_an_end(), ..self.redelivery };
        let Self { pipeline, context, batch, slots, allowance, probes, deadline, stopped, progressed, .. } = self;
        if retained.is_some() {
            *pipeline.retained_slots() = retained;
        } else if let Err(error) = slots.give_back(context.ledger(), context.clock()).await {
            tracing::warn!(provider = context.provider(), %error, "the slots were not released; their lease expires");
        }
        let (unspent, probed) = (allowance.close(&context), probes.into_failed());
        let feedback = BatchFeedback { invocation, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(feedback).await {
            tracing::warn!(provider = context.provider(), %error, "the limiter state was not saved; the next batch of this process saves it");
            // Entries without a note would not be looked for: they stay in the stream, too.
            aside.parked.clear();
        }
        // Redelivery is at once: what has to wait, for another's claim or a gate, waits here.
        let waits_for_quota = stopped == Some(Stopped::QuotaSpent);
        if !progressed && batch.len() > 0 && !batch.is_drained() && (stopped.is_none() || waits_for_quota) {
            let due = if waits_for_quota { None } else { batch.next_due() };
            pipeline.wait(due, deadline, &context).await;
        }
        batch.into_report(stopped, aside)
    }

    /// Start tries while work is due and the limiter, the slots and the time allow it. Returns what blocks the next one.
    fn launch(&mut self) -> LaunchBlocker {
        let last_start = self.slots.launch_until(self.context.clock()).min(self.last_start);
        self.context.let_start_until(last_start, self.slots.last_renewal());
        loop {
            let now = Instant::now();
            if self.stopped.is_some() || now > self.last_start {
                return LaunchBlocker::ForGood;
            }
            if !self.chunks.have_room() {
                return LaunchBlocker::Flush;
            }
            if now > last_start {
                return LaunchBlocker::Until(self.next_renewal());
            }
            if !self.allowance.covers(self.context.queued_count(), &self.context) {
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
            let breaker = self.context.limiter_snapshot().breaker;
            let index = self.probes.choose(index, breaker, &mut self.batch, now);
            let Some(work) = self.batch.work(index).map(Arc::clone) else { continue };
            self.context.enter_queue();
            self.tries.spawn(attempt(Arc::clone(&self.context), index, work, self.batch.failures(index), permit));
        }
    }

    /// How the limiter blocks another try, if it does.
    fn limiter_blocker(&self, now: Instant) -> Option<LaunchBlocker> {
        match self.context.admit_try() {
            Some(Admission::Now) => None,
            Some(Admission::At(at)) => Some(LaunchBlocker::Until(now + at.saturating_sub(self.context.limiter_now()))),
            Some(Admission::AfterCompletion) => Some(LaunchBlocker::Completion),
            None => Some(LaunchBlocker::StartQueue),
        }
    }

    fn next_renewal(&self) -> Instant {
        self.slots.next_renewal(self.context.clock())
    }

    async fn renew_slots_if_due(&mut self) {
        self.slots.pay_owed();
        self.context.set_permit_count(self.slots.permit_count());
        let may_need_more = self.stopped.is_none() || !self.tries.is_empty();
        if !may_need_more || Instant::now() < self.next_renewal() {
            return;
        }
        if let Err(error) = self.slots.renew(self.context.ledger(), self.context.clock()).await {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        self.context.set_permit_count(self.slots.permit_count());
        match self.pipeline.control().await.map(|control| self.pipeline.gate(&control)) {
            // This call itself has set aside what is left of the quota.
            Ok(None | Some(Gate { why: Stopped::QuotaSpent, .. })) => {}
            Ok(Some(gate)) => self.stop(gate.why),
            Err(error) => self.stop(Stopped::Storage(error.to_string())),
        }
    }

    async fn set_requests_aside_if_low(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        match self.allowance.refill(self.pipeline, &self.context).await {
            Ok(()) if self.allowance.is_spent(&self.context) && self.tries.is_empty() => self.stop(Stopped::QuotaSpent),
            Ok(()) => {}
            Err(error) => self.stop(Stopped::Storage(error.to_string())),
        }
    }

    /// Start a flush where one is due, or where nothing else is left to do.
    fn flush_if_due(&mut self, blocker: LaunchBlocker) {
        let idle = self.tries.is_empty()
            && matches!(blocker, LaunchBlocker::NothingDue | LaunchBlocker::ForGood | LaunchBlocker::Flush);
        if !self.flushing.is_empty() {
            return;
        }
        if let Some(due) = self.chunks.take_due(Instant::now(), idle) {
            let (stores, provider) = (self.pipeline.stores.clone(), self.context.provider().to_owned());
            self.flushing.spawn(flush(stores, provider, self.context.owner.clone(), due));
        }
    }

    fn is_over(&self, blocker: LaunchBlocker) -> bool {
        let quiet = self.tries.is_empty() && self.flushing.is_empty() && self.chunks.are_empty();
        quiet
            && match blocker {
                LaunchBlocker::ForGood => true,
                LaunchBlocker::NothingDue => {
                    self.batch.next_due().is_none_or(|due| due > self.last_start) || self.only_waits()
                }
                LaunchBlocker::Until(instant) => instant > self.last_start,
                LaunchBlocker::Permits
                | LaunchBlocker::Completion
                | LaunchBlocker::StartQueue
                | LaunchBlocker::Flush => false,
            }
    }

    /// When to continue if nothing happens.
    fn wake(&self, blocker: LaunchBlocker) -> Instant {
        let due = match blocker {
            LaunchBlocker::NothingDue => self.batch.next_due(),
            LaunchBlocker::Until(instant) => Some(instant),
            // The permit in use may belong to a request that was given up.
            LaunchBlocker::Completion if self.tries.is_empty() => Some(Instant::now() + LOOK_AGAIN),
            LaunchBlocker::Permits
            | LaunchBlocker::Completion
            | LaunchBlocker::StartQueue
            | LaunchBlocker::Flush
            | LaunchBlocker::ForGood => None,
        };
        let renewal = (blocker != LaunchBlocker::ForGood).then(|| self.next_renewal());
        let flush = self.chunks.due().filter(|_| self.flushing.is_empty());
        // Nothing starts after this; a loop without events must see it.
        let end = (blocker != LaunchBlocker::ForGood).then(|| self.last_start + Duration::from_millis(1));
        [due, renewal, flush, end].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + LONGEST_WAIT)
    }

    /// Handle the result of a try.
    async fn on_attempt_done(&mut self, attempt: FinishedAttempt) {
        let FinishedAttempt { index, outcome, alarm, failed } = attempt;
        let breaker = self.context.limiter_snapshot().breaker;
        let id = self.batch.work(index).map(|work| work.item.id.as_str());
        self.probes.on_fetch_done(id, failed.is_some(), breaker);
        match outcome {
            AttemptOutcome::Settled { by, end } => self.settle(index, &Settled::Before { by, end }),
            AttemptOutcome::NotBefore(until) => self.batch.delay(index, self.pipeline.instant(until)),
            AttemptOutcome::Retry { due, failures } => {
                self.pipeline.progress.count_retry();
                self.batch.record_failures(index, failures);
                self.batch.delay(index, due);
            }
            AttemptOutcome::NotStarted => self.batch.delay(index, Instant::now()),
            AttemptOutcome::Recovered(claimed) => self.chunks.add_recovered(index, claimed),
            AttemptOutcome::Fetched { claimed, line } => {
                self.ok += 1;
                self.chunks.add_record(index, claimed, &line);
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
        if self.probes.take_breaker_change(breaker)
            && let Err(error) =
                self.pipeline.note_breaker(breaker, failed.map(|failed| failed.to_string()).as_deref()).await
        {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        if self.probes.is_hopeless(breaker, self.context.limiter_now()) {
            self.stop(Stopped::ApiDown);
        }
    }

    async fn keep_for_later(&mut self, index: WorkIndex, claimed: Claimed, why: &str) {
        let release =
            Release { claimed, counted: false, not_before: self.context.clock().now(), error: why.to_owned() };
        if let Err(error) = self.context.ledger().release(self.context.provider(), &self.context.owner, release).await {
            tracing::warn!(provider = self.context.provider(), %error, "the claim was not released; its lease expires");
        }
        self.batch.delay(index, Instant::now());
    }

    /// Handle the result of a flush.
    async fn on_flush_done(&mut self, flush: FinishedFlush) {
        for (waiting, finish, finished) in flush.finished {
            match (waiting, finished) {
                (Waiting::Unreadable(position), _) => {
                    let end = self.batch.on_unreadable_kept(position);
                    self.on_entry_ended(end);
                }
                (Waiting::Work(index), Finished::Written) => {
                    let settled = if matches!(finish, Finish::Fetched(_)) { Settled::Fetched } else { Settled::Dead };
                    self.settle(index, &settled);
                }
                // The owner that took the claim over has found our object, or will; the next claim shows it.
                (Waiting::Work(index), Finished::Fenced) => self.batch.delay(index, Instant::now()),
            }
        }
        if let Some((day, used)) = flush.number {
            self.chunks.on_number_used(day, used);
        }
        // After any failure this owner starts nothing more, and entries that have not ended are delivered again to another.
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
        self.progressed = true;
        self.pipeline.progress.count_end(end);
    }

    /// Start nothing more; the first reason stands.
    fn stop(&mut self, why: Stopped) {
        if self.stopped.is_none() {
            self.stopped = Some(why);
        }
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
