//! `damper test --conformance`, and the same for those who let no provider through that does not conform.

use std::fmt::Write;
use std::path::Path;

use damper_plugins::component_file::ComponentFile;
use damper_workbench::Case;
use damper_workbench::conformance::{Check, Conformance, ConformanceError, Rules, Status};

use super::component::Subject;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, printable_lines, put, put_json, table};

/// The hint below a failed suite.
const HINT: &str = "docs/TESTING.md explains the expected result of each check";

/// Run the suite and tell what came of it.
///
/// # Errors
/// If there is no good case to start from.
pub(super) fn run(
    subject: &Subject,
    cases: &[Case],
    max_bytes: u64,
    as_json: bool,
    context: &Context,
) -> Result<Exit, CliError> {
    let report = suite(subject, cases, &Rules { max_bytes }, context)?;
    if as_json {
        put_json(&report.to_json())?;
    } else {
        put(format_report(&report).trim_end())?;
    }
    Ok(if report.failure_count() == 0 { Exit::Done } else { Exit::BadInput })
}

/// Refuse a component that does not conform: for `damper build --release` and whatever else hands a component on. Its
/// cases are those in the provider's folder.
///
/// # Errors
/// If it does not conform, or has no good case to tell it by; what failed is told on the screen.
pub(crate) fn require(component: &Path, folder: &Path, context: &Context) -> Result<(), CliError> {
    let file = ComponentFile::read(component)?;
    let subject = Subject { file, cases: folder.join(super::component::CASES) };
    let cases = super::read_cases(&subject.cases, context)?;
    let report = suite(&subject, &cases, &Rules::default(), context)?;
    let (failed, name) = (report.failure_count(), &report.provider);
    if failed == 0 {
        context.screen.say(format!("{name} conforms: {} checks", report.checks.len()));
        return Ok(());
    }
    context.screen.say(problems(&report).trim());
    let what = format!("{name} does not conform: {failed} of {} checks failed", report.checks.len());
    Err(CliError::input_in(component, what, format!("{HINT}; `--no-conformance` accepts it anyway")))
}

fn suite(subject: &Subject, cases: &[Case], rules: &Rules, context: &Context) -> Result<Conformance, CliError> {
    let report = context::runtime()?.block_on(async {
        let bench = super::prepared_bench(subject, context).await?;
        Ok::<_, CliError>(bench.conform(cases, rules).await)
    })?;
    report.map_err(|error| {
        let hint = match error {
            ConformanceError::BadGoodCase(_) => "`damper test` shows what is wrong with it",
            _ => "docs/TESTING.md shows one",
        };
        CliError::input_in(&subject.cases, error.to_string(), hint)
    })
}

fn format_report(report: &Conformance) -> String {
    let header = ["", "check", "exchange", "result"].map(str::to_owned).to_vec();
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.status == Status::Failed));
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(checks.into_iter().map(row)).collect();
    let mut text = table(&rows);
    text.push_str(&problems(report));
    let failed = report.failure_count();
    let verdict = if failed == 0 { "conforms".to_owned() } else { format!("does not conform: {failed} failed") };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "\n{} {} {verdict}; {} checks from the case {}, in {:.1} s",
        report.provider,
        report.version,
        report.checks.len(),
        printable(&report.case),
        report.duration.as_secs_f64(),
    );
    if failed > 0 {
        let _ = writeln!(text, "{HINT}");
    }
    text
}

fn row(check: &Check) -> Vec<String> {
    let verdict = match check.status {
        Status::Passed => "ok",
        Status::Warned => "note",
        Status::Failed => "FAILED",
    };
    let exchange = check.exchange.map(|exchange| exchange.to_string()).unwrap_or_default();
    vec![verdict.to_owned(), check.name.clone(), exchange, check.came.clone()]
}

fn problems(report: &Conformance) -> String {
    let mut text = String::new();
    for check in report.checks.iter().filter(|check| check.status != Status::Passed) {
        let exchange = check.exchange.map(|exchange| format!(" (exchange {exchange})")).unwrap_or_default();
        let _ = writeln!(text, "\n{}{exchange}:", printable(&check.name));
        for problem in &check.problems {
            let _ = writeln!(text, "  {}", printable_lines(&problem.what));
            for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
                let _ = writeln!(text, "    {}", printable(line));
            }
        }
    }
    text
}
