//! Each state is reached, and each kind of API is found out, at work.

use super::super::*;
use super::api::{Random, Work, api_with_cap, api_with_knee};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A limiter with a cap of 64, at work since an epoch that is long ago, as in production.
fn work() -> Work {
    let config = LimiterConfig { max_in_flight: 64, requests_per_second: None };
    Work::new(Limiter::new(config), seconds(1_800_000_000))
}

fn api_that_fails_after(after: u64) -> impl FnMut(Duration, u32, &mut Random) -> (Duration, Outcome) {
    move |_, _, _| (Duration::from_millis(after), if after < 10_000 { Outcome::Failed } else { Outcome::TimedOut })
}

#[test]
fn every_state_is_reached() {
    let mut work = work();
    work.go_on(seconds(300), api_with_cap(40));
    work.go_on(seconds(300), api_with_knee(10));
    work.go_on(seconds(60), |_, _, random| {
        let failed = random.unit() < 0.25;
        (random.about(200.0), if failed { Outcome::Failed } else { Outcome::Ok })
    });
    work.go_on(seconds(60), api_that_fails_after(50));
    work.go_on(seconds(60), api_with_cap(40));
    let all = ["confirm", "down", "half-open", "hold", "open", "ramp", "relief", "start", "up"];
    assert_eq!(work.phases.iter().copied().collect::<Vec<_>>(), all);
}

#[test]
fn a_hidden_cap_is_found_and_kept_to_with_few_429s() {
    let mut work = work();
    let rate = work.rate(seconds(600), api_with_cap(20));
    // Twenty at a time, of 216 ms in the mean.
    assert!(rate > 0.95 * 20.0 / 0.216, "{rate}");
    assert!(f64::from(work.throttled) < 0.003 * f64::from(work.good), "{} of {}", work.throttled, work.good);
}

#[test]
fn a_cap_that_drops_is_felt_at_once_and_found_again_when_it_rises() {
    let mut work = work();
    work.go_on(seconds(120), api_with_cap(40));
    work.go_on(seconds(2), api_with_cap(10));
    assert!(work.limiter.snapshot(work.now).limit <= 12, "{:?}", work.limiter.snapshot(work.now));
    work.go_on(seconds(120), api_with_cap(10));
    work.go_on(seconds(45), api_with_cap(40));
    assert!(work.limiter.snapshot(work.now).limit >= 32, "{:?}", work.limiter.snapshot(work.now));
}

#[test]
fn a_capacity_that_drops_is_felt_by_latency_alone() {
    let mut work = work();
    work.go_on(seconds(120), api_with_knee(40));
    work.go_on(seconds(40), api_with_knee(10));
    assert!(work.limiter.snapshot(work.now).limit <= 20, "{:?}", work.limiter.snapshot(work.now));
    work.go_on(seconds(120), api_with_knee(10));
    work.go_on(seconds(45), api_with_knee(40));
    assert!(work.limiter.snapshot(work.now).limit >= 28, "{:?}", work.limiter.snapshot(work.now));
}

#[test]
fn an_outage_costs_few_requests_and_is_over_soon() {
    for after in [100, 30_000] {
        let mut work = work();
        work.go_on(seconds(120), api_with_cap(15));
        let before = work.started;
        work.go_on(seconds(600), api_that_fails_after(after));
        assert!(work.started - before <= 60, "{} requests into an outage", work.started - before);
        work.go_on(seconds(60), api_with_cap(15));
        assert!(work.rate(seconds(30), api_with_cap(15)) > 0.9 * 15.0 / 0.216);
    }
}

#[test]
fn a_black_hole_stops_it_before_the_first_timeout() {
    let mut work = work();
    work.go_on(seconds(120), api_with_cap(40));
    let before = work.started;
    work.go_on(seconds(20), |_, _, _| (seconds(30), Outcome::TimedOut));
    assert!(work.started - before <= 42);
    assert!(matches!(work.limiter.admit(work.now, 20), Admission::At(_)));
}

#[test]
fn a_bucket_with_retry_after_is_paced() {
    let mut work = work();
    let (mut tokens, mut filled) = (20.0_f64, work.now);
    let mut bucket = |now: Duration, _: u32, random: &mut Random| {
        tokens = (tokens + 20.0 * (now - filled).as_secs_f64()).min(20.0);
        filled = now;
        if tokens < 1.0 {
            return (Duration::from_millis(10), Outcome::Throttled { retry_after: Some(seconds(1)) });
        }
        tokens -= 1.0;
        (random.about(200.0), Outcome::Ok)
    };
    work.go_on(seconds(120), &mut bucket);
    let before = work.throttled;
    assert!(work.rate(seconds(600), &mut bucket) > 0.95 * 20.0);
    assert!(work.throttled - before < 30, "{}", work.throttled - before);
}

#[test]
fn failures_lead_to_a_test_of_fewer_at_any_rate() {
    for latency_ms in [30.0, 300.0] {
        let mut work = work();
        work.go_on(seconds(120), api_with_cap(30));
        work.phases.clear();
        // From now on more than twelve at a time are too many, and the API says so by failing, the more the worse.
        work.go_on(seconds(120), |_, in_flight, random| {
            let failed = random.unit() < 0.0011 * f64::from(in_flight.saturating_sub(12)).powi(2);
            (random.about(latency_ms), if failed { Outcome::Failed } else { Outcome::Ok })
        });
        assert!(work.phases.contains("relief"), "{latency_ms} ms: {:?}", work.phases);
    }
}

#[test]
fn stray_failures_change_nothing() {
    let mut work = work();
    let mut cap = api_with_cap(20);
    let rate = work.rate(seconds(600), move |now, in_flight, random| {
        let (after, outcome) = cap(now, in_flight, random);
        (after, if outcome == Outcome::Ok && random.unit() < 0.03 { Outcome::Failed } else { outcome })
    });
    assert!(rate > 0.95 * 0.97 * 20.0 / 0.216, "{rate}");
}

#[test]
fn invocations_of_four_items_each_do_as_well_as_one_long_run() {
    let config = LimiterConfig { max_in_flight: 64, requests_per_second: None };
    let mut work = work();
    for _ in 0..2_000 {
        let text = serde_json::to_string(&work.limiter.state()).unwrap();
        assert!(text.len() < 4_096, "{}: {text}", text.len());
        work.limiter = Limiter::restore(config.clone(), serde_json::from_str(&text).unwrap());
        work.go_on(Duration::from_millis(100), api_with_cap(20));
    }
    assert!(f64::from(work.good) / 200.0 > 0.9 * 20.0 / 0.216, "{}", work.good);
}
