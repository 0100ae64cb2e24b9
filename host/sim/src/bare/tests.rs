use super::*;
use crate::algorithm::Algorithm;
use crate::api::Conditions;
use crate::api::conditions::{Cap, Latency, Workers};
use crate::record::Totals;

fn setting(conditions: Conditions, seconds: u64) -> Setting {
    let latency = Latency {
        median: Duration::from_millis(200),
        sigma: 0.3,
        shortest: Duration::ZERO,
        longest: Duration::from_secs(30),
    };
    let conditions = Conditions { latency: conditions.latency.or(Some(latency)), ..conditions };
    Setting {
        plan: Plan::new(conditions, &[]),
        duration: Duration::from_secs(seconds),
        max_in_flight: 50,
        timeout: Duration::from_secs(10),
        work: Work::ENDLESS,
        seed: 1,
    }
}

fn with_cap(limit: u32) -> Conditions {
    Conditions { concurrency: Some(Cap { limit, retry_after: None, drops: false }), ..Conditions::default() }
}

fn run_algorithm(algorithm: Algorithm, setting: &Setting, clients: u32) -> Record {
    run(setting, algorithm.limiters(setting, clients))
}

#[test]
fn the_oracle_fills_a_cap_and_is_never_refused() {
    let record = run_algorithm(Algorithm::Oracle, &setting(with_cap(10), 600), 1);
    let totals = record.totals();
    assert_eq!((totals.throttled, record.above_cap, record.stuck), (0, 0, 0));
    // Ten at a time, 0.2 s * exp(0.3^2 / 2) each.
    let expected = 10.0 / 0.2092;
    assert!((record.goodput() / expected - 1.0).abs() < 0.02, "{}", record.goodput());
    assert!(record.seconds.iter().all(|second| (second.in_flight - 10.0).abs() < 1e-6));
}

#[test]
fn what_is_sent_is_answered_or_in_flight() {
    let setting = setting(Conditions { error_rate: Some(0.05), ..with_cap(10) }, 300);
    for algorithm in Algorithm::COMPARED {
        let record = run_algorithm(algorithm, &setting, 1);
        let Totals { sent, ok, throttled, failed, timed_out } = record.totals();
        let left = sent - ok - throttled - failed - timed_out;
        assert!(left <= 50, "{algorithm}: {left} of {sent}");
        assert!(ok > 0, "{algorithm}");
    }
}

#[test]
fn the_same_seed_gives_the_same_record_and_another_another() {
    let mut setting = setting(Conditions { error_rate: Some(0.05), ..with_cap(10) }, 120);
    for algorithm in Algorithm::COMPARED {
        assert_eq!(run_algorithm(algorithm, &setting, 2), run_algorithm(algorithm, &setting, 2), "{algorithm}");
    }
    let one = run_algorithm(Algorithm::Aimd, &setting, 1);
    setting.seed = 2;
    assert_ne!(one, run_algorithm(Algorithm::Aimd, &setting, 1));
}

#[test]
fn a_finite_backlog_is_fetched_once() {
    let mut setting = setting(Conditions { error_rate: Some(0.2), ..with_cap(10) }, 600);
    setting.work = Work { backlog: Some(1_000), per_second: 0.0 };
    assert_eq!(run_algorithm(Algorithm::Aimd, &setting, 1).totals().ok, 1_000);
}

#[test]
fn what_arrives_is_all_there_is_to_do() {
    let mut setting = setting(with_cap(10), 600);
    setting.work = Work { backlog: None, per_second: 2.0 };
    let record = run_algorithm(Algorithm::Oracle, &setting, 1);
    assert!((1_195..=1_201).contains(&record.totals().ok), "{}", record.totals().ok);
}

#[test]
fn more_than_the_workers_in_flight_only_waits() {
    let setting = setting(Conditions { workers: Some(Workers { count: 8 }), ..Conditions::default() }, 600);
    let best = run_algorithm(Algorithm::Oracle, &setting, 1);
    let more = run_algorithm(Algorithm::Fixed(32), &setting, 1);
    assert!((more.goodput() / best.goodput() - 1.0).abs() < 0.02);
    assert!((more.mean_latency() / best.mean_latency() - 4.0).abs() < 0.1, "four wait for each worker");
}

#[test]
fn a_call_that_timed_out_keeps_its_permit_for_the_margin() {
    let slow = Latency {
        median: Duration::from_secs(60),
        sigma: 0.0,
        shortest: Duration::ZERO,
        longest: Duration::from_secs(60),
    };
    let setting = setting(Conditions { latency: Some(slow), ..Conditions::default() }, 22);
    let record = run_algorithm(Algorithm::Fixed(1), &setting, 1);
    assert_eq!(record.totals().sent, 3, "at 0, 11 and 22 seconds");
    assert_eq!(record.totals().timed_out, 2);
}

#[test]
fn an_invocation_ends_before_the_next_begins() {
    let setting = setting(with_cap(10), 60);
    let record = run_in_invocations(&setting, 4, false, &|| Algorithm::Fixed(8).limiter(&setting, 0, 1));
    assert!(record.seconds.iter().all(|second| second.in_flight <= 4.0));
    assert!(record.totals().ok > 400);
}

#[test]
fn a_limiter_that_is_restored_for_every_invocation_goes_on_as_if_nothing_had_happened() {
    let mut setting = setting(with_cap(3), 600);
    setting.max_in_flight = 10;
    let limiter = || Algorithm::Damper.limiter(&setting, 0, 1);
    let [kept, restored] = [false, true].map(|restored| run_in_invocations(&setting, 4, restored, &limiter).goodput());
    assert!((restored / kept - 1.0).abs() < 0.05, "{restored} and {kept}");
}

#[test]
fn two_clients_on_one_cap_come_to_equal_shares() {
    for seed in 1..=3 {
        let setting = Setting { seed, ..setting(with_cap(32), 1_200) };
        let record = run_algorithm(Algorithm::Damper, &setting, 2);
        assert!(record.fairness() > 0.99, "seed {seed}: {:?}", record.clients);
        assert!(record.throttled_per_thousand() < 6.0);
        let best = run_algorithm(Algorithm::Oracle, &setting, 2);
        assert!(record.goodput() > 0.93 * best.goodput(), "sharing costs little");
    }
}
