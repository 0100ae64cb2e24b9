//! The limiter alone: one or more algorithms with work to do, against one API, event by event.
//!
//! There is no pipeline here, no ledger, no batch: what is measured is what an algorithm does with an API, and nothing
//! else. Events of one instant happen in the order in which they came to be, so that a run is the same every time.

mod client;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter};
use damper_core::control::rebase::Rebase;

use crate::api::{Api, Plan};
use crate::bare::client::{Call, Client};
use crate::record::{Record, Recorder};
use crate::units::seconds;
use crate::work::Work;

/// The margin for late clocks and responses: a call that timed out keeps its permit so much longer, as in the pipeline.
const MARGIN: Duration = Duration::from_secs(1);
/// How often an algorithm is asked again that wants a completion while nothing is in flight. A sound one never does.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Everything about a run but the algorithms.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The API.
    pub plan: Plan,
    /// How long.
    pub duration: Duration,
    /// The most calls in flight of one client: its slots.
    pub max_in_flight: u32,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    /// The work of each client.
    pub work: Work,
    /// The seed of all random numbers.
    pub seed: u64,
}

/// Run one algorithm for each client against the API, and say what happened.
#[must_use]
pub fn run(setting: &Setting, limiters: Vec<Box<dyn ConcurrencyLimiter>>) -> Record {
    let mut run = LimiterRun::new(setting, limiters);
    run.until_over();
    run.recorder.finish(setting.duration)
}

/// Run one client whose work comes in invocations of `items` items each, one after another: none starts before all
/// calls of the one before have ended. `restored`: each begins with a limiter of its own, which goes on from what the
/// last one saved.
#[must_use]
pub fn run_in_invocations(
    setting: &Setting,
    items: u32,
    restored: bool,
    limiter: &dyn Fn() -> Box<dyn ConcurrencyLimiter>,
) -> Record {
    let mut run = LimiterRun::new(setting, vec![limiter()]);
    run.invocations = Some(Invocations { items, left: items, fresh: restored.then_some(limiter) });
    run.until_over();
    run.recorder.finish(setting.duration)
}

/// Work that comes in portions.
struct Invocations<'a> {
    items: u32,
    /// Items of the current one that have not started.
    left: u32,
    /// If each invocation has a limiter of its own: one that knows nothing.
    fresh: Option<&'a dyn Fn() -> Box<dyn ConcurrencyLimiter>>,
}

impl Invocations<'_> {
    /// Whether an item may start; begins the next invocation where the last one is over.
    fn offer(&mut self, client: &mut Client, now: Duration) -> bool {
        if self.left == 0 && client.in_flight == 0 {
            self.left = self.items;
            if let Some(fresh) = self.fresh {
                let saved = client.limiter.save();
                client.limiter = fresh();
                if let Some(saved) = saved {
                    // A state that cannot be read is ignored, and the figures show it.
                    let _ = client.limiter.load(&saved, &Rebase::new(now, now));
                }
            }
        }
        self.left > 0
    }
}

/// An event of the run.
#[derive(Debug)]
enum EventKind {
    /// A call is answered, or its client gives up.
    Ended(Call),
    /// The permit of a call that timed out comes free.
    Freed,
    /// The algorithm wanted to be asked again.
    Wake,
    /// An item comes in.
    Item,
    /// A second is over.
    Second,
}

#[derive(Debug)]
struct Event {
    at: Duration,
    number: u64,
    client: usize,
    kind: EventKind,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct LimiterRun<'a> {
    setting: &'a Setting,
    api: Api,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<Event>>,
    numbers: u64,
    recorder: Recorder,
    invocations: Option<Invocations<'a>>,
}

impl<'a> LimiterRun<'a> {
    fn new(setting: &'a Setting, limiters: Vec<Box<dyn ConcurrencyLimiter>>) -> Self {
        let clients: Vec<_> = limiters.into_iter().map(|limiter| Client::new(limiter, setting.work)).collect();
        let mut run = Self {
            setting,
            api: Api::new(setting.plan.clone(), setting.seed),
            recorder: Recorder::new(&setting.plan, clients.len()),
            clients,
            events: BinaryHeap::new(),
            numbers: 0,
            invocations: None,
        };
        run.schedule(Duration::ZERO, 0, EventKind::Second);
        for client in 0..run.clients.len() {
            run.schedule(Duration::ZERO, client, EventKind::Wake);
            if setting.work.per_second > 0.0 {
                run.schedule(Duration::ZERO, client, EventKind::Item);
            }
        }
        run
    }

    fn until_over(&mut self) {
        while let Some(Reverse(event)) = self.events.pop() {
            if event.at > self.setting.duration {
                return;
            }
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, Event { at: now, client: index, kind, .. }: Event) {
        let Some(client) = self.clients.get_mut(index) else { return };
        match kind {
            EventKind::Ended(call) => {
                client.on_call_end(now, call);
                self.recorder.record_end(now, index, now - call.permit.started, call.outcome);
                if call.unanswered {
                    self.schedule(now + MARGIN, index, EventKind::Freed);
                } else {
                    self.on_permit_freed(now, index);
                }
            }
            EventKind::Freed => self.on_permit_freed(now, index),
            EventKind::Wake => client.on_wake(now),
            EventKind::Item => {
                client.add_item();
                let next = now + seconds(1.0 / self.setting.work.per_second);
                self.schedule(next, index, EventKind::Item);
            }
            EventKind::Second => {
                for client in &self.clients {
                    self.recorder.record_reading(now, &client.limiter.snapshot(now));
                }
                return self.schedule(now + Duration::from_secs(1), 0, EventKind::Second);
            }
        }
        self.launch(now, index);
    }

    fn on_permit_freed(&mut self, now: Duration, index: usize) {
        if let Some(client) = self.clients.get_mut(index) {
            client.in_flight -= 1;
        }
        self.recorder.change_in_flight(now, -1);
    }

    /// Start calls while there is work and the algorithm lets them.
    fn launch(&mut self, now: Duration, index: usize) {
        while let Some(client) = self.clients.get_mut(index).filter(|client| client.has_work()) {
            if self.invocations.as_mut().is_some_and(|invocations| !invocations.offer(client, now)) {
                return;
            }
            match client.limiter.admit(now, client.in_flight) {
                Admission::Now => {
                    if let Some(invocations) = &mut self.invocations {
                        invocations.left -= 1;
                    }
                    let above = client.in_flight >= self.setting.max_in_flight;
                    let call = client.start(now, self.api.call(now, self.setting.timeout));
                    self.recorder.record_sent(now, index, above);
                    self.recorder.change_in_flight(now, 1);
                    self.schedule(call.ends, index, EventKind::Ended(call));
                }
                Admission::At(at) => return self.wake(now, index, at),
                Admission::AfterCompletion if client.in_flight == 0 => {
                    self.recorder.record_stuck();
                    return self.wake(now, index, now + ASK_AGAIN);
                }
                Admission::AfterCompletion => return,
            }
        }
    }

    fn wake(&mut self, now: Duration, index: usize, at: Duration) {
        // Time has to go on, whatever an algorithm says.
        let at = at.max(now + Duration::from_nanos(1));
        if self.clients.get_mut(index).is_some_and(|client| client.schedule_wake(at)) {
            self.schedule(at, index, EventKind::Wake);
        }
    }

    fn schedule(&mut self, at: Duration, client: usize, kind: EventKind) {
        self.numbers += 1;
        self.events.push(Reverse(Event { at, number: self.numbers, client, kind }));
    }
}

#[cfg(test)]
mod tests;
