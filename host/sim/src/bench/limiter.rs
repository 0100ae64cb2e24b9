//! The limiter alone: goodput, refusals, calls above the cap.

use super::inputs::Bench;
use crate::algorithm::Algorithm;
use crate::compare::{Comparison, limiters_alone};
use crate::pipeline_run::PipelineRunError;
use crate::table::Table;

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let comparison = limiters_alone(&bench.thirteen, &bench.algorithms, &bench.seeds);
    let mut table =
        Table::new("", ["held to".to_owned()].into_iter().chain(comparison.algorithms.iter().map(ToString::to_string)));
    let mut row = |name: &str, held_to: &str, figure: &dyn Fn(Algorithm) -> String| {
        let figures = comparison.algorithms.iter().map(|algorithm| figure(*algorithm));
        table.row(name, [held_to.to_owned()].into_iter().chain(figures));
    };
    row("geometric mean / worst", ".97 / .90", &|algorithm| {
        let (mean, worst) = comparison.summary(algorithm);
        format!("{mean:.3} / {worst:.3}")
    });
    row("429s for 1,000 good, worst", "6", &|algorithm| refusals(&comparison, algorithm, |_| true));
    let quiet = |scenario: &str| scenario != "heavy-tail" && scenario != "shared";
    row("  without heavy tails, one client", "2", &|algorithm| refusals(&comparison, algorithm, quiet));
    row("requests above X", "0", &|algorithm| {
        comparison.column(algorithm).iter().map(|cell| cell.above_cap).sum::<u64>().to_string()
    });
    Ok(format!("{table}\n{}", comparison.report()))
}

/// The same tables over the other scenarios.
pub(super) fn run_more(bench: &Bench) -> Result<String, PipelineRunError> {
    Ok(limiters_alone(&bench.more, &bench.algorithms, &bench.seeds).report())
}

fn refusals(comparison: &Comparison, algorithm: Algorithm, counts: impl Fn(&str) -> bool) -> String {
    let cells = comparison.column(algorithm);
    let rows = comparison.rows.iter().zip(cells).filter(|(row, _)| counts(&row.scenario));
    let worst = rows.map(|(_, cell)| cell.throttled_per_thousand).fold(0.0, f64::max);
    format!("{worst:.1}")
}
