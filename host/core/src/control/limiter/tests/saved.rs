//! States that were saved by other processes, under other clocks, or damaged: whatever they are, fetches start again.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
/// The longest that a state may keep everything from starting: a Retry-After of a day, and a slot of the lowest learned
/// rate.
const LONGEST: Duration = Duration::from_secs(24 * 3600 + 21);

/// A limiter's history: milliseconds, and a fetch that starts or how the oldest in flight ends.
fn history() -> impl Strategy<Value = Vec<(u64, Option<Outcome>)>> {
    let retry_after = prop_oneof![Just(None), (0_u64..90_000).prop_map(|wait| Some(Duration::from_secs(wait)))];
    let outcome = prop_oneof![
        6 => Just(Outcome::Ok),
        1 => retry_after.prop_map(|retry_after| Outcome::Throttled { retry_after }),
        1 => Just(Outcome::Failed),
        1 => Just(Outcome::TimedOut),
    ];
    let event = prop_oneof![1 => Just(None), 1 => outcome.prop_map(Some)];
    vec((prop_oneof![8 => 0_u64..400, 1 => 0_u64..100_000], event), 0..300)
}

/// Lets a limiter go through a history from `now` on. Says when it ends.
fn live(limiter: &mut Limiter, mut now: Duration, history: &[(u64, Option<Outcome>)]) -> Duration {
    let mut in_flight = Vec::new();
    for (pause_ms, event) in history {
        now += Duration::from_millis(*pause_ms);
        match event {
            None => {
                if limiter.admit(now, u32::try_from(in_flight.len()).unwrap()) == Admission::Now {
                    in_flight.push(limiter.on_started(now));
                }
            }
            Some(outcome) => {
                if !in_flight.is_empty() {
                    limiter.on_completed(now, in_flight.remove(0), *outcome);
                }
            }
        }
    }
    now
}

/// How long nothing may start, with nothing in flight.
fn waits(limiter: &mut Limiter, now: Duration) -> Result<Duration, TestCaseError> {
    let mut at = now;
    for _ in 0..20 {
        match limiter.admit(at, 0) {
            Admission::Now => return Ok(at - now),
            Admission::At(later) => {
                prop_assert!(later > at);
                at = later;
            }
            Admission::AfterCompletion => prop_assert!(false, "nothing will ever complete: {limiter:?}"),
        }
        prop_assert!(at - now <= LONGEST, "{:?}: {limiter:?}", at - now);
    }
    prop_assert!(false, "asked for ever: {limiter:?}");
    Ok(LONGEST)
}

/// Puts values in the place of some that are no objects and no arrays.
fn damage(value: &mut Value, place: &mut usize, damages: &[(usize, Value)]) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| damage(value, place, damages)),
        Value::Array(values) => values.iter_mut().for_each(|value| damage(value, place, damages)),
        leaf => {
            if let Some((_, other)) = damages.iter().find(|(at, _)| at == place) {
                *leaf = other.clone();
            }
            *place += 1;
        }
    }
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        (0_u32..9).prop_map(Value::from),
        prop_oneof![Just(u64::from(u32::MAX)), Just(u64::MAX), Just(999_999_999)].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE)].prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ]
}

fn config(requests_per_second: Option<f64>) -> LimiterConfig {
    LimiterConfig { max_in_flight: 40, requests_per_second }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_state_of_any_time_lets_a_fetch_start_within_a_day(
        rate in prop::option::of(0.5_f64..200.0),
        history in history(),
        saver_now_s in prop_oneof![Just(0), 1_700_000_000_u64..1_900_000_000, any::<u64>()],
        now_s in prop_oneof![Just(0), 1_700_000_000_u64..1_900_000_000],
    ) {
        let mut limiter = Limiter::new(config(rate));
        live(&mut limiter, NOW, &history);
        let now = Duration::from_secs(now_s);
        let rebase = Rebase::new(now, Duration::from_secs(saver_now_s));
        let saved = limiter.save().unwrap();
        let mut other = Limiter::new(config(rate));
        prop_assert!(ConcurrencyLimiter::load(&mut other, &saved, &rebase));
        waits(&mut other, now)?;
    }

    #[test]
    fn a_damaged_state_lets_a_fetch_start_within_a_day(
        rate in prop::option::of(0.5_f64..200.0),
        before in history(),
        after in history(),
        damages in vec((0_usize..150, leaf()), 1..12),
        shift_s in -100_000_i64..100_000,
    ) {
        let mut limiter = Limiter::new(config(rate));
        live(&mut limiter, NOW, &before);
        let mut saved = limiter.save().unwrap();
        damage(&mut saved, &mut 0, &damages);
        let rebase = Rebase::new(NOW, Duration::from_secs(NOW.as_secs().saturating_add_signed(shift_s)));
        // A state that cannot be read changes nothing.
        let mut other = Limiter::new(config(rate));
        let _ = ConcurrencyLimiter::load(&mut other, &saved, &rebase);
        waits(&mut other.clone(), NOW)?;
        let now = live(&mut other, NOW, &after);
        waits(&mut other, now)?;
    }

    #[test]
    fn a_state_that_is_moved_to_another_time_decides_the_same(
        rate in prop::option::of(0.5_f64..200.0),
        before in history(),
        after in history(),
        shift_s in 0_u64..1_000_000_000,
    ) {
        let mut limiter = Limiter::new(config(rate));
        let now = live(&mut limiter, NOW, &before);
        let shift = Duration::from_secs(shift_s);
        let mut other = Limiter::new(config(rate));
        prop_assert!(ConcurrencyLimiter::load(&mut other, &limiter.save().unwrap(), &Rebase::new(now + shift, now)));
        let end = live(&mut limiter, now, &after);
        prop_assert_eq!(live(&mut other, now + shift, &after), end + shift);
        let LimiterSnapshot { limit, rate, phase, .. } = limiter.snapshot(end);
        let moved = other.snapshot(end + shift);
        prop_assert_eq!((moved.limit, moved.rate, moved.phase), (limit, rate, phase));
        prop_assert_eq!(waits(&mut other, end + shift)?, waits(&mut limiter, end)?);
    }
}
