//! Behaviour when an API changes: the time to reduce the load, the time to recover, and fairness.

use std::time::Duration;

use super::inputs::Bench;
use super::spread::Spread;
use crate::algorithm::Algorithm;
use crate::api::conditions::{Cap, Latency};
use crate::api::{Conditions, Plan};
use crate::bare::{Setting, run_in_invocations};
use crate::compare::{alone, on_all_cores};
use crate::pipeline_run::PipelineRunError;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::simulate::recoveries;
use crate::table::Table;
use crate::units::number;
use crate::work::Work;

/// A figure of one run, beside the oracle's run.
type Figure = fn(&Scenario, &Record, &Record) -> f64;

/// The name, the bound, the scenario, the digits after the point, and the function that measures it.
const FIGURES: [(&str, &str, &str, usize, Figure); 9] = [
    ("capacity falls to a quarter, on 429: s to reduce", "2", "steps-429", 1, time_to_reduce),
    ("  by latency alone: s to reduce", "25", "steps-latency", 1, time_to_reduce),
    ("capacity returns, on 429: s to recover", "45", "steps-429", 1, time_to_recover),
    ("  by latency alone: s to recover", "45", "steps-latency", 1, time_to_recover),
    ("ten minutes of errors: requests into it", "60", "outage-errors", 1, calls_sent_into_outage),
    ("  s to recover", "30", "outage-errors", 1, time_to_recover),
    ("ten minutes of silence: requests into it", "60", "outage-black-hole", 1, calls_sent_into_outage),
    ("  s to recover", "30", "outage-black-hole", 1, time_to_recover),
    ("two clients on one cap: unfairness, 1 - Jain", ".01", "shared", 4, unfairness),
];

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let names = bench.algorithms.iter().map(ToString::to_string);
    let mut table = Table::new("mean (worst), the limiter alone", ["held to".to_owned()].into_iter().chain(names));
    for (name, held_to, scenario, digits, figure) in FIGURES {
        let Some(scenario) = bench.scenario(scenario) else { continue };
        let spreads = on_all_cores(&bench.algorithms, |algorithm| spread(bench, scenario, *algorithm, figure));
        let figures = spreads.iter().map(|spread| spread.larger_is_worse(digits));
        table.row(name, [held_to.to_owned()].into_iter().chain(figures));
    }
    let restored = invocations(bench);
    Ok(format!(
        "{table}\ninvocations of four items, each with a limiter restored: goodput as a share of one that is kept, \
         mean (worst); held to .95: {}\n",
        restored.smaller_is_worse(3)
    ))
}

fn spread(bench: &Bench, scenario: &Scenario, algorithm: Algorithm, figure: Figure) -> Spread {
    let mut spread = Spread::default();
    for seed in &bench.seeds {
        let oracle = alone(scenario, Algorithm::Oracle, *seed);
        spread.add(figure(scenario, &alone(scenario, algorithm, *seed), &oracle));
    }
    spread
}

fn time_to_reduce(scenario: &Scenario, record: &Record, _oracle: &Record) -> f64 {
    let whole = scenario.duration;
    record.drops.first().map_or(0.0, |drop| drop.reduced_after.unwrap_or(whole - drop.at).as_secs_f64())
}

/// As long as the phase lasts where it never is.
fn time_to_recover(scenario: &Scenario, record: &Record, oracle: &Record) -> f64 {
    let recovery = recoveries(scenario, record, oracle).first().copied();
    recovery.map_or(0.0, |it| number(it.after_s.unwrap_or(scenario.duration.as_secs() - it.at_s)))
}

fn calls_sent_into_outage(_scenario: &Scenario, record: &Record, _oracle: &Record) -> f64 {
    number(record.sent_into_outage)
}

fn unfairness(_scenario: &Scenario, record: &Record, _oracle: &Record) -> f64 {
    1.0 - record.fairness()
}

/// An API that bears three at once, whose items come four at a time.
fn invocations(bench: &Bench) -> Spread {
    let latency = Latency {
        median: Duration::from_millis(300),
        sigma: 0.4,
        shortest: Duration::ZERO,
        longest: Duration::from_secs(30),
    };
    let cap = Cap { limit: 3, retry_after: None, drops: false };
    let conditions = Conditions { latency: Some(latency), concurrency: Some(cap), ..Conditions::default() };
    let mut spread = Spread::default();
    for seed in &bench.seeds {
        let setting = Setting {
            plan: Plan::new(conditions, &[]),
            duration: Duration::from_secs(1_800),
            max_in_flight: 10,
            timeout: Duration::from_secs(30),
            work: Work::ENDLESS,
            seed: *seed,
        };
        let limiter = || Algorithm::Damper.limiter(&setting, 0, 1);
        let [kept, restored] =
            [false, true].map(|restored| run_in_invocations(&setting, 4, restored, &limiter).goodput());
        spread.add(restored / kept.max(f64::MIN_POSITIVE));
    }
    spread
}
