//! `damper test`: a provider's cases against its compiled component.

mod component;
pub(crate) mod conformance;
mod record;
mod show;
mod wasm;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use damper_plugins::component_file::ComponentFile;
use damper_workbench::bless::bless;
use damper_workbench::report::{RunReport, junit};
use damper_workbench::{Case, CaseRunner, CaseRunnerError};

use damper_core::manifest::units::parse_bytes;

use crate::commands::fetch::parse_param;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json};

use component::Subject;

/// How long a component may take to compile without a word.
const SLOW: Duration = Duration::from_secs(2);

/// Run a provider's cases against its compiled component
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper test                               # the crate in the working folder, with its cases/
  damper test providers/gleif --filter not-found
  damper test gleif.wasm --cases providers/gleif/cases --json
  damper test --record 529900W18LQJJN6SJ336 # a case from the real API
  damper test --conformance                 # all kinds of responses and failures
  damper test --wasm -- an_unknown_thing    # the crate's own tests, compiled for wasm
  damper test enquiry --provider acme-life  # with the settings of one of the component's providers

A case lists the requests that the provider must send, the response to each, and the expected record
or failure. It runs with the engine, the limits and the egress policy of production; only the
network is simulated, and clocks and random numbers are fixed. A case fails if the provider sends
another request, or does not send a listed one.

The exit code is 0 if all cases pass, else 4.")]
pub(crate) struct Test {
    /// The provider's folder, or its component
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,

    /// The folder of cases; default: cases/ in the provider's folder
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,

    /// Run the cases with the settings of this provider in damper.toml: its limits, hosts and config, where a case
    /// does not set its own
    #[arg(long, value_name = "NAME", conflicts_with = "wasm")]
    provider: Option<String>,

    /// Only the cases whose name contains this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Test the existing component, even if the crate is newer
    #[arg(long)]
    no_build: bool,

    /// Test how the provider handles responses and failures of all kinds, starting from the first good case
    #[arg(long)]
    conformance: bool,

    /// The largest component that conforms
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "32MiB", requires = "conformance")]
    max_size: u64,

    /// Write the received record into each case that expects another one
    #[arg(long, conflicts_with = "conformance")]
    bless: bool,

    /// Run again after each change
    #[arg(long, conflicts_with = "record")]
    watch: bool,

    /// Create cases from the real API, with the grants of damper.toml
    #[arg(long, value_name = "ID", num_args = 1.., conflicts_with_all = ["conformance", "bless", "filter", "junit", "json"])]
    record: Vec<String>,

    /// A parameter of the items to record
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param, requires = "record")]
    params: Vec<(String, String)>,

    /// One more header whose value is left out of recordings, as for Authorization, Cookie, X-Api-Key and similar
    /// headers
    #[arg(long, value_name = "HEADER", requires = "record")]
    redact: Vec<String>,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,

    /// Write JUnit XML to this file as well
    #[arg(long, value_name = "FILE", conflicts_with = "conformance")]
    junit: Option<PathBuf>,

    /// Run the crate's own cargo tests in the engine, instead of its cases
    #[arg(long, conflicts_with_all = ["cases", "filter", "no_build", "json", "junit"])]
    wasm: bool,

    /// Arguments for the crate's own tests
    #[arg(last = true, value_name = "ARGUMENT", requires = "wasm")]
    arguments: Vec<String>,
}

/// Run cases.
///
/// # Errors
/// If the provider cannot be built, or a case cannot be read. That a case fails is no error of that kind: it is told,
/// and the exit says so.
pub(crate) fn run(command: &Test, context: &Context) -> Result<Exit, CliError> {
    if command.wasm {
        return wasm::run(&command.path, &command.arguments, context);
    }
    if command.watch { watch::run(command, context) } else { once(command, context) }
}

fn once(command: &Test, context: &Context) -> Result<Exit, CliError> {
    let mut subject = Subject::find(&command.path, command.cases.as_deref(), command.no_build, context)?;
    if let Some(provider) = command.provider.as_deref().filter(|_| command.record.is_empty()) {
        subject.apply_settings(&context.config()?, provider)?;
    }
    if !command.record.is_empty() {
        return record::run(command, &subject, context);
    }
    let cases = cases(command, &subject, context)?;
    if command.conformance {
        return conformance::run(&subject, &cases, command.max_size, command.json, context);
    }
    let mut report = run_cases(&subject, &cases, context)?;
    if command.bless && bless_all(&cases, &report, context)? {
        let cases = self::cases(command, &subject, context)?;
        report = run_cases(&subject, &cases, context)?;
    }
    tell(command, &report, &subject)
}

