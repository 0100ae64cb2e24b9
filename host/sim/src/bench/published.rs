//! Vector's own scenarios: when the last request succeeded, and how many were refused.

use super::inputs::Bench;
use crate::algorithm::Algorithm;
use crate::api::{Conditions, Plan};
use crate::bare::Setting;
use crate::peers::vector_arc::{Settings, VectorArc};
use crate::pipeline_run::PipelineRunError;
use crate::published::{Finish, PUBLISHED, Published, Retries};
use crate::table::Table;
use crate::units::FOREVER;
use crate::work::Work;

/// Vector's own limit at most, which all are given here.
const MOST: u32 = 200;

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let names = bench.algorithms.iter().map(ToString::to_string);
    let mut table = Table::new("seconds (refused)", ["vector itself".to_owned()].into_iter().chain(names));
    for scenario in &PUBLISHED {
        let itself = scenario.run(Box::new(VectorArc::with(Settings::default())), Retries::Held);
        let others =
            bench.algorithms.iter().map(|algorithm| format_finish(run_with_released_permits(scenario, *algorithm)));
        table.row(scenario.name, [format_finish(itself)].into_iter().chain(others));
    }
    Ok(format!(
        "In Vector a request keeps its permit while it waits for its next try; elsewhere the permit comes free and every try is heard of.\n\n{table}"
    ))
}

fn run_with_released_permits(scenario: &Published, algorithm: Algorithm) -> Finish {
    let setting = Setting {
        plan: Plan::new(Conditions::default(), &[]),
        duration: FOREVER,
        max_in_flight: MOST,
        timeout: std::time::Duration::from_secs(1),
        work: Work::ENDLESS,
        seed: 1,
    };
    scenario.run(algorithm.limiter(&setting, 0, 1), Retries::Released)
}

fn format_finish(finish: Finish) -> String {
    format!("{:.1} ({})", finish.after.as_secs_f64(), finish.refused)
}
