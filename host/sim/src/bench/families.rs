//! Families of APIs that nothing is tuned on.

use super::inputs::Bench;
use super::spread::Spread;
use crate::compare::{Comparison, limiters_alone};
use crate::families::Family;
use crate::pipeline_run::PipelineRunError;
use crate::table::Table;

/// APIs of each family, for each seed.
const FOR_EACH_SEED: u64 = 4;

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let count = FOR_EACH_SEED * bench.seeds.len() as u64;
    let names = bench.algorithms.iter().map(ToString::to_string);
    let mut table = Table::new("mean (worst)", ["held to".to_owned()].into_iter().chain(names));
    for family in Family::ALL {
        let scenarios = family.draw(count);
        let comparison = limiters_alone(&scenarios, &bench.algorithms, &[1]);
        let held_to = match family {
            Family::HiddenCap => ".98",
            Family::Workers => ".97",
            Family::Knee => ".80",
            Family::Contention => "-",
        };
        table.row(
            &format!("{}: goodput", family.name()),
            column(held_to, bench, &comparison, |cell| cell.share, |spread| spread.smaller_is_worse(3)),
        );
        let held_to = if family == Family::Workers { "1.3" } else { "-" };
        table.row(
            &format!("{}: latency", family.name()),
            column(held_to, bench, &comparison, |cell| cell.latency, |spread| spread.larger_is_worse(2)),
        );
    }
    Ok(format!("{count} APIs of each family, beside the oracle at the same API.\n\n{table}"))
}

fn column(
    held_to: &str,
    bench: &Bench,
    comparison: &Comparison,
    value: fn(&crate::compare::Cell) -> f64,
    show: fn(&Spread) -> String,
) -> Vec<String> {
    let figure = |algorithm| show(&Spread(comparison.column(algorithm).iter().map(value).collect()));
    [held_to.to_owned()].into_iter().chain(bench.algorithms.iter().map(|algorithm| figure(*algorithm))).collect()
}
