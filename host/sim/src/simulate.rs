//! One scenario with one algorithm, and what to show of it; many of both, side by side.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::chart::{self, ChartError};
use crate::compare::{Cell, Comparison, Row, alone, on_all_cores};
use crate::pipeline_run::{self, Books, MappingRequests, PipelineRun, PipelineRunError};
use crate::record::{Record, Second, Totals};
use crate::scenario::Scenario;
use crate::table::Table;
use crate::units::{clock, number};

/// A run of the whole pipeline through a scenario, beside what the oracle alone gets from the same API.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation<'a> {
    scenario: &'a Scenario,
    algorithm: Algorithm,
    seed: u64,
    record: Record,
    books: Books,
    mapping_requests: MappingRequests,
    oracle: Record,
}

/// Run the whole pipeline through a scenario. `seed`: where it is not to be the scenario's own.
///
/// ```
/// use damper_sim::{algorithm::Algorithm, scenario::Scenario, simulate};
///
/// // An API that refuses the eleventh request in flight, for five minutes of virtual time.
/// let text = r#"
///     about = "a cap on requests in flight"
///     duration = "5m"
///     max_concurrency = 20
///     fetch_timeout = "5s"
///     [api]
///     latency = { median = "200ms", sigma = 0.4 }
///     concurrency = { limit = 10 }
/// "#;
/// let scenario = Scenario::parse("cap", text)?;
/// let simulation = simulate::run(&scenario, Algorithm::Damper, None)?;
/// let books = simulation.books();
/// assert_eq!(books.fed, books.fetched + books.skipped + books.dead_letters + books.pending);
/// assert_eq!(simulation.record().above_cap, 0, "never more than max_concurrency");
/// assert!(simulation.share() > 0.5, "of the goodput of an oracle that knows the cap");
/// assert!(simulation.table().starts_with("cap: a cap on requests in flight\ndamper, seed 1, 5:00 simulated\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the pipeline does not support the scenario, or the books do not balance at the end.
pub fn run(scenario: &Scenario, algorithm: Algorithm, seed: Option<u64>) -> Result<Simulation<'_>, PipelineRunError> {
    let seed = seed.unwrap_or(scenario.seed);
    let PipelineRun { record, books, mapping_requests } = pipeline_run::run(scenario, algorithm, seed)?;
    let oracle = alone(scenario, Algorithm::Oracle, seed);
    Ok(Simulation { scenario, algorithm, seed, record, books, mapping_requests, oracle })
}

/// Run the whole pipeline through all scenarios with all algorithms, and put the figures side by side.
///
/// # Errors
/// As [`run`].
pub fn compare(
    scenarios: &[Scenario],
    algorithms: &[Algorithm],
    seeds: &[u64],
) -> Result<Comparison, PipelineRunError> {
    let rows = on_all_cores(scenarios, |scenario| row(scenario, algorithms, seeds));
    Ok(Comparison { algorithms: algorithms.to_vec(), rows: rows.into_iter().collect::<Result<_, _>>()? })
}

fn row(scenario: &Scenario, algorithms: &[Algorithm], seeds: &[u64]) -> Result<Row, PipelineRunError> {
    let mut cells = vec![Cell::default(); algorithms.len()];
    for seed in seeds {
        let oracle = alone(scenario, Algorithm::Oracle, *seed);
        for (algorithm, cell) in algorithms.iter().zip(&mut cells) {
            let record = pipeline_run::run(scenario, *algorithm, *seed)?.record;
            cell.add(&record, &oracle, seeds.len());
        }
    }
    Ok(Row { scenario: scenario.name.clone(), cells })
}

/// A time at which the API's capacity rose, and how long it took to use it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recovery {
    /// When, in seconds.
    pub at_s: u64,
    /// How long, in seconds; none: not before the API changed again.
    pub after_s: Option<u64>,
}

/// The JSON of a run.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    scenario: &'a str,
    about: &'a str,
    algorithm: String,
    seed: u64,
    duration_s: u64,
    goodput_per_s: f64,
    oracle_goodput_per_s: f64,
    share_of_oracle: f64,
    totals: Totals,
    throttled_per_thousand: f64,
    latency_p50_s: Option<f64>,
    latency_p99_s: Option<f64>,
    sent_into_outage: u64,
    above_cap: u64,
    recoveries: Vec<Recovery>,
    books: Books,
    clients: &'a [Totals],
    seconds: &'a [Second],
}