fn run_cases(subject: &Subject, cases: &[Case], context: &Context) -> Result<RunReport, CliError> {
    context::runtime()?.block_on(async { Ok(prepared_bench(subject, context).await?.run(cases).await) })
}

/// Accept the actual results. Returns whether anything was written.
fn bless_all(cases: &[Case], report: &RunReport, context: &Context) -> Result<bool, CliError> {
    let mut is_written = false;
    for (case, came) in cases.iter().zip(&report.cases) {
        let Some(Ok(record)) = &came.outcome else { continue };
        let blessed = bless(case, record).map_err(|error| CliError::Input {
            what: error.to_string(),
            path: Some(case.path.clone()),
            hint: None,
        })?;
        if let Some(file) = blessed {
            context.screen.say(format!("blessed {}", file.display()));
            is_written = true;
        }
    }
    Ok(is_written)
}

/// A bench whose component is compiled. A component of an interpreted language takes a while the first time.
///
/// # Errors
/// If it cannot be set up.
pub(crate) async fn prepared_bench(subject: &Subject, context: &Context) -> Result<CaseRunner, CliError> {
    let bench = bench(subject, context)?;
    announce_if_slow(bench.prepare(), || {
        let name = &subject.file.manifest.name;
        let mebibytes = subject.file.bytes.len() as f64 / f64::from(1 << 20);
        context.screen.say(format!("compiling {name} ({mebibytes:.1} MiB); the result is kept for the next time"));
    })
    .await;
    Ok(bench)
}

/// Waits for work to end, and says so if that takes a while.
async fn announce_if_slow<T>(work: impl Future<Output = T>, announce: impl FnOnce()) -> T {
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout(SLOW, &mut work).await {
        return done;
    }
    announce();
    work.await
}

pub(crate) fn bench(subject: &Subject, context: &Context) -> Result<CaseRunner, CliError> {
    bench_of(subject.file.clone(), context)
}

/// A bench for a component.
///
/// # Errors
/// If it cannot be set up.
pub(crate) fn bench_of(file: ComponentFile, context: &Context) -> Result<CaseRunner, CliError> {
    let provider = file.manifest.name.clone();
    CaseRunner::with_compiler(context::compiler(&context.settings.hardening), file, context.code_cache()?).map_err(
        |error| match error {
            CaseRunnerError::Host(error) => CliError::Host(error),
            CaseRunnerError::Load(error) => CliError::load(provider, error.to_string()),
            error => CliError::internal("set up the bench", error),
        },
    )
}

/// The cases that were asked for.
fn cases(command: &Test, subject: &Subject, context: &Context) -> Result<Vec<Case>, CliError> {
    let folder = &subject.cases;
    let mut cases = read_cases(folder, context)?;
    if let Some(text) = &command.filter {
        cases.retain(|case| case.name.contains(text.as_str()));
    }
    if cases.is_empty() {
        let (what, hint) = match &command.filter {
            Some(text) => (format!("no case's name holds {text:?}"), "leave --filter out to run them all"),
            None => (
                "there are no cases".to_owned(),
                "write one as docs/TESTING.md shows, or record one with --record; or name another folder with --cases",
            ),
        };
        return Err(CliError::input_in(folder, what, hint));
    }
    Ok(cases)
}

/// The cases of a folder; each that cannot be read is told.
fn read_cases(folder: &Path, context: &Context) -> Result<Vec<Case>, CliError> {
    Case::read_folder(folder).map_err(|errors| wrong_cases(errors, context))
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
    last.unwrap_or_else(|| CliError::internal("read the cases", "nobody said why"))
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
    Ok(if report.failure_count() == 0 { Exit::Done } else { Exit::BadInput })
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_slow_work_is_announced() {
        for (takes, is_announced) in [(SLOW / 2, false), (SLOW * 2, true)] {
            let mut said = false;
            announce_if_slow(sleep(takes), || said = true).await;
            assert_eq!(said, is_announced, "{takes:?}");
        }
    }
}
