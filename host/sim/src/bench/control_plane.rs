//! The governor's requests to the control plane.

use super::inputs::Bench;
use super::spread::Spread;
use crate::algorithm::Algorithm;
use crate::compare::on_all_cores;
use crate::pipeline_run::{MappingRequests, PipelineRunError};
use crate::simulate::run as simulate;
use crate::table::Table;
use crate::units::number;

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let columns = ["batch sizes", "least between, s (held to: 120)", "in the last quarter", "on and off", "reads"];
    let mut table = Table::new("", columns.map(str::to_owned));
    for scenario in &bench.thirteen {
        let runs = on_all_cores(&bench.seeds, |seed| {
            simulate(scenario, Algorithm::Damper, Some(*seed)).map(|simulation| simulation.mapping_requests())
        });
        let runs: Vec<MappingRequests> = runs.into_iter().collect::<Result<_, _>>()?;
        let spread = |of: fn(&MappingRequests) -> u64| {
            let mut spread = Spread::default();
            runs.iter().for_each(|requests| spread.add(number(of(requests))));
            spread.larger_is_worse(1)
        };
        let least = runs.iter().filter_map(|requests| requests.least_between).min();
        let row = [
            spread(|requests| requests.resized),
            least.map_or_else(|| "-".to_owned(), |least| format!("{:.0}", least.as_secs_f64())),
            spread(|requests| requests.resized_late),
            spread(|requests| requests.switched),
            spread(|requests| requests.reads),
        ];
        table.row(&scenario.name, row);
    }
    Ok(table.to_string())
}
