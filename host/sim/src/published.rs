//! The scenarios that Vector's authors published for their ARC, so that ours can be held to their figures.
//!
//! Source: vectordotdev/vector, `tests/data/adaptive-concurrency/*.yaml` and the sink in
//! `src/sinks/util/adaptive_concurrency/tests.rs` that they run against: so many requests, at once; an answer takes 0.1
//! s; what is over a limit on concurrency or on requests in the last second is refused after 0.1 s ("defer") or never
//! answered ("drop", given up after 1 s). Failed requests are tried again after 1, 2, 3, 5 ... 30 s. In Vector they
//! keep their permit meanwhile ([`Retries::Held`]), so that its ARC sees no refusal at all but only how long a request
//! took with all its tries.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, Outcome, Permit};

use crate::units::number;

const DELAY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A run that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(3_600);

/// One of the published scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The name of its file.
    pub name: &'static str,
    /// Requests in all.
    pub requests: u32,
    /// More at once than this are refused.
    pub concurrency: Option<usize>,
    /// More than this in a second are refused.
    pub rate: Option<usize>,
    /// Whether what is refused is never answered instead.
    pub drops: bool,
}

/// Whether a request keeps its permit while it waits for its next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// The request keeps it, and the algorithm hears of the last try alone: Vector's way.
    Held,
    /// It comes free, and the algorithm hears of every try: Damper's way.
    Released,
}

/// The scenarios whose figures are reproduced.
pub const PUBLISHED: [Published; 4] = [
    Published { name: "constant-link", requests: 500, concurrency: None, rate: None, drops: false },
    Published { name: "defers-at-high-concurrency", requests: 500, concurrency: Some(5), rate: None, drops: false },
    Published { name: "defers-at-high-rate", requests: 1_000, concurrency: None, rate: Some(100), drops: false },
    Published { name: "drops-at-high-concurrency", requests: 500, concurrency: Some(5), rate: None, drops: true },
];

/// The result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Finish {
    /// When the last request succeeded.
    pub after: Duration,
    /// Requests that were refused or dropped.
    pub refused: u32,
    /// Requests at the API: the most at once, and in the mean over time.
    pub at_once: (u32, f64),
    /// Requests in a second: the most.
    pub in_a_second: u32,
    /// The algorithm's limit: the highest, and in the mean over time.
    pub limit: (u32, f64),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PublishedEvent {
    /// The API ends with a request, whether its client still waits or not.
    Left,
    /// A try of a request ends.
    Ended {
        request: u32,
        good: bool,
        tried: u32,
    },
    /// A request is due again.
    Due {
        request: u32,
        tried: u32,
    },
    Wake,
}

struct PublishedRun<'a> {
    scenario: &'a Published,
    retries: Retries,
    limiter: Box<dyn ConcurrencyLimiter>,
    events: BinaryHeap<Reverse<(Duration, u64, PublishedEvent)>>,
    numbers: u64,
    /// Requests that wait for a permit, with the tries they had.
    waiting: VecDeque<(u32, u32)>,
    permits: BTreeMap<u32, Permit>,
    recent: VecDeque<Duration>,
    at_once: u32,
    done: u32,
    finish: Finish,
    summed_to: Duration,
}

impl Published {
    /// Run an algorithm through it.
    #[must_use]
    pub fn run(&self, limiter: Box<dyn ConcurrencyLimiter>, retries: Retries) -> Finish {
        let mut run = PublishedRun {
            scenario: self,
            retries,
            limiter,
            events: BinaryHeap::new(),
            numbers: 0,
            waiting: (0..self.requests).map(|request| (request, 0)).collect(),
            permits: BTreeMap::new(),
            recent: VecDeque::new(),
            at_once: 0,
            done: 0,
            finish: Finish::default(),
            summed_to: Duration::ZERO,
        };
        run.until_done();
        run.finish
    }
}

