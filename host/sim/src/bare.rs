//! The limiter alone: one or more algorithms with work to do, against one API, event by event.
//!
//! There is no pipeline here, no ledger, no batch: what is measured is what an algorithm does with an API, and nothing else.
//! Events of one instant happen in the order in which they came to be, so that a run is the same every time.

mod client;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter};
use damper_core::control::rebase::Rebase;

use crate::api::{Api, Plan};
use crate::bare::client::{Call, Client};
use crate::record::{Record, Recorder};

/// What clocks and answers may be late: a call that timed out keeps its permit so much longer, as in the pipeline.
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
    /// What there is to fetch, for each client.
    pub work: Work,
    /// What chance follows from.
    pub seed: u64,
}

/// What there is to fetch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Items at first; `None`: more than can ever be fetched.
    pub backlog: Option<u64>,
    /// Items that come in every second, evenly spaced; 0: none.
    pub per_second: f64,
}

impl Work {
    /// More than can ever be fetched.
    pub const ENDLESS: Self = Self { backlog: None, per_second: 0.0 };
}

/// Run one algorithm for each client against the API, and say what happened.
#[must_use]
pub fn run(setting: &Setting, limiters: Vec<Box<dyn ConcurrencyLimiter>>) -> Record {
    let mut run = Run::new(setting, limiters);
    run.until_over();
    run.recorder.finish(setting.duration)
}

/// Run one client whose work comes in invocations of `items` items each, one after another: none starts before all calls of the
/// one before have ended. `restored`: each begins with a limiter of its own, which goes on from what the last one saved.
#[must_use]
pub fn run_in_invocations(
    setting: &Setting,
    items: u32,
    restored: bool,
    limiter: &dyn Fn() -> Box<dyn ConcurrencyLimiter>,
) -> Record {
    let mut run = Run::new(setting, vec![limiter()]);
    run.invocations = Some(Invocations { items, left: items, fresh: restored.then_some(limiter) });
    run.until_over();
    run.recorder.finish(setting.duration)
}

/// Work that comes in portions.
struct Invocations<'a> {
    items: u32,
    /// Items of the current one that have not started.
    left: u32,
    /// Where each has a limiter of its own: one that knows nothing.
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
                    // What cannot be read is not learned from, and the figures show it.
                    let _ = client.limiter.load(&saved, &Rebase::new(now, now));
                }
            }
        }
        self.left > 0
    }
}

/// What happens at some time.
#[derive(Debug)]
enum Happening {
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
    what: Happening,
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

struct Run<'a> {
    setting: &'a Setting,
    api: Api,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<Event>>,
    numbers: u64,
    recorder: Recorder,
    invocations: Option<Invocations<'a>>,
}

impl<'a> Run<'a> {
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
        run.schedule(Duration::ZERO, 0, Happening::Second);
        for client in 0..run.clients.len() {
            run.schedule(Duration::ZERO, client, Happening::Wake);
            if setting.work.per_second > 0.0 {
                run.schedule(Duration::ZERO, client, Happening::Item);
            }
        }
        run
    }

    fn until_over(&mut self) {
        while let Some(Reverse(event)) = self.events.pop() {
            if event.at > self.setting.duration {
                return;
            }
            self.happens(event);
        }
    }

    fn happens(&mut self, Event { at: now, client: index, what, .. }: Event) {
        let Some(client) = self.clients.get_mut(index) else { return };
        match what {
            Happening::Ended(call) => {
                client.ended(now, call);
                self.recorder.ended(now, index, now - call.permit.started, call.outcome);
                if call.unanswered {
                    self.schedule(now + MARGIN, index, Happening::Freed);
                } else {
                    self.freed(now, index);
                }
            }
            Happening::Freed => self.freed(now, index),
            Happening::Wake => client.woken(now),
            Happening::Item => {
                client.fed();
                let next = now + crate::units::seconds(1.0 / self.setting.work.per_second);
                self.schedule(next, index, Happening::Item);
            }
            Happening::Second => {
                for client in &self.clients {
                    self.recorder.read(now, &client.limiter.snapshot(now));
                }
                return self.schedule(now + Duration::from_secs(1), 0, Happening::Second);
            }
        }
        self.launch(now, index);
    }

    fn freed(&mut self, now: Duration, index: usize) {
        if let Some(client) = self.clients.get_mut(index) {
            client.in_flight -= 1;
        }
        self.recorder.in_flight(now, -1);
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
                    self.recorder.sent(now, index, above);
                    self.recorder.in_flight(now, 1);
                    self.schedule(call.ends, index, Happening::Ended(call));
                }
                Admission::At(at) => return self.wake(now, index, at),
                Admission::AfterCompletion if client.in_flight == 0 => {
                    self.recorder.stuck();
                    return self.wake(now, index, now + ASK_AGAIN);
                }
                Admission::AfterCompletion => return,
            }
        }
    }

    fn wake(&mut self, now: Duration, index: usize, at: Duration) {
        // Time has to go on, whatever an algorithm says.
        let at = at.max(now + Duration::from_nanos(1));
        if self.clients.get_mut(index).is_some_and(|client| client.wants_wake(at)) {
            self.schedule(at, index, Happening::Wake);
        }
    }

    fn schedule(&mut self, at: Duration, client: usize, what: Happening) {
        self.numbers += 1;
        self.events.push(Reverse(Event { at, number: self.numbers, client, what }));
    }
}

#[cfg(test)]
mod tests;
