//! `damper simulate`: the whole pipeline against a simulated API, in virtual time.

use std::path::PathBuf;

use clap::Args;
use damper_sim::algorithm::Algorithm;
use damper_sim::compare::limiters_alone;
use damper_sim::pipeline_run::PipelineRunError;
use damper_sim::scenario::{Scenario, ScenarioError};
use damper_sim::simulate::{self, Simulation};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::put;

/// Run an algorithm against a simulated API: hours in seconds, with the same result every time
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper simulate host/sim/scenarios/outage-errors.toml --svg outage.svg
  damper simulate host/sim/scenarios/heavy-tail.toml --algorithm vector-arc --json
  damper simulate --compare host/sim/scenarios

A scenario describes the API over time, the items to fetch, and the simulated time:
  duration = \"30m\"
  max_concurrency = 50
  fetch_timeout = \"30s\"
  [api]
  latency = { median = \"300ms\", sigma = 0.4 }
  concurrency = { limit = 20 }
  [[changes]]
  at = \"10m\"
  api = { outage = \"errors\" }
The pipeline, the limiter and the governor are those of `damper run`; only the API, the stream and
the time are simulated. Nothing is sent anywhere.")]
pub(crate) struct Simulate {
    /// The scenario's file
    #[arg(required_unless_present = "compare", conflicts_with = "compare")]
    scenario: Option<PathBuf>,

    /// The algorithm that admits fetches: damper, article, aimd, gradient2, vector-arc, ciad, fixed=N or oracle
    #[arg(long, default_value = "damper", value_name = "NAME", conflicts_with = "compare")]
    algorithm: Algorithm,

    /// The seed of random choices; default: the scenario's own
    #[arg(long, value_name = "N", conflicts_with = "compare")]
    seed: Option<u64>,

    /// Draw the run over time into this file
    #[arg(long, value_name = "FILE", conflicts_with = "compare")]
    svg: Option<PathBuf>,

    /// All data of the run as one JSON object, including each second
    #[arg(long, conflicts_with = "compare")]
    json: bool,

    /// Run all scenarios of this folder with all algorithms, and show them side by side
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
}

/// Simulate.
///
/// # Errors
/// If a scenario cannot be used, or the chart not be written.
pub(crate) fn run(command: &Simulate, context: &Context) -> Result<Exit, CliError> {
    if let Some(folder) = &command.compare {
        return compare(&Scenario::read_all(folder)?);
    }
    // clap has seen to it that there is one.
    let Some(path) = &command.scenario else { return Ok(Exit::Done) };
    let scenario = Scenario::read(path)?;
    let simulation = simulate::run(&scenario, command.algorithm, command.seed)?;
    draw(command, &simulation, context)?;
    put(if command.json { simulation.json() } else { simulation.table().trim_end().to_owned() })?;
    Ok(Exit::Done)
}

fn draw(command: &Simulate, simulation: &Simulation<'_>, context: &Context) -> Result<(), CliError> {
    let Some(path) = &command.svg else { return Ok(()) };
    let svg = simulation.svg().map_err(|error| CliError::internal("draw the chart", error))?;
    std::fs::write(path, svg).map_err(CliError::file("write the chart", path))?;
    context.screen.say(format!("the chart is in {}", path.display()));
    Ok(())
}

fn compare(scenarios: &[Scenario]) -> Result<Exit, CliError> {
    let seeds = [1];
    put("THE WHOLE PIPELINE, with batches and a slow mapping\n")?;
    put(simulate::compare(scenarios, &Algorithm::COMPARED, &seeds)?.report())?;
    put("THE LIMITER ALONE\n")?;
    put(limiters_alone(scenarios, &Algorithm::COMPARED, &seeds).report().trim_end())?;
    Ok(Exit::Done)
}

impl From<ScenarioError> for CliError {
    fn from(error: ScenarioError) -> Self {
        Self::input(error.to_string(), "see `damper simulate --help`, and host/sim/scenarios for scenarios that work")
    }
}

impl From<PipelineRunError> for CliError {
    fn from(error: PipelineRunError) -> Self {
        match error {
            PipelineRunError::Manifest { .. } => Self::input(error.to_string(), "change the scenario"),
            PipelineRunError::Runtime(_) | PipelineRunError::Books(_) => Self::internal("run the simulation", error),
        }
    }
}