impl Simulation<'_> {
    /// Goodput as a share of the oracle's.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.record.goodput() / self.oracle.goodput().max(f64::MIN_POSITIVE)
    }

    /// The record of the calls at the API.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The ends of all items.
    #[must_use]
    pub fn books(&self) -> Books {
        self.books
    }

    /// The requests at the control plane.
    #[must_use]
    pub fn mapping_requests(&self) -> MappingRequests {
        self.mapping_requests
    }

    /// How long it took to use what the API came to bear again.
    #[must_use]
    pub fn recoveries(&self) -> Vec<Recovery> {
        recoveries(self.scenario, &self.record, &self.oracle)
    }

    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { scenario, record, books, .. } = self;
        let totals = record.totals();
        let seconds =
            |latency: Option<f64>| latency.map_or_else(|| "-".to_owned(), |latency| format!("{latency:.2} s"));
        let mut table = Table::plain();
        let mut line = |name: &str, value: String| table.row(name, [value]);
        line("goodput", format!("{:.2}/s", record.goodput()));
        line("oracle alone", format!("{:.2}/s", self.oracle.goodput()));
        line("share of the oracle", format!("{:.3}", self.share()));
        line("good answers", totals.ok.to_string());
        line("refused (429)", totals.throttled.to_string());
        line("  for 1,000 good", format!("{:.1}", record.throttled_per_thousand()));
        line("failed", totals.failed.to_string());
        line("timed out", totals.timed_out.to_string());
        line("median latency", seconds(record.latency(0.5)));
        line("99th percentile", seconds(record.latency(0.99)));
        line("sent into an outage", record.sent_into_outage.to_string());
        line("sent above the cap", record.above_cap.to_string());
        for recovery in self.recoveries() {
            let after = recovery.after_s.map_or_else(|| "never".to_owned(), |after| format!("{after} s"));
            line(&format!("recovered at {} after", clock(number(recovery.at_s))), after);
        }
        let Books { fed, fetched, skipped, dead_letters, pending } = books;
        let heading = format!(
            "{}: {}\n{}, seed {}, {} simulated",
            scenario.name,
            scenario.about,
            self.algorithm,
            self.seed,
            clock(scenario.duration.as_secs_f64())
        );
        let mut text = format!("{heading}\n\n{table}\n");
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "fed {fed} = fetched {fetched} + skipped {skipped} + dead letters {dead_letters} + pending {pending}"
        );
        text
    }

    /// Everything that is known of the run, as JSON: the figures, and every second. The same run gives the same text.
    #[must_use]
    pub fn json(&self) -> String {
        let Self { scenario, record, oracle, .. } = self;
        let summary = Summary {
            scenario: &scenario.name,
            about: &scenario.about,
            algorithm: self.algorithm.to_string(),
            seed: self.seed,
            duration_s: scenario.duration.as_secs(),
            goodput_per_s: record.goodput(),
            oracle_goodput_per_s: oracle.goodput(),
            share_of_oracle: self.share(),
            totals: record.totals(),
            throttled_per_thousand: record.throttled_per_thousand(),
            latency_p50_s: record.latency(0.5),
            latency_p99_s: record.latency(0.99),
            sent_into_outage: record.sent_into_outage,
            above_cap: record.above_cap,
            recoveries: self.recoveries(),
            books: self.books,
            clients: &record.clients,
            seconds: &record.seconds,
        };
        // Numbers and texts always serialise.
        serde_json::to_string(&summary).unwrap_or_default()
    }

    /// The chart over time.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn svg(&self) -> Result<String, ChartError> {
        let title = format!("{} with {}, seed {}", self.scenario.name, self.algorithm, self.seed);
        chart::svg(&title, &self.scenario.plan, &self.record)
    }
}

/// How long after each time at which the API came to bear more that was used.
#[must_use]
pub fn recoveries(scenario: &Scenario, record: &Record, oracle: &Record) -> Vec<Recovery> {
    let capacities = scenario.plan.capacities();
    let ends = capacities.iter().skip(1).map(|next| next.from).chain([scenario.duration]);
    let mut before = f64::INFINITY;
    let mut all = Vec::new();
    for (capacity, until) in capacities.iter().zip(ends) {
        let bears = capacity.in_flight.unwrap_or(f64::INFINITY);
        if bears > before {
            // The goodput at which the oracle has settled.
            let settled = oracle.goodput_between(capacity.from + Duration::from_secs(10), until);
            let after = record.recovered_after(capacity.from, until, settled);
            all.push(Recovery { at_s: capacity.from.as_secs(), after_s: after.map(|after| after.as_secs()) });
        }
        before = bears;
    }
    all
}

#[cfg(test)]
mod tests;
