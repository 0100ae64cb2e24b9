use super::*;
use crate::api::conditions::{Cap, Contention, Knee, Latency, Rate, Whims, Window, Workers};

const TIMEOUT: Duration = Duration::from_secs(10);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn constant(milliseconds: u64) -> Conditions {
    let latency = Latency { median: at(milliseconds), sigma: 0.0, shortest: at(0), longest: at(3_600_000) };
    Conditions { latency: Some(latency), ..Conditions::default() }
}

fn api(conditions: Conditions) -> Api {
    Api::new(Plan::new(conditions, &[]), 1)
}

fn ok_answer(milliseconds: u64) -> Answer {
    Answer { at: at(milliseconds), outcome: Outcome::Ok, unanswered: false }
}

fn throttled_answer(milliseconds: u64, retry_after: Option<Duration>) -> Answer {
    Answer { at: at(milliseconds), outcome: Outcome::Throttled { retry_after }, unanswered: false }
}

#[test]
fn a_cap_refuses_what_is_too_much_at_once() {
    let cap = Cap { limit: 2, retry_after: Some(at(5_000)), drops: false };
    let mut api = api(Conditions { concurrency: Some(cap), ..constant(100) });
    assert_eq!([api.call(at(0), TIMEOUT), api.call(at(0), TIMEOUT)], [ok_answer(100); 2]);
    assert_eq!(api.call(at(50), TIMEOUT), throttled_answer(70, Some(at(5_000))));
    assert_eq!(api.call(at(100), TIMEOUT), ok_answer(200), "one that ends makes room at once");
}

#[test]
fn a_call_that_timed_out_still_counts_at_the_api() {
    let cap = Cap { limit: 1, retry_after: None, drops: false };
    let mut api = api(Conditions { concurrency: Some(cap), ..constant(30_000) });
    let lost = api.call(at(0), TIMEOUT);
    assert_eq!(lost, Answer { at: at(10_000), outcome: Outcome::TimedOut, unanswered: true });
    assert_eq!(api.call(at(29_000), TIMEOUT).outcome, Outcome::Throttled { retry_after: None });
    assert_eq!((api.active_calls(at(29_000)), api.active_calls(at(30_000))), (1, 0));
}

#[test]
fn a_bucket_lets_a_burst_pass_and_then_its_rate() {
    let rate = Rate { per_second: 2.0, burst: 3.0, retry_after: true };
    let mut api = api(Conditions { rate: Some(rate), ..constant(100) });
    assert!((0..3).all(|_| api.call(at(0), TIMEOUT) == ok_answer(100)));
    assert_eq!(api.call(at(0), TIMEOUT), throttled_answer(20, Some(at(1_000))), "half a second, said in whole ones");
    assert_eq!(api.call(at(500), TIMEOUT), ok_answer(600));
    assert_eq!(api.call(at(999), TIMEOUT).at, at(1_019));
}

#[test]
fn a_window_names_its_end_and_the_next_one_begins_anew() {
    let window = Window { calls: 2, every: Duration::from_secs(60) };
    let mut api = api(Conditions { window: Some(window), ..constant(100) });
    let mut refused = |at| match api.call(Duration::from_secs(at), Duration::from_secs(30)).outcome {
        Outcome::Throttled { retry_after } => retry_after,
        _ => None,
    };
    assert_eq!([0, 20].map(&mut refused), [None, None]);
    assert_eq!(refused(50), Some(Duration::from_secs(10)));
    assert_eq!([60, 190, 191].map(&mut refused), [None; 3]);
    assert_eq!(refused(192), Some(Duration::from_secs(48)));
}

#[test]
fn whims_refuse_their_share_whatever_was_sent() {
    let whims = Whims { share: 0.05, retry_after: Some(Duration::from_secs(2)) };
    for apart in [1, 100_000] {
        let mut api = api(Conditions { whims: Some(whims), ..constant(10) });
        let refused = (0..10_000).filter(|number| {
            let outcome = api.call(Duration::from_millis(number * apart), Duration::from_secs(30)).outcome;
            outcome == Outcome::Throttled { retry_after: whims.retry_after }
        });
        assert!((400..600).contains(&refused.count()));
    }
}

