//! Tests of the limiter as a whole; its parts have their own tests.

mod api;
mod properties;
mod random_refusals;
mod saved;
mod states;

use super::*;

const fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn limiter(max_in_flight: u32) -> Limiter {
    Limiter::new(LimiterConfig { max_in_flight, requests_per_second: None })
}

/// Eight fetches start at `now` and fail 10 ms later.
fn outage(limiter: &mut Limiter, now: Duration) {
    let permits: Vec<Permit> = (0..8).map(|_| limiter.on_started(now)).collect();
    permits.into_iter().for_each(|permit| limiter.on_completed(now + at(10), permit, Outcome::Failed));
}

#[test]
fn never_more_than_the_cap() {
    for cap in [1, 2, 7] {
        let mut limiter = limiter(cap);
        assert_eq!(limiter.admit(at(0), cap), Admission::AfterCompletion);
        assert_eq!(limiter.admit(at(0), cap + 9), Admission::AfterCompletion);
        assert_eq!(limiter.admit(at(0), 0), Admission::Now);
    }
    assert!(matches!(limiter(0).admit(at(0), 0), Admission::At(_)));
}

#[test]
fn a_permit_counts_itself() {
    let mut limiter = limiter(40);
    assert_eq!(limiter.admit(at(5), 3), Admission::Now);
    assert_eq!(limiter.on_started(at(5)), Permit { started: at(5), in_flight: 4 });
}

#[test]
fn nothing_starts_before_retry_after_and_then_starts_are_paced() {
    let mut limiter = limiter(40);
    for number in 0..100 {
        let permit = limiter.on_started(at(number * 100));
        limiter.on_completed(at(number * 100 + 50), permit, Outcome::Ok);
    }
    let permits = [at(10_000), at(10_005)].map(|now| limiter.on_started(now));
    for permit in permits {
        limiter.on_completed(at(10_010), permit, Outcome::Throttled { retry_after: Some(at(5_000)) });
    }
    assert_eq!(limiter.admit(at(10_010), 0), Admission::At(at(15_010)));
    assert_eq!(limiter.snapshot(at(10_010)).gate, Some(at(15_010)));
    assert_eq!(limiter.admit(at(15_010), 0), Admission::Now);
    limiter.on_started(at(15_010));
    let Admission::At(next) = limiter.admit(at(15_010), 1) else { panic!("not paced") };
    assert!(next > at(15_110) && next < at(15_125), "ten a second were observed, nine are kept: {next:?}");
}

#[test]
fn a_gate_closes_whatever_the_breaker_says() {
    let mut limiter = limiter(40);
    let late = limiter.on_started(at(0));
    outage(&mut limiter, at(0));
    limiter.on_completed(at(500), late, Outcome::Throttled { retry_after: Some(at(9_000)) });
    assert_eq!(limiter.admit(at(500), 0), Admission::At(at(1_010)), "the breaker's pause comes first");
    assert_eq!(limiter.admit(at(1_010), 0), Admission::At(at(9_500)));
    assert_eq!(limiter.admit(at(9_500), 0), Admission::Now);
}

#[test]
fn an_outage_opens_the_breaker_and_three_good_probes_start_anew_at_half_of_what_is_held() {
    let mut limiter = limiter(160);
    outage(&mut limiter, at(0));
    assert_eq!((limiter.snapshot(at(10)).limit, limiter.snapshot(at(10)).phase), (0, "open"));
    assert_eq!(limiter.admit(at(10), 0), Admission::At(at(1_010)));
    for probe in 0..3 {
        let now = at(1_010 + probe * 100);
        assert_eq!(limiter.admit(now, 0), Admission::Now);
        assert_eq!((limiter.snapshot(now).limit, limiter.snapshot(now).phase), (1, "half-open"));
        let permit = limiter.on_started(now);
        assert_eq!(limiter.admit(now, 1), Admission::AfterCompletion);
        limiter.on_completed(now + at(50), permit, Outcome::Ok);
    }
    let snapshot = limiter.snapshot(at(1_260));
    assert_eq!((snapshot.limit, snapshot.phase), (2, "start"), "half of 0.7 x 8");
}

