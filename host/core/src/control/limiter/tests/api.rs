//! Small simulated APIs, and a caller that always has work.

use std::collections::BTreeSet;

use super::super::*;

/// The response of an API to a fetch: after which time, and with which outcome.
pub(super) type Answer = (Duration, Outcome);

/// A generator of numbers between 0 and 1, the same each time (Steele, Lea and Flood's SplitMix).
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About so many milliseconds, half to twice as long.
    pub(super) fn about(&mut self, milliseconds: f64) -> Duration {
        Duration::from_secs_f64(milliseconds / 1_000.0 * 4.0_f64.powf(self.unit() - 0.5))
    }
}

/// A limiter at work: all that may start does, at once.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) limiter: Limiter,
    pub(super) now: Duration,
    pub(super) random: Random,
    pub(super) good: u32,
    pub(super) throttled: u32,
    pub(super) failed: u32,
    pub(super) started: u32,
    pub(super) phases: BTreeSet<&'static str>,
    in_flight: Vec<(Duration, Permit, Outcome)>,
}

impl Work {
    pub(super) fn new(limiter: Limiter, now: Duration) -> Self {
        let (random, phases, in_flight) = (Random(1), BTreeSet::new(), Vec::new());
        Self { limiter, now, random, good: 0, throttled: 0, failed: 0, started: 0, phases, in_flight }
    }

    /// Go on for so long against an API that answers by the time, how many are in flight, and chance.
    pub(super) fn go_on(&mut self, span: Duration, mut api: impl FnMut(Duration, u32, &mut Random) -> Answer) {
        let end = self.now + span;
        while self.now < end {
            let mut next = end;
            loop {
                let in_flight = u32::try_from(self.in_flight.len()).unwrap();
                match self.limiter.admit(self.now, in_flight) {
                    Admission::Now => {
                        let permit = self.limiter.on_started(self.now);
                        let (after, outcome) = api(self.now, permit.in_flight, &mut self.random);
                        self.in_flight.push((self.now + after, permit, outcome));
                        self.started += 1;
                    }
                    Admission::At(at) => {
                        assert!(at > self.now);
                        next = next.min(at);
                        break;
                    }
                    Admission::AfterCompletion => {
                        assert!(in_flight > 0, "nothing will ever complete");
                        break;
                    }
                }
                self.phases.insert(self.limiter.snapshot(self.now).phase);
            }
            let first = (0..self.in_flight.len()).min_by_key(|index| self.in_flight[*index].0);
            match first.filter(|index| self.in_flight[*index].0 <= next) {
                Some(index) => {
                    let (at, permit, outcome) = self.in_flight.swap_remove(index);
                    self.now = self.now.max(at);
                    self.limiter.on_completed(self.now, permit, outcome);
                    match outcome {
                        Outcome::Ok => self.good += 1,
                        Outcome::Throttled { .. } => self.throttled += 1,
                        Outcome::Failed | Outcome::TimedOut => self.failed += 1,
                    }
                }
                None => self.now = next,
            }
            self.phases.insert(self.limiter.snapshot(self.now).phase);
        }
    }

    /// How many good answers come in a second, over so long.
    pub(super) fn rate(&mut self, span: Duration, api: impl FnMut(Duration, u32, &mut Random) -> Answer) -> f64 {
        let before = self.good;
        self.go_on(span, api);
        f64::from(self.good - before) / span.as_secs_f64()
    }
}

/// An API that answers 429 to more than `most` at a time.
pub(super) fn api_with_cap(most: u32) -> impl FnMut(Duration, u32, &mut Random) -> Answer {
    move |_, in_flight, random| {
        if in_flight > most {
            (Duration::from_millis(10), Outcome::Throttled { retry_after: None })
        } else {
            (random.about(200.0), Outcome::Ok)
        }
    }
}

/// An API that is slower in proportion where more than `most` are in flight.
pub(super) fn api_with_knee(most: u32) -> impl FnMut(Duration, u32, &mut Random) -> Answer {
    move |_, in_flight, random| {
        let slower = f64::from(in_flight.max(most)) / f64::from(most);
        (random.about(200.0 * slower), Outcome::Ok)
    }
}
