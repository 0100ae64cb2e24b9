//! What the governor asks of the control plane.

use super::{Bench, Spread};
use crate::algorithm::Algorithm;
use crate::compare::on_all_cores;
use crate::simulate::run as simulate;
use crate::table::Table;
use crate::units::number;
use crate::whole::{Asked, WholeError};

pub(super) fn run(bench: &Bench) -> Result<String, WholeError> {
    let columns = ["batch sizes", "least between, s (held to: 120)", "in the last quarter", "on and off", "reads"];
    let mut table = Table::new("", columns.map(str::to_owned));
    for scenario in &bench.thirteen {
        let runs = on_all_cores(&bench.seeds, |seed| {
            simulate(scenario, Algorithm::Damper, Some(*seed)).map(|simulation| simulation.asked())
        });
        let runs: Vec<Asked> = runs.into_iter().collect::<Result<_, _>>()?;
        let spread = |of: fn(&Asked) -> u64| {
            let mut spread = Spread::default();
            runs.iter().for_each(|asked| spread.add(number(of(asked))));
            spread.larger_is_worse(1)
        };
        let least = runs.iter().filter_map(|asked| asked.least_between).min();
        let row = [
            spread(|asked| asked.resized),
            least.map_or_else(|| "-".to_owned(), |least| format!("{:.0}", least.as_secs_f64())),
            spread(|asked| asked.resized_late),
            spread(|asked| asked.switched),
            spread(|asked| asked.reads),
        ];
        table.row(&scenario.name, row);
    }
    Ok(table.to_string())
}
