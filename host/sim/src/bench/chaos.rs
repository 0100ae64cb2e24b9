//! The cost of random refusals and failures: the whole pipeline fetches the same items with and without them.

use super::inputs::Bench;
use super::spread::Spread;
use crate::algorithm::Algorithm;
use crate::compare::on_all_cores;
use crate::pipeline_run::{self, PipelineRunError};
use crate::scenario::Scenario;
use crate::table::Table;
use crate::units::number;

/// An API as in `make demo`, and a backlog.
const CALM: &str = r#"
duration = "30m"
max_concurrency = IN_FLIGHT
fetch_timeout = "30s"
backlog = ITEMS
[mapping]
start_batch = BATCH
[api]
latency = { median = "150ms", sigma = 0.5 }
"#;

/// Chaos may take half as long again.
const MOST: f64 = 1.5;

/// A backlog, and what is random at the API.
#[derive(Debug, Clone, Copy)]
struct ChaosCase {
    name: &'static str,
    in_flight: u32,
    items: u32,
    /// Items in the first batches. The end of a batch waits for its last item, whose Retry-After may be seconds.
    batch: u32,
    random: &'static str,
    /// Whether it is within what is held to.
    is_held: bool,
}

const THREE_AND_TWO: &str = "error_rate = 0.03\nwhims = { share = 0.02, retry_after = \"2s\" }";

const CASES: [ChaosCase; 7] = [
    ChaosCase {
        name: "3% 503, 2% 429 with 2 s, 10,000 items",
        in_flight: 16,
        items: 10_000,
        batch: 10_000,
        random: THREE_AND_TWO,
        is_held: true,
    },
    ChaosCase {
        name: "  in batches of 500 at first",
        in_flight: 16,
        items: 10_000,
        batch: 500,
        random: THREE_AND_TWO,
        is_held: false,
    },
    ChaosCase {
        name: "  30,000 items in batches of 500 at first",
        in_flight: 16,
        items: 30_000,
        batch: 500,
        random: THREE_AND_TWO,
        is_held: true,
    },
    ChaosCase {
        name: "  2,000 items",
        in_flight: 16,
        items: 2_000,
        batch: 10_000,
        random: THREE_AND_TWO,
        is_held: false,
    },
    ChaosCase {
        name: "  1,500 items, 4 in flight",
        in_flight: 4,
        items: 1_500,
        batch: 10_000,
        random: THREE_AND_TWO,
        is_held: true,
    },
    ChaosCase {
        name: "0.5% 429 with 1 s, 10,000 items",
        in_flight: 16,
        items: 10_000,
        batch: 10_000,
        random: "whims = { share = 0.005, retry_after = \"1s\" }",
        is_held: true,
    },
    ChaosCase {
        name: "5% 429 with 2 s, 10,000 items",
        in_flight: 16,
        items: 10_000,
        batch: 10_000,
        random: "whims = { share = 0.05, retry_after = \"2s\" }",
        is_held: true,
    },
];

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let columns = ["held to", "times as long", "calm, s", "items given up"];
    let mut table = Table::new("mean (worst)", columns.map(str::to_owned));
    for case in CASES {
        let (mut times, mut calm_s, mut dead) = (Spread::default(), Spread::default(), 0);
        for run in on_all_cores(&bench.seeds, |seed| measure_slowdown(case, *seed)) {
            let Slowdown { calm, chaos, given_up } = run?;
            times.add(chaos / calm);
            calm_s.add(calm);
            dead += given_up;
        }
        let held_to = if case.is_held { MOST.to_string() } else { "-".to_owned() };
        table.row(case.name, [held_to, times.larger_is_worse(2), calm_s.larger_is_worse(1), dead.to_string()]);
    }
    Ok(table.to_string())
}

/// How long a backlog takes in seconds, without and with what is random.
#[derive(Debug, Clone, Copy)]
struct Slowdown {
    calm: f64,
    chaos: f64,
    given_up: u64,
}

fn measure_slowdown(case: ChaosCase, seed: u64) -> Result<Slowdown, PipelineRunError> {
    let numbers = [("IN_FLIGHT", case.in_flight), ("ITEMS", case.items), ("BATCH", case.batch)];
    let fill = |text: String, (name, number): (&str, u32)| text.replace(name, &number.to_string());
    let text = numbers.into_iter().fold(CALM.to_owned(), fill);
    let (calm, _) = measure_finish(&text, seed)?;
    let (chaos, given_up) = measure_finish(&format!("{text}{}\n", case.random), seed)?;
    Ok(Slowdown { calm, chaos, given_up })
}

/// When the last item ended, in seconds (the whole duration where not all did), and how many were given up.
fn measure_finish(text: &str, seed: u64) -> Result<(f64, u64), PipelineRunError> {
    let Ok(scenario) = Scenario::parse("chaos", text) else { return Ok((f64::NAN, 0)) };
    let run = pipeline_run::run(&scenario, Algorithm::Damper, seed)?;
    let last = run.record.seconds.iter().rposition(|second| second.ok > 0);
    let seconds = last.filter(|_| run.books.pending == 0).map_or(scenario.duration.as_secs(), |last| last as u64 + 1);
    Ok((number(seconds), run.books.dead_letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chaos_takes_at_most_half_as_long_again_in_the_mean_and_gives_up_nothing() {
        for case in CASES.iter().filter(|case| case.is_held) {
            let mut times = Spread::default();
            for seed in 1..=3 {
                let Slowdown { calm, chaos, given_up } = measure_slowdown(*case, seed).unwrap();
                times.add(chaos / calm);
                assert_eq!(given_up, 0, "{}, seed {seed}", case.name);
            }
            assert!(times.mean() <= MOST, "{}: {} times as long", case.name, times.larger_is_worse(2));
        }
    }
}
