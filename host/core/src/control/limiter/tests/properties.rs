//! Properties that hold for any events in any order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::api::Work;

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// Somebody has work: all that may start does, this many at the most.
    Start(u8),
    /// The fetch at this place among those in flight ends.
    End(usize, Outcome),
    /// It ends without information on the API.
    Forget(usize),
    /// A fetch has sent more requests.
    More(u32),
    /// The process stops, and another goes on.
    Restore,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let retry_after = prop_oneof![
        3 => Just(None),
        2 => (0_u64..3_000).prop_map(|wait| Some(Duration::from_millis(wait))),
        1 => (0_u64..90_000).prop_map(|wait| Some(Duration::from_secs(wait))),
    ];
    prop_oneof![
        8 => Just(Outcome::Ok),
        2 => retry_after.prop_map(|retry_after| Outcome::Throttled { retry_after }),
        2 => Just(Outcome::Failed),
        1 => Just(Outcome::TimedOut),
    ]
}

/// Some events and, before each, some milliseconds: moods in which one outcome is likelier, so that outages and calm
/// come about.
fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let pause = prop_oneof![6 => 0_u64..60, 3 => 0_u64..1_500, 1 => 0_u64..120_000];
    let event = |end: BoxedStrategy<Outcome>| {
        prop_oneof![
            8 => (1_u8..40).prop_map(Event::Start),
            16 => (any::<usize>(), end).prop_map(|(which, outcome)| Event::End(which, outcome)),
            1 => any::<usize>().prop_map(Event::Forget),
            1 => (0_u32..5).prop_map(Event::More),
            1 => Just(Event::Restore),
        ]
    };
    let mood = prop_oneof![2 => outcome(), 2 => Just(Outcome::Ok), 1 => Just(Outcome::Failed)];
    vec((mood, 1_usize..80), 1..6).prop_flat_map(move |moods| {
        let part = |(mood, count)| {
            let end = prop_oneof![3 => Just(mood), 1 => outcome()].boxed();
            vec((pause.clone(), event(end)), count)
        };
        let parts: Vec<_> = moods.into_iter().map(part).collect();
        parts.prop_map(|parts| parts.into_iter().flatten().collect())
    })
}

/// A limiter, a twin that is restored now and then and must do the same, and what they have to keep to.
struct Watched {
    config: LimiterConfig,
    limiter: Limiter,
    twin: Limiter,
    now: Duration,
    in_flight: Vec<Permit>,
    gate: Duration,
    /// When the manifest's rate allows the next start.
    free: Duration,
}

impl Watched {
    fn new(config: LimiterConfig) -> Self {
        let (limiter, twin) = (Limiter::new(config.clone()), Limiter::new(config.clone()));
        Self {
            config,
            limiter,
            twin,
            now: Duration::ZERO,
            in_flight: Vec::new(),
            gate: Duration::ZERO,
            free: Duration::ZERO,
        }
    }

    fn happen(&mut self, pause_ms: u64, event: &Event) -> Result<(), TestCaseError> {
        self.now += Duration::from_millis(pause_ms);
        match event {
            Event::Start(most) => self.start(*most)?,
            Event::End(which, outcome) if !self.in_flight.is_empty() => {
                let permit = self.in_flight.swap_remove(which % self.in_flight.len());
                self.limiter.on_completed(self.now, permit, *outcome);
                self.twin.on_completed(self.now, permit, *outcome);
                if let Outcome::Throttled { retry_after: Some(wait) } = outcome
                    && self.limiter.state.retry_after.binds_all(*wait)
                {
                    self.gate = self.gate.max(self.now + (*wait).min(LONGEST_RETRY_AFTER));
                }
            }
            Event::Forget(which) if !self.in_flight.is_empty() => {
                let permit = self.in_flight.swap_remove(which % self.in_flight.len());
                self.limiter.on_discarded(self.now, permit);
                self.twin.on_discarded(self.now, permit);
            }
            Event::More(requests) => {
                self.limiter.on_extra_requests(self.now, *requests);
                self.twin.on_extra_requests(self.now, *requests);
                (0..*requests).for_each(|_| self.count_request());
            }
            Event::Restore => {
                let saved = self.twin.state();
                let text = serde_json::to_string(&saved).unwrap();
                prop_assert!(text.len() < 4_096, "{}", text.len());
                let read: LimiterState = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&read, &saved);
                self.twin = Limiter::restore(self.config.clone(), read);
            }
            Event::End(..) | Event::Forget(_) => {}
        }
        let snapshot = self.limiter.snapshot(self.now);
        prop_assert_eq!(snapshot, self.twin.snapshot(self.now));
        let open = matches!(snapshot.breaker, crate::control::admission::BreakerStatus::Open { .. });
        prop_assert!(open || (1..=self.config.max_in_flight).contains(&snapshot.limit), "{:?}", snapshot);
        Ok(())
    }

    fn start(&mut self, most: u8) -> Result<(), TestCaseError> {
        for _ in 0..most {
            let in_flight = u32::try_from(self.in_flight.len()).unwrap();
            let admission = self.limiter.admit(self.now, in_flight);
            prop_assert_eq!(admission, self.twin.admit(self.now, in_flight), "a restored limiter decides the same");
            match admission {
                Admission::Now => {}
                Admission::At(at) => {
                    prop_assert!(at > self.now);
                    return Ok(());
                }
                Admission::AfterCompletion => {
                    prop_assert!(in_flight > 0, "nothing is in flight: nothing will ever complete");
                    return Ok(());
                }
            }
            prop_assert!(in_flight < self.config.max_in_flight);
            prop_assert!(self.now >= self.gate, "started before a Retry-After");
            prop_assert!(self.now >= self.free, "started before the manifest's rate allows");
            self.count_request();
            let permit = self.limiter.on_started(self.now);
            prop_assert_eq!(permit, self.twin.on_started(self.now));
            prop_assert_eq!(permit, Permit { started: self.now, in_flight: in_flight + 1 });
            self.in_flight.push(permit);
        }
        Ok(())
    }

    fn count_request(&mut self) {
        if let Some(rate) = self.config.requests_per_second {
            self.free = self.free.max(self.now) + Duration::from_secs_f64(1.0 / rate);
        }
    }

    /// The API lives: all that is out ends, and within the gate's time and some minutes work is done again.
    fn comes_back_to_life(mut self) -> Result<(), TestCaseError> {
        for permit in std::mem::take(&mut self.in_flight) {
            self.limiter.on_completed(self.now, permit, Outcome::TimedOut);
        }
        let enough = self.config.requests_per_second.map_or(200, |rate| (rate * 600.0).min(200.0) as u32);
        let mut work = Work::new(self.limiter, self.now.max(self.gate));
        for _ in 0..60 {
            work.go_on(Duration::from_secs(20), |_, _, random| (random.about(100.0), Outcome::Ok));
            if work.good >= enough {
                return Ok(());
            }
        }
        prop_assert!(false, "{} good in 20 min: {:?}", work.good, work.limiter);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_a_restored_limiter_decides_the_same_and_life_returns(
        max_in_flight in prop_oneof![1_u32..6, 6_u32..120],
        requests_per_second in proptest::option::weighted(0.3, 0.5_f64..200.0),
        events in events(),
    ) {
        let mut watched = Watched::new(LimiterConfig { max_in_flight, requests_per_second });
        for (pause_ms, event) in &events {
            watched.happen(*pause_ms, event)?;
        }
        watched.comes_back_to_life()?;
    }
}
