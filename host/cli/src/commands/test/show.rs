//! Formats the results of cases as a table with the problems below it.

use std::fmt::Write;

use damper_core::manifest::Limits;
use damper_workbench::report::{CaseReport, RunReport};

use crate::screen::{printable, printable_lines, size, table};

/// The report for a person.
pub(crate) fn report(report: &RunReport, limits: &Limits) -> String {
    let header = ["", "case", "time", "", "memory", "", "instructions", "requests", "sent", "received", ""];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.cases.iter().map(row));
    let mut text = table(&rows);
    for case in report.cases.iter().filter(|case| !case.has_passed()) {
        text.push_str(&problems(case));
    }
    // Writing to a string does not fail.
    for case in &report.cases {
        for note in &case.notes {
            let _ = writeln!(text, "\nnote: {}: {note}", printable(&case.name));
        }
    }
    let (count, failed) = (report.cases.len(), report.failure_count());
    let cases = if count == 1 { "case" } else { "cases" };
    let verdict = if failed == 0 { "all passed".to_owned() } else { format!("{failed} failed") };
    let _ = writeln!(
        text,
        "\n{} {}: {count} {cases}, {verdict}, in {:.0} ms; shares are of {:?}, {} of memory and {} a response",
        report.provider,
        report.version,
        report.duration.as_secs_f64() * 1_000.0,
        limits.fetch_timeout,
        size(limits.memory_bytes),
        size(limits.response_bytes),
    );
    text
}

fn row(case: &CaseReport) -> Vec<String> {
    let (figures, shares) = (&case.figures, &case.shares);
    vec![
        if case.has_passed() { "ok" } else { "FAILED" }.to_owned(),
        case.name.clone(),
        format!("{:.1} ms", figures.duration_ms),
        percent(shares.duration),
        size(figures.peak_memory_bytes),
        percent(shares.memory),
        figures.instructions.map_or("-".to_owned(), count),
        figures.requests.to_string(),
        size(figures.sent_bytes),
        size(figures.received_bytes),
        percent(shares.response),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A large number in thousands or millions.
fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{:.0} k", number as f64 / 1e3),
        _ => format!("{:.1} M", number as f64 / 1e6),
    }
}

fn problems(case: &CaseReport) -> String {
    let mut text = format!("\n{} ({}):\n", printable(&case.name), printable(&case.path.display().to_string()));
    for problem in &case.problems {
        let _ = writeln!(text, "  {}", printable_lines(&problem.what));
        for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
            let _ = writeln!(text, "    {}", printable(line));
        }
    }
    for line in &case.log {
        let _ = writeln!(text, "  the component wrote {}", printable(line));
    }
    text
}
