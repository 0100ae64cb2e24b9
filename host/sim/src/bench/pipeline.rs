//! The whole pipeline: what batches, their barrier and a slow mapping cost, and what long outages do to items.

use super::inputs::Bench;
use super::spread::Spread;
use crate::algorithm::Algorithm;
use crate::compare::on_all_cores;
use crate::pipeline_run::PipelineRunError;
use crate::scenario::Scenario;
use crate::simulate::{compare, run as simulate};
use crate::table::Table;
use crate::units::number;

pub(super) fn run(bench: &Bench) -> Result<String, PipelineRunError> {
    let comparison = compare(&bench.thirteen, &bench.algorithms, &bench.seeds)?;
    let names = bench.algorithms.iter().map(ToString::to_string);
    let mut table = Table::new("", ["held to".to_owned()].into_iter().chain(names));
    let summaries = bench.algorithms.iter().map(|algorithm| {
        let (mean, worst) = comparison.summary(*algorithm);
        format!("{mean:.3} / {worst:.3}")
    });
    table.row("geometric mean / worst", [".93".to_owned()].into_iter().chain(summaries));
    if let Some(row) = comparison.rows.iter().find(|row| row.scenario == "heavy-tail") {
        let shares = row.cells.iter().map(|cell| format!("{:.3}", cell.share));
        table.row("heavy tails", [".82".to_owned()].into_iter().chain(shares));
    }
    let mut text = format!("{table}\n{}", comparison.report());
    for (name, held_to) in [
        ("outage-errors", "60 requests, 30 s, none given up"),
        ("outage-black-hole", "60 requests, 30 s, none given up"),
        ("outage-two-hours", "recovery within a tick and 2 min (720 s), none given up"),
    ] {
        if let Some(scenario) = bench.scenario(name) {
            text.push_str(&outage(bench, scenario, held_to)?);
        }
    }
    Ok(text)
}

fn outage(bench: &Bench, scenario: &Scenario, held_to: &str) -> Result<String, PipelineRunError> {
    let runs = on_all_cores(&bench.seeds, |seed| -> Result<_, PipelineRunError> {
        let simulation = simulate(scenario, Algorithm::Damper, Some(*seed))?;
        let recovery = simulation.recoveries().first().copied();
        let recovered = recovery.map_or(0, |it| it.after_s.unwrap_or(scenario.duration.as_secs() - it.at_s));
        Ok((simulation.record().sent_into_outage, recovered, simulation.books().dead_letters))
    });
    let (mut into, mut after, mut dead) = (Spread::default(), Spread::default(), 0);
    for run in runs {
        let (sent, recovered, letters) = run?;
        into.add(number(sent));
        after.add(number(recovered));
        dead += letters;
    }
    Ok(format!(
        "{}: damper, mean (worst): {} requests into it, recovered after {} s, {dead} items given up (held to: {held_to})\n",
        scenario.name,
        into.larger_is_worse(1),
        after.larger_is_worse(1)
    ))
}
