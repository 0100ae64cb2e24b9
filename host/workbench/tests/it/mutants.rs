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

/// Every way to be wrong in a later call of an order, and a check that has to see it.
const ORDER_MUTANTS: [(&str, &str); 8] = [
    ("takes-a-failed-poll-for-a-pending-order", "call 2: 500"),
    ("places-an-order-anew-when-a-poll-fails", "call 3: 503"),
    ("forgets-the-wait-of-a-poll", "call 2: 429, Retry-After in seconds"),
    ("panics-on-a-poll-without-json", "call 3: invalid JSON"),
    ("takes-any-page-for-a-pending-order", "call 2: HTML page with status 200"),
    ("takes-any-result-for-a-record", "call 3: empty body"),
    ("logs-the-key-when-it-polls", "call 2: 500"),
    ("keeps-a-session-that-it-cannot-read", "a second fetch, with the cache of the first"),
];

async fn conformance(case_runner: &CaseRunner, mutation: &str) -> Conformance {
    conformance_from("cases", case_runner, mutation).await
}

async fn conformance_from(folder: &str, case_runner: &CaseRunner, mutation: &str) -> Conformance {
    let mut cases: Vec<Case> = cases(&format!("tests/fixtures/providers/mutants/{folder}"));
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
    assert_eq!(missed_mutants("cases", &MUTANTS).await, "");
}

/// Those mutants which the suite, begun with the cases of this folder, does not catch as it has to.
async fn missed_mutants(folder: &str, mutants: &[(&str, &str)]) -> String {
    let case_runner = case_runner("mutants");
    let mut missed = String::new();
    for (mutation, check) in mutants {
        let failed = failed_checks(&conformance_from(folder, &case_runner, mutation).await);
        if !failed.iter().any(|name| name == check) {
            writeln!(missed, "{mutation} is not caught by {check:?}, but by {failed:?}").unwrap();
        }
    }
    missed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_orders_conforms() {
    let report = conformance_from("order-cases", &case_runner("mutants"), "none").await;
    let is_of_a_call = |name: &str| name.starts_with("call ") || name.starts_with("a second fetch");
    let problems = report.checks.iter().filter(|check| is_of_a_call(&check.name) && check.status != Status::Passed);
    let problems: Vec<_> = problems.collect();
    assert!(problems.is_empty(), "{problems:#?}");
    for call in 1..=3 {
        let prefix = format!("call {call}: ");
        assert!(report.checks.iter().any(|check| check.name.starts_with(&prefix)), "call {call} goes wrong too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutant_in_a_later_call_is_caught() {
    assert_eq!(missed_mutants("order-cases", &ORDER_MUTANTS).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_order_that_ends_the_record_gets_a_note() {
    let mutation = "takes-a-forgotten-order-for-not-found";
    let report = conformance_from("order-cases", &case_runner("mutants"), mutation).await;
    let status = |name: &str| report.checks.iter().find(|check| check.name == name).map(|check| check.status);
    assert_eq!(status("call 2: 404"), Some(Status::Warned));
    assert_eq!(status("call 2: 410"), Some(Status::Passed), "the order is placed once more");
    assert_eq!(report.failure_count(), 0, "the API may mean the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_later_request_is_not_swallowed() {
    let failed = failed_checks(&conformance(&case_runner("mutants"), "leaves-out-details-that-fail").await);
    for check in ["500", "401", "429", "reset", "empty body", "HTML page with status 200"] {
        assert!(failed.iter().any(|name| name == check), "{check}: {failed:?}");
    }
    assert!(!failed.iter().any(|name| name == "404"), "what is missing may be a part that not every record has");
}
