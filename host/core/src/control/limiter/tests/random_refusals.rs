//! Refusals that come at random beside those of a rate limit.

use super::api::{Answer, Random, Work};
use super::*;

/// An API that refuses a share of all fetches at random.
fn random(share: f64, wait_s: u64) -> impl FnMut(Duration, u32, &mut Random) -> Answer {
    move |_, _, random| {
        if random.unit() < share {
            (at(20), Outcome::Throttled { retry_after: Some(Duration::from_secs(wait_s)) })
        } else {
            (random.about(200.0), Outcome::Ok)
        }
    }
}

/// A token bucket of so many a second, twice as many at first.
fn bucket(per_second: f64) -> impl FnMut(Duration, u32, &mut Random) -> Answer {
    let (mut tokens, mut then) = (2.0 * per_second, None);
    move |now, _, random| {
        let since = now.saturating_sub(then.replace(now).unwrap_or(now));
        tokens = (tokens + since.as_secs_f64() * per_second).min(2.0 * per_second);
        if tokens < 1.0 {
            return (at(20), Outcome::Throttled { retry_after: Some(Duration::from_secs(1)) });
        }
        tokens -= 1.0;
        (random.about(200.0), Outcome::Ok)
    }
}

#[test]
fn refusals_at_random_teach_no_rate() {
    for (share, wait_s) in [(0.005, 1), (0.02, 2), (0.05, 2)] {
        let mut work = Work::new(limiter(16), at(0));
        work.go_on(Duration::from_secs(180), random(share, wait_s));
        let rate = work.rate(Duration::from_secs(600), random(share, wait_s));
        assert!(rate > 50.0, "{share} refused: {rate} a second of 74: {:?}", work.limiter);
    }
}

#[test]
fn a_rate_limit_that_comes_after_refusals_at_random_is_learned() {
    let mut work = Work::new(limiter(16), at(0));
    work.go_on(Duration::from_secs(300), random(0.02, 2));
    assert!(work.limiter.snapshot(work.now).rate.is_none_or(|rate| rate > 30.0));
    work.go_on(Duration::from_secs(120), bucket(10.0));
    let refused = work.throttled;
    let rate = work.rate(Duration::from_secs(600), bucket(10.0));
    assert!(rate > 8.0, "{rate} a second of 10");
    assert!(work.throttled - refused < 120, "{} refused of 6,000", work.throttled - refused);
}

#[test]
fn refusals_at_random_that_begin_below_a_rate_limit_do_not_lower_the_rate() {
    let mut work = Work::new(limiter(16), at(0));
    work.go_on(Duration::from_secs(300), bucket(20.0));
    let (mut limited, mut whims) = (bucket(20.0), random(0.02, 1));
    let rate = work.rate(Duration::from_secs(900), move |now, in_flight, random| match whims(now, in_flight, random) {
        (after, Outcome::Ok) => {
            let (least, outcome) = limited(now, in_flight, random);
            (if outcome == Outcome::Ok { after } else { least }, outcome)
        }
        refused => refused,
    });
    assert!(rate > 8.0, "{rate} a second of 20");
}