#[test]
fn workers_take_calls_in_order() {
    let mut api = api(Conditions { workers: Some(Workers { count: 2 }), ..constant(100) });
    let ends: Vec<_> = (0..5).map(|_| api.call(at(0), TIMEOUT).at).collect();
    assert_eq!(ends, [at(100), at(100), at(200), at(200), at(300)]);
    assert_eq!(api.active_calls(at(150)), 3);
}

#[test]
fn workers_are_hired_and_dismissed() {
    let change = |count| Conditions { workers: Some(Workers { count }), ..Conditions::default() };
    let first = Conditions { workers: Some(Workers { count: 4 }), ..constant(100) };
    let plan = Plan::new(first, &[(at(1_000), change(1)), (at(2_000), change(2))]);
    let mut api = Api::new(plan, 1);
    let ends = |api: &mut Api, now| [api.call(now, TIMEOUT).at, api.call(now, TIMEOUT).at];
    assert_eq!(ends(&mut api, at(0)), [at(100), at(100)]);
    assert_eq!(ends(&mut api, at(1_000)), [at(1_100), at(1_200)]);
    assert_eq!(ends(&mut api, at(2_000)), [at(2_100), at(2_100)]);
}

#[test]
fn beyond_the_knee_goodput_falls() {
    let conditions = Conditions { knee: Some(Knee { at: 10.0, power: 2.0 }), ..constant(100) };
    assert_eq!([1, 10, 20, 40].map(|calls| conditions.stretch(calls)), [1.0, 1.0, 4.0, 16.0]);
    assert_eq!(conditions.best_in_flight(), Some(10.0));
}

#[test]
fn contention_is_gunthers_law() {
    let conditions = Conditions { contention: Some(Contention { sigma: 0.02, kappa: 0.0005 }), ..constant(100) };
    let best = conditions.best_in_flight().unwrap();
    assert!((best - 44.27).abs() < 0.01, "{best}");
    let goodput = |calls: u32| f64::from(calls) / conditions.stretch(calls);
    assert!(goodput(44) > goodput(40) && goodput(44) > goodput(49));
}

#[test]
fn an_outage_takes_what_is_in_flight_with_it() {
    let down = |outage| Conditions { outage: Some(outage), ..Conditions::default() };
    for (outage, before, during) in [
        (Outage::Errors, (at(5_000), Outcome::Failed), (at(6_020), Outcome::Failed)),
        (Outage::BlackHole, (at(14_900), Outcome::TimedOut), (at(16_000), Outcome::TimedOut)),
    ] {
        let plan = Plan::new(constant(200), &[(at(5_000), down(outage)), (at(7_000), down(Outage::None))]);
        let mut api = Api::new(plan, 1);
        let mut call = |now| {
            let answer = api.call(now, TIMEOUT);
            (answer.at, answer.outcome)
        };
        assert_eq!(call(at(4_700)), (at(4_900), Outcome::Ok));
        assert_eq!(call(at(4_900)), before);
        assert_eq!(call(at(6_000)), during);
        assert_eq!(call(at(7_000)), (at(7_200), Outcome::Ok));
    }
}

#[test]
fn errors_come_at_their_rate_and_latencies_around_their_median() {
    let latency = Latency { median: at(400), sigma: 1.8, shortest: at(5), longest: at(70_000) };
    let mut api = api(Conditions { latency: Some(latency), error_rate: Some(0.03), ..Conditions::default() });
    let answers: Vec<_> = (0..20_000).map(|_| api.call(at(0), Duration::from_secs(90))).collect();
    let failed = answers.iter().filter(|answer| answer.outcome == Outcome::Failed).count();
    assert!((500..700).contains(&failed), "{failed}");
    let fast = answers.iter().filter(|answer| answer.at < at(400)).count();
    assert!((9_700..10_300).contains(&fast), "{fast}");
    assert!(answers.iter().all(|answer| (at(5)..=at(70_000)).contains(&answer.at)));
    assert!(answers.iter().any(|answer| answer.at > at(30_000)));
}

#[test]
fn changes_keep_what_they_do_not_name() {
    let slow = Conditions { slowdown: Some(3.0), error_rate: Some(0.2), ..Conditions::default() };
    let plan = Plan::new(constant(100), &[(at(1_000), slow)]);
    assert_eq!(plan.at(at(999)).stretch(1), 1.0);
    assert_eq!(plan.at(at(1_000)).latency().median, at(100));
    assert_eq!(plan.at(at(1_000)).stretch(1), 3.0);
}
