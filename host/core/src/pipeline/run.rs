//! The loop of one call of `process`: it starts tries while it may, takes in what they bring, and flushes chunks beside them.
//!
//! It alone owns the batch, the chunks and the slots; tries and flushes run as tasks and report back. It is finished when
//! nothing runs, nothing waits for a flush, and nothing can start any more.

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
use crate::pipeline::adapt::Learned;
use crate::pipeline::allowance::Allowance;
use crate::pipeline::attempt::{Attempted, Step, attempt};
use crate::pipeline::batch::{Batch, Settled, WorkIndex};
use crate::pipeline::call::Call;
use crate::pipeline::chunks::{Chunks, Waiting};
use crate::pipeline::flush::{FlushError, Flushed, flush};
use crate::pipeline::parking::{MOST_PARKED, ParkedChange, ParkedRead};
use crate::pipeline::probes::Probes;
use crate::pipeline::redelivery::{self, Redelivery};
use crate::pipeline::report::{Aside, End, Report, Stopped};
use crate::pipeline::slots::Slots;
use crate::pipeline::{Gate, Pipeline};
use crate::record::Failure;
use crate::sink::SinkError;

/// What a call needs at its end, after the last fetch: a flush, the finishes, the report.
pub(crate) const RESERVE: Duration = Duration::from_secs(5);
/// What a call needs before its first fetch: the control item, slots, a claim.
const BEGIN: Duration = Duration::from_secs(4);

/// The shortest call in which a fetch that may take so long can start and end. With less nothing ever starts.
#[must_use]
pub fn shortest_call(fetch_timeout: Duration) -> Duration {
    BEGIN.saturating_add(fetch_timeout).saturating_add(RESERVE)
}

/// A batch that made no progress waits at most so long before it is reported, so that redelivery does not spin.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often to look whether the API must be done with requests that were given up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One call of `process`.
pub(crate) struct Run<'a> {
    pipeline: &'a Arc<Pipeline>,
    call: Arc<Call>,
    batch: Batch,
    chunks: Chunks,
    slots: Slots,
    allowance: Allowance,
    probes: Probes,
    redelivery: Redelivery,
    /// What a look at the parked entries has shown, if there was one.
    pub(super) parked_read: Option<ParkedRead>,
    /// Whether entries that wait for long may be parked: not so many are.
    may_park: bool,
    tries: JoinSet<Attempted>,
    flushing: JoinSet<Flushed>,
    deadline: Instant,
    /// The last instant at which a fetch may start and still end before the deadline and the window's end.
    last_start: Instant,
    /// Why nothing more is started.
    stopped: Option<Stopped>,
    /// Whether this call has called for an operator.
    is_alarmed: bool,
    progressed: bool,
    /// Records that came.
    ok: u64,
}

