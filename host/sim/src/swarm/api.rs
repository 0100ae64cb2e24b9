//! One provider's API: it answers as the setup says until faults have ended, and counts what reaches it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use damper_core::day::Day;

use crate::random::Random;
use crate::swarm::case::{ApiSetup, ItemKind, ProviderSetup};
use crate::swarm::invariants::Invariant;

/// From which stream of a seed APIs draw.
const STREAM: u64 = 200;

/// The API's response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Record,
    NotFound,
    Malformed,
    /// It has taken this order, and has no record yet.
    NotReady {
        order: u64,
    },
    Unavailable,
    Throttled {
        retry_after: Option<Duration>,
    },
    /// Nothing, ever.
    Silence,
}

/// The responses that an id has received.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) not_found: u32,
    pub(super) malformed: u32,
    pub(super) failed: u32,
}

/// An API.
#[derive(Debug)]
pub(super) struct SwarmApi {
    setup: ApiSetup,
    cap: usize,
    quota: Option<u64>,
    /// From when on nothing fails that the item does not make fail.
    healthy_from: Duration,
    random: Random,
    /// When each request that is worked at is given up at the latest, and when it was sent.
    in_flight: BinaryHeap<Reverse<(Duration, Duration)>>,
    of_day: BTreeMap<Day, u64>,
    truths: BTreeMap<String, Truth>,
    /// By number: whose they are, and how often each was polled.
    orders: BTreeMap<u64, (String, u64)>,
    requests: u64,
}

/// A request, as it arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) id: &'a str,
    /// The order that it asks for; `None`: it places one, if the item needs one.
    pub(super) order: Option<u64>,
    /// When, from the beginning.
    pub(super) now: Duration,
    /// The provider's day then, as its sender sees it.
    pub(super) day: Day,
    /// How long the client waits.
    pub(super) timeout: Duration,
    /// Its sender cannot know of requests that were sent before.
    pub(super) unknown_before: Duration,
}

impl SwarmApi {
    pub(super) fn new(provider: &ProviderSetup, seed: u64, number: u64, healthy_from: Duration) -> Self {
        Self {
            setup: provider.api,
            cap: provider.cap as usize,
            quota: provider.quota,
            healthy_from,
            random: Random::new(seed, STREAM + number),
            in_flight: BinaryHeap::new(),
            of_day: BTreeMap::new(),
            truths: BTreeMap::new(),
            orders: BTreeMap::new(),
            requests: 0,
        }
    }

    /// A request arrives. Answers what is said and after how long, or which promise the request breaks.
    pub(super) fn receive(&mut self, request: Request<'_>) -> Result<(Duration, Reply), (Invariant, String)> {
        let Request { id, order, now, day, timeout, unknown_before } = request;
        self.requests += 1;
        while self.in_flight.peek().is_some_and(|Reverse((end, _))| *end <= now) {
            self.in_flight.pop();
        }
        let (takes, mut reply) = self.reply(id, now);
        if reply == Reply::Record && id.starts_with(ItemKind::Ordered.name()) {
            reply = self.reply_to_order(id, order)?;
        }
        let takes = takes.min(timeout);
        self.in_flight.push(Reverse((now + takes, now)));
        if self.in_flight.len() > self.cap {
            self.in_flight.retain(|Reverse((_, sent))| *sent >= unknown_before);
        }
        if self.in_flight.len() > self.cap {
            return Err((
                Invariant::Cap,
                format!("{} in flight, and at most {} may be", self.in_flight.len(), self.cap),
            ));
        }
        let count = self.of_day.entry(day).or_default();
        *count += 1;
        if let Some(quota) = self.quota.filter(|quota| *count > *quota) {
            return Err((Invariant::Quota, format!("request {count} of {day}, and at most {quota} may be sent")));
        }
        let truth = self.truths.entry(id.to_owned()).or_default();
        match reply {
            Reply::NotFound => truth.not_found += 1,
            Reply::Malformed => truth.malformed += 1,
            Reply::Unavailable | Reply::Throttled { .. } | Reply::Silence => truth.failed += 1,
            Reply::Record | Reply::NotReady { .. } => {}
        }
        Ok((takes, reply))
    }

    fn reply(&mut self, id: &str, now: Duration) -> (Duration, Reply) {
        let ApiSetup { quickest, slowest, unavailable, throttled, retry_after, silent, outage } = self.setup;
        let takes = quickest + (slowest - quickest).mul_f64(self.random.unit());
        let draw = self.random.unit();
        let is_out = outage.is_some_and(|(from, length)| (from..from + length).contains(&now));
        let reply = match draw {
            _ if is_out => Reply::Unavailable,
            // Without a Retry-After, which may be about all items.
            _ if now < self.healthy_from && id.starts_with(ItemKind::Locked.name()) => Reply::Unavailable,
            draw if now < self.healthy_from && draw < unavailable => Reply::Unavailable,
            draw if now < self.healthy_from && draw < unavailable + throttled => Reply::Throttled { retry_after },
            draw if now < self.healthy_from && draw < unavailable + throttled + silent => Reply::Silence,
            _ if id.starts_with(ItemKind::Gone.name()) => Reply::NotFound,
            _ if id.starts_with(ItemKind::Malformed.name()) => Reply::Malformed,
            _ => Reply::Record,
        };
        (if reply == Reply::Silence { Duration::MAX } else { takes }, reply)
    }

    /// Takes an order, or answers a poll of one: an order needs one to three polls.
    fn reply_to_order(&mut self, id: &str, order: Option<u64>) -> Result<Reply, (Invariant, String)> {
        let Some(order) = order else {
            self.orders.insert(self.requests, (id.to_owned(), 0));
            return Ok(Reply::NotReady { order: self.requests });
        };
        let Some((_, polls)) = self.orders.get_mut(&order).filter(|(of, _)| of == id) else {
            return Err((Invariant::Resume, format!("{id} is polled with the order {order}, which is not its own")));
        };
        *polls += 1;
        Ok(if *polls > order % 3 { Reply::Record } else { Reply::NotReady { order } })
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// The responses that an id has received.
    pub(super) fn truth(&self, id: &str) -> Truth {
        self.truths.get(id).cloned().unwrap_or_default()
    }

    /// How many answers said that an item is at fault.
    pub(super) fn at_fault(&self) -> u32 {
        self.truths.values().map(|truth| truth.not_found + truth.malformed).sum()
    }
}
