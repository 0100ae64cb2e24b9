//! Algorithms side by side over scenarios, each figure beside what the all-knowing oracle gets in the same scenario.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::algorithm::Algorithm;
use crate::bare;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::table::Table;
use crate::units::number;

/// The figures of one algorithm in one scenario, in the mean over all seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    /// Goodput as a share of the oracle's.
    pub share: f64,
    /// Refusals for a thousand good answers.
    pub throttled_per_thousand: f64,
    /// The mean latency as a multiple of the oracle's.
    pub latency: f64,
    /// Calls sent while the API was down.
    pub sent_into_outage: f64,
    /// Jain's index over the clients.
    pub fairness: f64,
    /// Calls above the cap, in all.
    pub above_cap: u64,
}

impl Cell {
    /// Take in one of `of` runs.
    pub(crate) fn add(&mut self, record: &Record, oracle: &Record, of: usize) {
        let part = 1.0 / number(of.max(1) as u64);
        self.share += part * record.goodput() / oracle.goodput().max(f64::MIN_POSITIVE);
        self.throttled_per_thousand += part * record.throttled_per_thousand();
        self.latency += part * record.mean_latency() / oracle.mean_latency().max(f64::MIN_POSITIVE);
        self.sent_into_outage += part * number(record.sent_into_outage);
        self.fairness += part * record.fairness();
        self.above_cap += record.above_cap;
    }
}

/// All algorithms in one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which scenario.
    pub scenario: String,
    /// A cell for each algorithm, in the order of the comparison.
    pub cells: Vec<Cell>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The columns.
    pub algorithms: Vec<Algorithm>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Run every algorithm through every scenario with every seed, the limiter alone.
///
/// ```
/// use damper_sim::{algorithm::Algorithm, compare::limiters_alone, scenario::Scenario};
///
/// let text = r#"
///     duration = "5m"
///     max_concurrency = 30
///     fetch_timeout = "5s"
///     [api]
///     latency = { median = "200ms", sigma = 0.4 }
///     concurrency = { limit = 10 }
/// "#;
/// let scenario = Scenario::parse("cap", text)?;
/// let (damper, fixed) = (Algorithm::Damper, Algorithm::Fixed(30));
/// let comparison = limiters_alone(&[scenario], &[damper, fixed], &[1, 2]);
///
/// // 30 in flight at an API that takes 10: most requests are refused. Damper finds the cap.
/// let refused = |algorithm| comparison.column(algorithm)[0].throttled_per_thousand;
/// assert!(refused(damper) < refused(fixed) / 10.0);
/// # Ok::<(), damper_sim::scenario::ScenarioError>(())
/// ```
#[must_use]
pub fn limiters_alone(scenarios: &[Scenario], algorithms: &[Algorithm], seeds: &[u64]) -> Comparison {
    let rows = on_all_cores(scenarios, |scenario| row(scenario, algorithms, seeds));
    Comparison { algorithms: algorithms.to_vec(), rows }
}

/// Does the same to each, on as many threads as there are cores; what comes out is in the order of what went in.
pub(crate) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Run one algorithm through a scenario, the limiter alone.
#[must_use]
pub fn alone(scenario: &Scenario, algorithm: Algorithm, seed: u64) -> Record {
    let setting = scenario.setting(seed);
    bare::run(&setting, algorithm.limiters(&setting, scenario.clients))
}

fn row(scenario: &Scenario, algorithms: &[Algorithm], seeds: &[u64]) -> Row {
    let mut cells = vec![Cell::default(); algorithms.len()];
    for seed in seeds {
        let oracle = alone(scenario, Algorithm::Oracle, *seed);
        for (algorithm, cell) in algorithms.iter().zip(&mut cells) {
            let record = alone(scenario, *algorithm, *seed);
            cell.add(&record, &oracle, seeds.len());
        }
    }
    Row { scenario: scenario.name.clone(), cells }
}

impl Comparison {
    /// An algorithm's column, if it is compared.
    #[must_use]
    pub fn column(&self, algorithm: Algorithm) -> Vec<Cell> {
        let index = self.algorithms.iter().position(|each| *each == algorithm);
        index
            .map(|index| self.rows.iter().filter_map(|row| row.cells.get(index).copied()).collect())
            .unwrap_or_default()
    }

    /// The geometric mean and the worst of an algorithm's shares of the oracle's goodput.
    #[must_use]
    pub fn summary(&self, algorithm: Algorithm) -> (f64, f64) {
        let shares: Vec<f64> = self.column(algorithm).iter().map(|cell| cell.share).collect();
        (geometric_mean(&shares), shares.iter().copied().fold(f64::INFINITY, f64::min))
    }

    /// A table of shares, with the geometric mean and the worst below.
    #[must_use]
    pub fn shares(&self) -> String {
        let mut table = self.table(|cell| format!("{:.3}", cell.share));
        let summaries: Vec<_> = self.algorithms.iter().map(|algorithm| self.summary(*algorithm)).collect();
        table.rule();
        table.row("geometric mean", summaries.iter().map(|(mean, _)| format!("{mean:.3}")));
        table.row("worst", summaries.iter().map(|(_, worst)| format!("{worst:.3}")));
        table.to_string()
    }

    /// A table of one figure of each cell.
    pub fn table(&self, figure: impl Fn(&Cell) -> String) -> Table {
        let mut table = Table::new("scenario", self.algorithms.iter().map(ToString::to_string));
        for row in &self.rows {
            table.row(&row.scenario, row.cells.iter().map(&figure));
        }
        table
    }

    /// All tables that matter, one below the other.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "goodput as a share of the oracle's\n\n{}", self.shares());
        let throttled = self.table(|cell| format!("{:.1}", cell.throttled_per_thousand));
        let _ = writeln!(text, "refusals for a thousand good answers\n\n{throttled}");
        let latency = self.table(|cell| format!("{:.2}", cell.latency));
        let _ = writeln!(text, "mean latency as a multiple of the oracle's\n\n{latency}");
        text
    }
}

/// The geometric mean; what is 0 counts as a ten-thousandth.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    let logarithms: f64 = values.iter().map(|value| value.max(1e-4).ln()).sum();
    (logarithms / number(values.len().max(1) as u64)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometric_mean_weighs_shares() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-12);
        assert!((geometric_mean(&[0.0, 1.0]) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn nobody_gets_more_than_the_oracle_and_no_peer_goes_above_the_cap() {
        let text =
            "duration = \"5m\"\nmax_concurrency = 30\nfetch_timeout = \"5s\"\n[api]\nconcurrency = { limit = 10 }";
        let scenario = Scenario::parse("cap", text).unwrap();
        let comparison = limiters_alone(&[scenario], &Algorithm::COMPARED, &[1, 2]);
        for algorithm in Algorithm::COMPARED {
            let cells = comparison.column(algorithm);
            assert!(cells.iter().all(|cell| cell.share <= 1.01 && cell.above_cap == 0), "{algorithm}: {cells:?}");
        }
        insta::assert_snapshot!(comparison.table(|_| "x".to_owned()).to_string());
    }
}
