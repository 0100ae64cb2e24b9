//! JUnit's XML, as CI servers read it (<https://github.com/testmoapp/junitxml>): a suite a provider, a test a case.

use std::fmt::Write;

use super::{Problem, RunReport};

/// The report as JUnit XML.
#[must_use]
pub fn junit(report: &RunReport) -> String {
    let suite = escape(&format!("{} {}", report.provider, report.version));
    let (tests, failures) = (report.cases.len(), report.failure_count());
    let seconds = report.duration.as_secs_f64();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail.
    let _ = writeln!(xml, "<testsuites tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\">");
    let _ =
        writeln!(xml, "  <testsuite name=\"{suite}\" tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\">");
    for case in &report.cases {
        let (name, seconds) = (escape(&case.name), case.figures.duration_ms / 1_000.0);
        let file = escape(&case.path.display().to_string());
        let _ =
            write!(xml, "    <testcase classname=\"{suite}\" name=\"{name}\" file=\"{file}\" time=\"{seconds:.3}\"");
        match case.problems.first() {
            None => xml.push_str("/>\n"),
            Some(first) => {
                let text: Vec<String> = case.problems.iter().map(text).collect();
                let (what, text) = (escape(&first.what), escape(&text.join("\n")));
                let _ = writeln!(xml, ">\n      <failure message=\"{what}\">{text}</failure>\n    </testcase>");
            }
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn text(problem: &Problem) -> String {
    problem.detail.as_ref().map_or_else(|| problem.what.clone(), |detail| format!("{}\n{detail}", problem.what))
}

/// Text for an attribute or an element; what XML 1.0 cannot hold at all becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control < ' ' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{CaseReport, Figures, Shares};

    #[test]
    fn a_failed_case_is_a_failure_and_nothing_in_it_is_markup() {
        let case = |name: &str, problems| CaseReport {
            name: name.to_owned(),
            path: "cases/a.toml".into(),
            problems,
            outcome: None,
            figures: Figures { duration_ms: 12.0, ..Figures::default() },
            shares: Shares::default(),
            notes: Vec::new(),
            log: Vec::new(),
        };
        let report = RunReport {
            provider: "demo".to_owned(),
            version: "1.0.0".to_owned(),
            digest: String::new(),
            cases: vec![case("good", Vec::new()), case("b<a>d", vec![Problem::new("\"x\"\u{1b}").with("-a\n+b")])],
            duration: Duration::from_millis(20),
        };
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites tests=\"2\" failures=\"1\" time=\"0.020\">
  <testsuite name=\"demo 1.0.0\" tests=\"2\" failures=\"1\" time=\"0.020\">
    <testcase classname=\"demo 1.0.0\" name=\"good\" file=\"cases/a.toml\" time=\"0.012\"/>
    <testcase classname=\"demo 1.0.0\" name=\"b&lt;a&gt;d\" file=\"cases/a.toml\" time=\"0.012\">
      <failure message=\"&quot;x&quot;\u{fffd}\">&quot;x&quot;\u{fffd}&#10;-a&#10;+b</failure>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(junit(&report), expected);
    }
}