impl PublishedRun<'_> {
    fn until_done(&mut self) {
        self.launch(Duration::ZERO);
        while let Some(Reverse((now, _, what))) = self.events.pop() {
            self.sum_up(now);
            self.handle_event(now, what);
            // Events that end at one instant are handled before anything starts at that instant.
            if self.events.peek().is_some_and(|Reverse((next, ..))| *next == now) {
                continue;
            }
            self.finish.after = now;
            if self.done == self.scenario.requests || now > LONGEST {
                break;
            }
            self.launch(now);
        }
        let whole = self.finish.after.as_secs_f64().max(f64::MIN_POSITIVE);
        self.finish.at_once.1 /= whole;
        self.finish.limit.1 /= whole;
    }

    fn sum_up(&mut self, now: Duration) {
        let time = (now - self.summed_to).as_secs_f64();
        if time == 0.0 {
            return;
        }
        let limit = self.limiter.snapshot(now).limit;
        self.finish.at_once.0 = self.finish.at_once.0.max(self.at_once);
        self.finish.at_once.1 += number(u64::from(self.at_once)) * time;
        self.finish.limit.1 += number(u64::from(limit)) * time;
        self.finish.limit.0 = self.finish.limit.0.max(limit);
        self.summed_to = now;
    }

    fn handle_event(&mut self, now: Duration, what: PublishedEvent) {
        match what {
            PublishedEvent::Left => self.at_once -= 1,
            PublishedEvent::Wake => {}
            PublishedEvent::Due { request, tried } if self.retries == Retries::Held => self.send(now, request, tried),
            PublishedEvent::Due { request, tried } => self.waiting.push_back((request, tried)),
            PublishedEvent::Ended { request, good, tried } => {
                self.done += u32::from(good);
                if good || self.retries == Retries::Released {
                    self.report_outcome(now, request, good);
                }
                if !good {
                    self.schedule(now + backoff(tried), PublishedEvent::Due { request, tried });
                }
            }
        }
    }

    fn report_outcome(&mut self, now: Duration, request: u32, good: bool) {
        let refused = if self.scenario.drops { Outcome::TimedOut } else { Outcome::Throttled { retry_after: None } };
        if let Some(permit) = self.permits.remove(&request) {
            self.limiter.on_completed(now, permit, if good { Outcome::Ok } else { refused });
        }
    }

    fn launch(&mut self, now: Duration) {
        while let Some((request, tried)) = self.waiting.front().copied() {
            let in_flight = u32::try_from(self.permits.len()).unwrap_or(u32::MAX);
            match self.limiter.admit(now, in_flight) {
                Admission::Now => {
                    self.waiting.pop_front();
                    let permit = self.limiter.on_started(now);
                    self.permits.insert(request, permit);
                    self.send(now, request, tried);
                }
                Admission::At(at) => {
                    return self.schedule(at.max(now + Duration::from_micros(1)), PublishedEvent::Wake);
                }
                Admission::AfterCompletion if in_flight == 0 => {
                    return self.schedule(now + TIMEOUT, PublishedEvent::Wake);
                }
                Admission::AfterCompletion => return,
            }
        }
    }

    /// One try of a request that has its permit.
    fn send(&mut self, now: Duration, request: u32, tried: u32) {
        while self.recent.front().is_some_and(|sent| *sent + Duration::from_secs(1) <= now) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let in_a_second = self.recent.len();
        self.finish.in_a_second = self.finish.in_a_second.max(u32::try_from(in_a_second).unwrap_or(u32::MAX));
        self.at_once += 1;
        let too_many = self.scenario.concurrency.is_some_and(|limit| self.at_once as usize > limit)
            || self.scenario.rate.is_some_and(|limit| in_a_second > limit);
        self.finish.refused += u32::from(too_many);
        let ends = if too_many && self.scenario.drops {
            self.at_once -= 1;
            now + TIMEOUT
        } else {
            self.schedule(now + DELAY, PublishedEvent::Left);
            now + DELAY
        };
        self.schedule(ends, PublishedEvent::Ended { request, good: !too_many, tried: tried + 1 });
    }

    fn schedule(&mut self, at: Duration, what: PublishedEvent) {
        self.numbers += 1;
        self.events.push(Reverse((at, self.numbers, what)));
    }
}

/// How long a request waits that failed so often: the Fibonacci numbers from 1 s, without jitter.
fn backoff(failures: u32) -> Duration {
    let (mut before, mut wait) = (Duration::ZERO, Duration::from_secs(1));
    for _ in 0..failures {
        (before, wait) = (wait, (before + wait).min(LONGEST_BACKOFF));
    }
    wait
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::vector_arc::{Settings, VectorArc};

    fn arc(name: &str) -> Finish {
        let scenario = PUBLISHED.iter().find(|scenario| scenario.name == name).unwrap();
        scenario.run(Box::new(VectorArc::with(Settings::default())), Retries::Held)
    }

    #[track_caller]
    fn within(range: std::ops::RangeInclusive<f64>, value: f64) {
        assert!(range.contains(&value), "{value} is not within {range:?}");
    }

    #[test]
    fn waits_are_fibonacci_numbers() {
        assert_eq!([1, 2, 3, 4, 5].map(|failures| backoff(failures).as_secs()), [1, 2, 3, 5, 8]);
        assert_eq!(backoff(20), LONGEST_BACKOFF);
    }

    // The ranges are those of Vector's files.
    #[test]
    fn vector_constant_link() {
        let finish = arc("constant-link");
        within(30.0..=31.0, f64::from(finish.at_once.0));
        within(15.0..=16.0, finish.at_once.1);
        within(22.0..=32.0, f64::from(finish.limit.0));
        assert_eq!((finish.after, finish.refused), (Duration::from_millis(3_300), 0));
    }

    #[test]
    fn vector_defers_at_high_concurrency() {
        let finish = arc("defers-at-high-concurrency");
        within(5.0..=18.0, f64::from(finish.at_once.0));
        within(2.2..=5.0, finish.at_once.1);
        within(52.0..=63.0, f64::from(finish.in_a_second));
        within(6.0..=41.0, f64::from(finish.limit.0));
    }

    #[test]
    fn vector_defers_at_high_rate() {
        let finish = arc("defers-at-high-rate");
        within(16.0..=24.0, f64::from(finish.at_once.0));
        within(6.0..=9.0, finish.at_once.1);
        within(90.0..=123.0, f64::from(finish.in_a_second));
        within(16.0..=24.0, f64::from(finish.limit.0));
        assert_eq!(finish.after, Duration::from_millis(16_100));
    }

    #[test]
    fn vector_drops_at_high_concurrency() {
        let finish = arc("drops-at-high-concurrency");
        within(4.0..=5.0, f64::from(finish.at_once.0));
        within(3.0..=4.0, finish.at_once.1);
        within(55.0..=90.0, f64::from(finish.in_a_second));
        within(10.0..=86.0, f64::from(finish.limit.0));
    }
}
