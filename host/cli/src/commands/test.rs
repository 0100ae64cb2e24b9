//! `damper test`: a provider's cases against its compiled component.

mod component;
mod show;
mod wasm;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use damper_workbench::report::{RunReport, junit};
use damper_workbench::{Bench, Case};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json};

use component::Subject;

/// Run a provider's cases against its compiled component
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper test                               # the crate in the working folder, with its cases/
  damper test providers/gleif --filter not-found
  damper test gleif.wasm --cases providers/gleif/cases --json
  damper test --wasm -- an_unknown_thing    # the crate's own tests, compiled for wasm

A case says which requests the provider has to send, what it gets for them, and which record or
failure has to come of it. It runs in the engine, the limits and the egress policy of production;
the network alone is a test's, and clocks and randomness stand still. A request that no case
foresees fails it, and so does one that was foreseen and not sent.

The exit code is 0 where all cases pass and 4 where one does not.")]
pub(crate) struct Test {
    /// The provider's folder, or its component
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// The folder of cases; default: cases/ in the provider's folder
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,

    /// Only the cases whose name holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Test the component that is there, also where the crate is newer
    #[arg(long)]
    no_build: bool,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,

    /// Write JUnit XML to this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Run the crate's own tests (cargo's) in the engine, in place of its cases
    #[arg(long, conflicts_with_all = ["cases", "filter", "no_build", "json", "junit"])]
    wasm: bool,

    /// What is handed on to the crate's own tests
    #[arg(last = true, value_name = "ARGUMENT", requires = "wasm")]
    arguments: Vec<String>,
}

/// Run cases.
///
/// # Errors
/// Where the provider cannot be built, or a case cannot be read. That a case fails is no error of that kind: it is told, and
/// the exit says so.
pub(crate) fn run(command: &Test, context: &Context) -> Result<Exit, CliError> {
    if command.wasm {
        return wasm::run(&command.path, &command.arguments, context);
    }
    let subject = Subject::find(&command.path, command.cases.as_deref(), command.no_build, context)?;
    let cases = cases(command, &subject, context)?;
    let report = context::runtime()?.block_on(async {
        let bench = bench(&subject, context)?;
        Ok::<_, CliError>(bench.run(&cases).await)
    })?;
    tell(command, &report, &subject)
}

fn bench(subject: &Subject, context: &Context) -> Result<Bench, CliError> {
    Bench::new(subject.file.clone(), context.cache()?.join("components"))
        .map_err(|error| CliError::unexpected("set up the bench", error))
}

/// The cases that were asked for; each that cannot be read is told.
fn cases(command: &Test, subject: &Subject, context: &Context) -> Result<Vec<Case>, CliError> {
    let folder = &subject.cases;
    let mut cases = Case::read_folder(folder).map_err(|errors| wrong_cases(errors, context))?;
    if let Some(text) = &command.filter {
        cases.retain(|case| case.name.contains(text.as_str()));
    }
    if cases.is_empty() {
        let (what, hint) = match &command.filter {
            Some(text) => (format!("no case's name holds {text:?}"), "leave --filter out to run them all"),
            None => (
                "there are no cases".to_owned(),
                "write one: docs/PROVIDER_GUIDE.md shows how; or name another folder with --cases",
            ),
        };
        return Err(CliError::input_in(folder, what, hint));
    }
    Ok(cases)
}

fn wrong_cases(errors: Vec<damper_workbench::CaseError>, context: &Context) -> CliError {
    let mut errors: Vec<CliError> = errors
        .into_iter()
        .map(|error| CliError::Input { path: Some(error.case().to_path_buf()), what: error.to_string(), hint: None })
        .collect();
    let last = errors.pop();
    for error in &errors {
        context.screen.error(error);
    }
    last.unwrap_or_else(|| CliError::unexpected("read the cases", "nobody said why"))
}

fn tell(command: &Test, report: &RunReport, subject: &Subject) -> Result<Exit, CliError> {
    if let Some(path) = &command.junit {
        fs::write(path, junit(report)).map_err(CliError::file("write the report", path))?;
    }
    if command.json {
        put_json(&report.to_json())?;
    } else {
        put(show::report(report, &subject.file.manifest.limits).trim_end())?;
    }
    Ok(if report.failed() == 0 { Exit::Done } else { Exit::BadInput })
}
