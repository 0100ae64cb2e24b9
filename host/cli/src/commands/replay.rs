//! `damper replay`: a dead letter's fetch once more, against the answers that were kept with it, or against the API.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use damper_config::Config;
use damper_config::provider;
use damper_core::dead_letter::DeadLetter;
use damper_core::item::Item;
use damper_local::dead_letters::DeadLetters as Letters;
use damper_workbench::replay::Replay as Case;
use damper_workbench::report::{CaseReport, RunReport};
use serde_json::json;

use crate::commands::fetch;
use crate::commands::test::bench_of;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, printable_lines, put, put_bytes, put_json};

/// Fetch a dead letter's item again, against the stored responses, and show the result
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper replay 17
  damper dead-letters show 17 --json > letter.json && damper replay letter.json
  damper replay 17 --live                 # against the API, as `damper fetch`

Without --live, no request leaves this machine, and the secrets are invented. The component is the
one that damper.toml names now, so a replay shows whether a fix works. The exit code is 0 if the
fetch returns a record, else that of `damper fetch`.")]
pub(crate) struct Replay {
    /// The dead letter's number, as `damper dead-letters list` prints it, or a file that contains it as JSON
    #[arg(value_name = "NUMBER|FILE")]
    letter: String,

    /// Fetch from the API, with the grants of damper.toml
    #[arg(long)]
    live: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Replay a dead letter.
///
/// # Errors
/// If there is no such letter, it holds no fetch, or its provider cannot be used.
pub(crate) fn run(command: &Replay, context: &Context) -> Result<Exit, CliError> {
    let config = context.data_config()?;
    let letter = letter(&command.letter, &config, context)?;
    let bound = provider::open(&config, &letter.provider)?;
    if !letter.component.is_empty() && bound.file.digest != letter.component {
        context.screen.say("the component differs from the one that failed");
    }
    if command.live {
        let item = Item::parse(&letter.payload).map_err(|error| {
            CliError::input(
                format!("the dead letter's payload is not an item: {error}"),
                "correct the item and feed it again",
            )
        })?;
        return fetch::now(context, &config, &bound, item, command.json);
    }
    let hint = "`damper dead-letters show` shows why it was given up on; --live fetches it from the API";
    let Case { case, notes } =
        Case::of(&letter, bound.grants.config.clone()).map_err(|error| CliError::input(error.to_string(), hint))?;
    for note in notes {
        context.screen.warn(note);
    }
    let bench = bench_of(bound.file.clone(), context)?;
    let report = context::runtime()?.block_on(bench.run(&[case]));
    tell(report, &letter, command.json)
}

/// A letter by its number in the database, or out of a file.
fn letter(named: &str, config: &Config, context: &Context) -> Result<DeadLetter, CliError> {
    if let Ok(number) = named.parse::<i64>() {
        let letters = Letters::new(context.existing_database(config)?);
        let found = context::runtime()?.block_on(letters.show(number))?;
        let missing = || {
            let hint = "`damper dead-letters list --all` lists all dead letters";
            CliError::input(format!("there is no dead letter {number}"), hint)
        };
        return Ok(found.ok_or_else(missing)?.letter);
    }
    let path = PathBuf::from(named);
    read(&path)
}

fn read(path: &Path) -> Result<DeadLetter, CliError> {
    let text = fs::read(path).map_err(CliError::file("read the dead letter", path))?;
    serde_json::from_slice(&text).map_err(|error| {
        let hint = "`damper dead-letters show NUMBER --json` prints a dead letter";
        CliError::input_in(path, format!("it is not a dead letter: {error}"), hint)
    })
}

fn tell(report: RunReport, letter: &DeadLetter, as_json: bool) -> Result<Exit, CliError> {
    let component = report.digest;
    let Some(case) = report.cases.into_iter().next() else {
        return Err(CliError::internal("replay the dead letter", "nothing was run"));
    };
    let is_same = case.has_passed();
    if as_json {
        put_json(&in_json(&case, letter, &component, is_same))?;
    } else {
        show(&case, letter, is_same)?;
    }
    Ok(match &case.outcome {
        Some(Ok(_)) => Exit::Done,
        Some(Err(failure)) => fetch::exit(&failure.kind),
        None => Exit::BadInput,
    })
}

fn show(case: &CaseReport, letter: &DeadLetter, is_same: bool) -> Result<(), CliError> {
    for line in &case.log {
        put(format!("the component wrote {}", printable(line)))?;
    }
    match &case.outcome {
        Some(Ok(record)) => {
            put("the same responses now give a record:")?;
            put_bytes(&record.body)?;
            put_bytes(b"\n")
        }
        Some(Err(failure)) if is_same => put(format!("the same failure: {}", printable(&failure.to_string()))),
        Some(Err(failure)) => {
            put(format!("the failure is a different one now: {}", printable(&failure.to_string())))?;
            put(format!("the failure before: {}", printable(&letter.message)))?;
            problems(case)
        }
        None => problems(case),
    }
}

fn problems(case: &CaseReport) -> Result<(), CliError> {
    for problem in &case.problems {
        put(format!("  {}", printable_lines(&problem.what)))?;
        for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
            put(format!("    {}", printable(line)))?;
        }
    }
    Ok(())
}

fn in_json(case: &CaseReport, letter: &DeadLetter, component: &str, is_same: bool) -> serde_json::Value {
    let (record, failure) = match &case.outcome {
        Some(Ok(record)) => (Some(fetch::record_in_json(record)), None),
        Some(Err(failure)) => (None, Some(failure.to_json())),
        None => (None, None),
    };
    json!({
        "provider": letter.provider, "entry": letter.sequence, "component": component,
        "is_same_component": component == letter.component, "is_same_failure": is_same,
        "record": record, "failure": failure, "problems": case.problems, "log": case.log, "figures": case.figures,
    })
}