#[test]
fn a_probe_that_is_throttled_has_failed() {
    for retry_after in [None, Some(at(60_000))] {
        let mut limiter = limiter(40);
        outage(&mut limiter, at(0));
        assert_eq!(limiter.admit(at(1_010), 0), Admission::Now);
        let permit = limiter.on_started(at(1_010));
        limiter.on_completed(at(1_060), permit, Outcome::Throttled { retry_after });
        assert_eq!(limiter.admit(at(1_060), 0), Admission::At(at(3_060)));
        let next = if retry_after.is_some() { Admission::At(at(61_060)) } else { Admission::Now };
        assert_eq!(limiter.admit(at(3_060), 0), next);
    }
}

#[test]
fn a_forgotten_probe_leaks_nothing() {
    let mut limiter = limiter(40);
    outage(&mut limiter, at(0));
    assert_eq!(limiter.admit(at(2_000), 3), Admission::Now);
    let permit = limiter.on_started(at(2_000));
    assert_eq!(limiter.admit(at(2_000), 4), Admission::AfterCompletion);
    limiter.on_discarded(at(2_001), permit);
    assert_eq!(limiter.admit(at(2_001), 3), Admission::Now);
}

#[test]
fn the_manifests_rate_holds_always_and_counts_every_request() {
    let mut limiter = Limiter::new(LimiterConfig { max_in_flight: 40, requests_per_second: Some(2.0) });
    assert_eq!(limiter.admit(at(0), 0), Admission::Now);
    let permit = limiter.on_started(at(0));
    assert!(matches!(limiter.admit(at(499), 0), Admission::At(_)));
    limiter.on_extra_requests(at(100), 3);
    limiter.on_completed(at(200), permit, Outcome::Throttled { retry_after: Some(at(100)) });
    assert!(matches!(limiter.admit(at(1_999), 0), Admission::At(_)), "four requests take two seconds");
    assert_eq!(limiter.admit(at(2_001), 0), Admission::Now);
    assert!(limiter.snapshot(at(2_001)).rate.is_some_and(|rate| rate <= 2.0));
    outage(&mut limiter, at(3_000));
    limiter.admit(at(9_000), 0);
    limiter.on_started(at(9_000));
    assert!(matches!(limiter.admit(at(9_100), 0), Admission::At(_)), "half-open as well");
}

#[test]
fn a_snapshot_is_short_and_what_is_missing_in_it_is_as_new() {
    let config = LimiterConfig { max_in_flight: 40, requests_per_second: Some(9.0) };
    let empty: LimiterState = serde_json::from_str("{}").unwrap();
    assert_eq!(Limiter::restore(config.clone(), empty).snapshot(at(0)), Limiter::new(config.clone()).snapshot(at(0)));
    let some: LimiterState = serde_json::from_str(r#"{"level":{"limit":17.5,"phase":"hold"},"news":1}"#).unwrap();
    let snapshot = Limiter::restore(config, some).snapshot(at(0));
    assert_eq!((snapshot.limit, snapshot.phase), (17, "hold"));
}

#[test]
fn a_snapshot_survives_a_smaller_cap() {
    let mut limiter = limiter(160);
    for number in 0..2_000_u64 {
        let now = at(number * 20);
        if limiter.admit(now, 7) == Admission::Now {
            let permit = limiter.on_started(now);
            limiter.on_completed(now + at(20), permit, Outcome::Ok);
        }
    }
    let config = LimiterConfig { max_in_flight: 3, requests_per_second: None };
    let mut restored = Limiter::restore(config, limiter.state());
    assert_eq!(restored.snapshot(at(60_000)).limit, 3);
    assert_eq!(restored.admit(at(60_000), 3), Admission::AfterCompletion);
}