/// Why nothing can start at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    /// Nothing is due.
    NothingDue,
    /// All permits are in use.
    Permits,
    /// A fetch in flight has to complete first.
    Completion,
    /// Not before this instant.
    Until(Instant),
    /// A try that claims has to take its turn first.
    Turn,
    /// Chunks have to be flushed first.
    Flush,
    /// Never again in this call.
    ForGood,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        pipeline: &'a Arc<Pipeline>,
        call: Arc<Call>,
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
        call.set_last_start(last_start);
        // There are some already where the call before has left its own.
        call.set_issued(slots.issued());
        let mut run = Self {
            pipeline,
            call,
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
        let today = run.pipeline.today();
        for (position, letter) in run.batch.take_unreadable() {
            run.chunks.dead(Waiting::Unreadable(position), today, None, letter);
        }
        run
    }

    /// Have the fetcher ready before slots are acquired, which run out while nobody renews them.
    pub(crate) async fn prepare_fetcher(&self) {
        tokio::select! {
            biased;
            () = self.call.stopped() => {}
            () = self.call.fetcher().prepare() => {}
            () = sleep_until(self.last_start) => {}
        }
    }

    /// What was fetched before an earlier delivery of this batch ended is settled at once, where the ledger knows.
    pub(crate) async fn skip_what_is_known(&mut self) {
        if self.redelivery.noted.is_empty() {
            return;
        }
        match redelivery::known(&self.call, &self.batch).await {
            Ok(known) => {
                let known: BTreeMap<WorkIndex, Settled> = known.into_iter().collect();
                self.batch.withdraw(|index| known.contains_key(&index));
                // An earlier delivery has reported these: that they are known is no progress, after which the batch may come again at once.
                let progressed = self.progressed;
                known.iter().for_each(|(index, settled)| self.settle(*index, settled));
                self.progressed = progressed;
            }
            Err(error) => {
                tracing::warn!(provider = self.call.provider(), %error, "what was done before is not known: each claim tells");
            }
        }
    }

    /// Where the whole call is shorter than one fetch may take, nothing would ever start, call after call.
    pub(crate) fn stop_if_no_fetch_fits(&mut self) {
        let fetch_timeout = self.pipeline.manifest.limits.fetch_timeout;
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left >= fetch_timeout + RESERVE || self.batch.is_drained() {
            return;
        }
        tracing::error!(
            provider = self.call.provider(),
            call_ms = left.as_millis(),
            fetch_timeout_ms = fetch_timeout.as_millis(),
            shortest_call_ms = shortest_call(fetch_timeout).as_millis(),
            "nothing is fetched: a fetch may take fetch_timeout, and the call ends before. Make calls at least as long as \
             shortest_call (in AWS the stack's parameter TimeoutSeconds, and a second more), or lower limits.fetch_timeout"
        );
        self.stop(Stopped::Deadline);
    }

    /// Work until nothing can be done any more.
    pub(crate) async fn until_done(&mut self) {
        loop {
            self.renew_slots_if_due().await;
            self.set_requests_aside_if_low().await;
            let blocked = self.launch();
            self.flush_if_due(blocked);
            if self.is_over(blocked) {
                return;
            }
            let wake = self.wake(blocked);
            tokio::select! {
                biased;
                Some(tried) = self.tries.join_next() => match tried {
                    Ok(tried) => self.tried(tried).await,
                    Err(error) => self.stop(Stopped::Storage(format!("a try ended without a result: {error}"))),
                },
                Some(flushed) = self.flushing.join_next() => match flushed {
                    Ok(flushed) => self.flushed(flushed).await,
                    Err(error) => self.stop(Stopped::Storage(format!("a flush ended without a result: {error}"))),
                },
                () = self.call.stopped(), if self.stopped.is_none() => self.stop(Stopped::Asked),
                () = self.call.permits.freed(), if blocked == Blocked::Permits => {}
                () = self.call.turn(), if blocked == Blocked::Turn => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Nothing may be fetched now: the governor sees to the mapping, and the batch waits before it is delivered again.
    pub(crate) async fn gated(self, gate: Gate) -> Report {
        let Self { pipeline, call, batch, allowance, probes, deadline, .. } = self;
        let (unspent, probed) = (allowance.close(&call), probes.into_failed());
        // What was noted of the batch holds on: nothing of it has been looked at.
        let (redelivery, parked) = (Redelivery::default(), ParkedChange::default());
        let learned = Learned { invocation: None, records: 0, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(learned).await {
            tracing::warn!(provider = call.provider(), %error, "the mapping was not adapted");
        }
        pipeline.wait(gate.opens, deadline, &call).await;
        batch.into_report(Some(gate.why), Aside::default())
    }

    /// Give everything back and say what came of the batch.
    pub(crate) async fn report(mut self) -> Report {
        let invocation = self.invocation();
        let (mut aside, parked) = self.set_waiting_aside().await;
        let kept = if self.expects_more() { self.slots.keep(self.call.clock()) } else { None };
        let redelivery = Redelivery { again: self.batch.first_before_an_end(), ..self.redelivery };
        let Self {
            pipeline, call, batch, slots, allowance, probes, deadline, stopped, progressed, ok: records, ..
        } = self;
        if kept.is_some() {
            *pipeline.kept_slots() = kept;
        } else if let Err(error) = slots.give_back(call.ledger(), call.clock()).await {
            tracing::warn!(provider = call.provider(), %error, "slots were not given back; they run out by themselves");
        }
        let (unspent, probed) = (allowance.close(&call), probes.into_failed());
        let learned = Learned { invocation, records, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(learned).await {
            tracing::warn!(provider = call.provider(), %error, "what was learned of the API was not kept");
            // Nobody would look for what nobody has noted: it stays in the stream, too.
            aside.parked.clear();
        }
        // Redelivery is at once: what has to wait, for another's claim or a gate, waits here.
        let waits_for_quota = stopped == Some(Stopped::QuotaSpent);
        if !progressed && batch.len() > 0 && !batch.is_drained() && (stopped.is_none() || waits_for_quota) {
            let due = if waits_for_quota { None } else { batch.next_due() };
            pipeline.wait(due, deadline, &call).await;
        }
        batch.into_report(stopped, aside)
    }

    /// Start tries while work is due and the limiter, the slots and the time allow it. Says what is in the way.
    fn launch(&mut self) -> Blocked {
        let last_start = self.slots.launch_until(self.call.clock()).min(self.last_start);
        self.call.let_start_until(last_start, self.slots.renewed());
        loop {
            let now = Instant::now();
            if self.stopped.is_some() || now > self.last_start {
                return Blocked::ForGood;
            }
            if !self.chunks.have_room() {
                return Blocked::Flush;
            }
            if now > last_start {
                return Blocked::Until(self.next_renewal());
            }
            if !self.allowance.covers(self.call.before_turn(), &self.call) {
                return if self.call.before_turn() > 0 { Blocked::Turn } else { Blocked::Completion };
            }
            let in_use = self.call.in_use();
            if in_use > 0 && self.call.cautious_limit().is_some_and(|most| in_use >= most) {
                return Blocked::Completion;
            }
            // The limiter is asked only where there is something to fetch: it learns from being in the way.
            let Some(index) = self.batch.take_due(now) else { return Blocked::NothingDue };
            if let Some(blocked) = self.refused(now) {
                self.batch.put_back(index);
                return blocked;
            }
            let Some(permit) = self.call.permits.try_acquire() else {
                self.batch.put_back(index);
                return Blocked::Permits;
            };
            let breaker = self.call.limiter_snapshot().breaker;
            let index = self.probes.choose(index, breaker, &mut self.batch, now);
            let Some(work) = self.batch.work(index).map(Arc::clone) else { continue };
            self.call.queued();
            self.tries.spawn(attempt(Arc::clone(&self.call), index, work, self.batch.failures(index), permit));
        }
    }

    /// Whether the limiter is in the way of another try.
    fn refused(&self, now: Instant) -> Option<Blocked> {
        match self.call.admit_try() {
            Some(Admission::Now) => None,
            Some(Admission::At(at)) => Some(Blocked::Until(now + at.saturating_sub(self.call.elapsed()))),
            Some(Admission::AfterCompletion) => Some(Blocked::Completion),
            None => Some(Blocked::Turn),
        }
    }

    fn next_renewal(&self) -> Instant {
        self.slots.next_renewal(self.call.clock())
    }

    async fn renew_slots_if_due(&mut self) {
        self.slots.pay_owed();
        self.call.set_issued(self.slots.issued());
        let may_need_more = self.stopped.is_none() || !self.tries.is_empty();
        if !may_need_more || Instant::now() < self.next_renewal() {
            return;
        }
        if let Err(error) = self.slots.renew(self.call.ledger(), self.call.clock()).await {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        self.call.set_issued(self.slots.issued());
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
        match self.allowance.refill(self.pipeline, &self.call).await {
            Ok(()) if self.allowance.is_spent(&self.call) && self.tries.is_empty() => self.stop(Stopped::QuotaSpent),
            Ok(()) => {}
            Err(error) => self.stop(Stopped::Storage(error.to_string())),
        }
    }

    /// Start a flush where one is due, or where nothing else is left to do.
    fn flush_if_due(&mut self, blocked: Blocked) {
        let idle = self.tries.is_empty() && matches!(blocked, Blocked::NothingDue | Blocked::ForGood | Blocked::Flush);
        if !self.flushing.is_empty() {
            return;
        }
        if let Some(due) = self.chunks.take_due(Instant::now(), idle) {
            let (stores, provider) = (self.pipeline.stores.clone(), self.call.provider().to_owned());
            self.flushing.spawn(flush(stores, provider, self.call.owner.clone(), due));
        }
    }

    fn is_over(&self, blocked: Blocked) -> bool {
        let quiet = self.tries.is_empty() && self.flushing.is_empty() && self.chunks.are_empty();
        quiet
            && match blocked {
                Blocked::ForGood => true,
                Blocked::NothingDue => {
                    self.batch.next_due().is_none_or(|due| due > self.last_start) || self.only_waits()
                }
                Blocked::Until(instant) => instant > self.last_start,
                Blocked::Permits | Blocked::Completion | Blocked::Turn | Blocked::Flush => false,
            }
    }

    /// When to look again though nothing has happened.
    fn wake(&self, blocked: Blocked) -> Instant {
        let due = match blocked {
            Blocked::NothingDue => self.batch.next_due(),
            Blocked::Until(instant) => Some(instant),
            // What is in flight may be a request that nobody waits for any more.
            Blocked::Completion if self.tries.is_empty() => Some(Instant::now() + LOOK_AGAIN),
            Blocked::Permits | Blocked::Completion | Blocked::Turn | Blocked::Flush | Blocked::ForGood => None,
        };
        let renewal = (blocked != Blocked::ForGood).then(|| self.next_renewal());
        let flush = self.chunks.due().filter(|_| self.flushing.is_empty());
        // Nothing starts after this; a loop without events must see it.
        let end = (blocked != Blocked::ForGood).then(|| self.last_start + Duration::from_millis(1));
        [due, renewal, flush, end].into_iter().flatten().min().unwrap_or_else(|| Instant::now() + LONGEST_WAIT)
    }

    /// Take in what a try brought.
    async fn tried(&mut self, tried: Attempted) {
        let Attempted { index, step, alarm, failed } = tried;
        let breaker = self.call.limiter_snapshot().breaker;
        let id = self.batch.work(index).map(|work| work.item.id.as_str());
        self.probes.ended(id, failed.is_some(), breaker);
        match step {
            Step::Settled { by, end } => self.settle(index, &Settled::Before { by, end }),
            Step::NotBefore(until) => self.batch.delay(index, self.pipeline.instant(until)),
            Step::Retry { due, failures } => {
                self.pipeline.progress.retrying();
                self.batch.failed(index, failures);
                self.batch.delay(index, due);
            }
            Step::NotStarted => self.batch.delay(index, Instant::now()),
            Step::Recovered(claimed) => self.chunks.recovered(index, claimed),
            Step::Fetched { claimed, line } => {
                self.ok += 1;
                self.chunks.fetched(index, claimed, &line);
            }
            Step::GiveUp { claimed, letter, is_allowed: true } => self.give_up_as_allowed(index, claimed, *letter),
            Step::GiveUp { claimed, letter, is_allowed: false } => {
                self.give_up(index, claimed, *letter, alarm.is_some()).await;
            }
            Step::StorageFailed(message) => self.stop(Stopped::Storage(message)),
        }
        if let Some((alarm, failure)) = alarm {
            self.alarmed(alarm, &failure).await;
        }
        self.notice_breaker(failed).await;
    }

    /// The limiter's breaker may have opened or closed: the control item tells all other processes.
    async fn notice_breaker(&mut self, failed: Option<Failure>) {
        let breaker = self.call.limiter_snapshot().breaker;
        if self.probes.noticed(breaker)
            && let Err(error) =
                self.pipeline.note_breaker(breaker, failed.map(|failed| failed.to_string()).as_deref()).await
        {
            return self.stop(Stopped::Storage(error.to_string()));
        }
        if self.probes.is_hopeless(breaker, self.call.elapsed()) {
            self.stop(Stopped::ApiDown);
        }
    }

    async fn keep_for_later(&mut self, index: WorkIndex, claimed: Claimed, why: &str) {
        let release = Release { claimed, counted: false, not_before: self.call.clock().now(), error: why.to_owned() };
        if let Err(error) = self.call.ledger().release(self.call.provider(), &self.call.owner, release).await {
            tracing::warn!(provider = self.call.provider(), %error, "a claim was not given back; it runs out by itself");
        }
        self.batch.delay(index, Instant::now());
    }

    /// Take in what a flush brought.
    async fn flushed(&mut self, flushed: Flushed) {
        for (waiting, finish, finished) in flushed.finished {
            match (waiting, finished) {
                (Waiting::Unreadable(position), _) => {
                    let end = self.batch.unreadable_kept(position);
                    self.ended(end);
                }
                (Waiting::Work(index), Finished::Written) => {
                    let settled = if matches!(finish, Finish::Fetched(_)) { Settled::Fetched } else { Settled::Dead };
                    self.settle(index, &settled);
                }
                // Whoever took the claim over has found our object, or will; the next claim tells.
                (Waiting::Work(index), Finished::Fenced) => self.batch.delay(index, Instant::now()),
            }
        }
        if let Some((day, used)) = flushed.number {
            self.chunks.on_number_used(day, used);
        }
        // Whatever the failure: this owner starts nothing more, and what has not ended is delivered again to another.
        if let Some(error) = flushed.failure {
            self.stop(stopped_by(&error));
        }
        for (index, claimed) in flushed.not_stored {
            self.keep_for_later(index, claimed, "its record could not be stored").await;
        }
    }

    fn settle(&mut self, index: WorkIndex, settled: &Settled) {
        for end in self.batch.settle(index, settled) {
            self.ended(end);
        }
    }

    fn ended(&mut self, end: End) {
        self.progressed = true;
        self.pipeline.progress.ended(end);
    }

    /// Start nothing more; the first reason stands.
    fn stop(&mut self, why: Stopped) {
        if self.stopped.is_none() {
            self.stopped = Some(why);
        }
        self.call.stop();
    }
}

/// Why a call starts nothing more after a flush that failed.
fn stopped_by(failure: &FlushError) -> Stopped {
    match failure {
        FlushError::Sink(error @ SinkError::Sealed(_)) => {
            tracing::warn!(%error, "what is left of the batch is delivered again");
            Stopped::TakenOver
        }
        failure => Stopped::Storage(failure.to_string()),
    }
}
