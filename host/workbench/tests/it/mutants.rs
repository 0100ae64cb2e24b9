//! The suite finds faulty providers. `tests/fixtures/providers/mutants` is one provider that is correct, or faulty in
//! one of many ways.

use std::fmt::Write;

use damper_workbench::conformance::{Conformance, Rules, Status};
use damper_workbench::{Case, CaseRunner};

use crate::common::{case_runner, cases};

/// Every way to be wrong, and a check that has to see it.
const MUTANTS: [(&str, &str); 20] = [
    ("ignores-retry-after", "429, Retry-After in seconds"),
    ("reads-retry-after-in-seconds-alone", "429, Retry-After as a date"),
    ("takes-429-for-unavailable", "429"),
    ("sleeps-on-429", "429"),
    ("swallows-a-500", "500"),
    ("takes-500-for-not-found", "502"),
    ("loops-on-503", "503"),
    ("retries-a-500", "500"),
    ("takes-401-for-rejected", "401"),
    ("takes-404-for-unavailable", "404"),
    ("takes-a-timeout-for-not-found", "timeout"),
    ("takes-no-connection-for-rejected", "refused"),
    ("follows-a-location-with-the-key", "choice of another host (300)"),
    ("takes-any-body", "HTML page with status 200"),
    ("takes-nothing-for-a-record", "empty body"),
    ("mends-utf-8", "invalid UTF-8"),
    ("panics-on-bad-json", "invalid JSON"),
    ("pastes-ids", "id \"a/b\""),
    ("logs-the-key", "500"),
    ("tells-the-key", "500"),
];

async fn conformance(case_runner: &CaseRunner, mutation: &str) -> Conformance {
    let mut cases: Vec<Case> = cases("tests/fixtures/providers/mutants/cases");
    for case in &mut cases {
        case.config.insert("mutation".to_owned(), mutation.to_owned());
    }
    let rules = Rules::default();
    case_runner.conform(&cases, &rules).await.unwrap_or_else(|error| panic!("{mutation}: {error}"))
}

fn failed_checks(report: &Conformance) -> Vec<String> {
    report.checks.iter().filter(|check| check.status == Status::Failed).map(|check| check.name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_that_the_mutants_are_made_of_conforms() {
    let report = conformance(&case_runner("mutants"), "none").await;
    let problems: Vec<_> = report.checks.iter().filter(|check| check.status == Status::Failed).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(report.checks.iter().any(|check| check.exchange == Some(2)), "the second exchange goes wrong too");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutant_is_caught_by_the_check_that_it_is_made_for() {
    let case_runner = case_runner("mutants");
    let mut missed = String::new();
    for (mutation, check) in MUTANTS {
        let failed = failed_checks(&conformance(&case_runner, mutation).await);
        if !failed.iter().any(|name| name == check) {
            writeln!(missed, "{mutation} is not caught by {check:?}, but by {failed:?}").unwrap();
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_later_request_is_not_swallowed() {
    let failed = failed_checks(&conformance(&case_runner("mutants"), "leaves-out-details-that-fail").await);
    for check in ["500", "401", "429", "reset", "empty body", "HTML page with status 200"] {
        assert!(failed.iter().any(|name| name == check), "{check}: {failed:?}");
    }
    assert!(!failed.iter().any(|name| name == "404"), "what is missing may be a part that not every record has");
}
