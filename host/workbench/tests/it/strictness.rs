//! How strictly a case is compared, with the correct provider of the mutants.

use std::path::Path;

use damper_workbench::report::CaseReport;
use damper_workbench::{Case, CaseRunner};

use crate::common::{case_runner, cases};

const GOOD: &str = include_str!("../../../../tests/fixtures/providers/mutants/cases/good.toml");

async fn run_case(case_runner: &CaseRunner, text: &str) -> CaseReport {
    let case = Case::parse(Path::new("tests/fixtures/providers/mutants/cases/good.toml"), text).unwrap();
    case_runner.run(&[case]).await.cases.pop().unwrap()
}

fn problems_text(report: &CaseReport) -> String {
    let lines = report.problems.iter().map(|it| format!("{}\n{}\n", it.what, it.detail.clone().unwrap_or_default()));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_kept_to_the_letter() {
    let case_runner = case_runner("mutants");
    let report = run_case(&case_runner, GOOD).await;
    assert!(report.has_passed(), "{}", problems_text(&report));
    let changes = [
        (
            "things/42?fields=all\"",
            "things/42?fields=some\"",
            "-GET https://mutants.damper.invalid/v1/things/42?fields=some",
        ),
        (
            "credential = \"key\"\n[exchange.response]\nstatus = 200\njson = { id",
            "[exchange.response]\nstatus = 200\njson = { id",
            "it should carry no credential, and carries \"key\"",
        ),
        (
            "json = { colour = \"blue\" }\n\n[expect",
            "json = { colour = \"red\" }\n\n[expect",
            "+    \"colour\": \"red\"",
        ),
        (
            "content_type = \"application/json\"",
            "content_type = \"text/plain\"",
            "content type is \"application/json\", not \"text/plain\"",
        ),
        (
            "[expect.record]",
            "[[exchange]]\nrequest = { url = \"https://mutants.damper.invalid/more\" }\nresponse = { status = 200 }\n[expect.record]",
            "did not send the request of exchange 3",
        ),
        ("credential = \"key\"", "credential = \"key\"\nheaders = { accept = \"text/html\" }", "-accept: text/html"),
    ];
    for (from, to, expected) in changes {
        assert!(GOOD.contains(from), "{from}");
        let report = run_case(&case_runner, &GOOD.replacen(from, to, 1)).await;
        assert!(problems_text(&report).contains(expected), "{expected:?} in {}", problems_text(&report));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_foresees_fails_the_case() {
    let from =
        GOOD.find("[[exchange]]\n[exchange.request]\nurl = \"https://mutants.damper.invalid/v1/details").unwrap();
    let to = GOOD.find("[expect.record]").unwrap();
    let report = run_case(&case_runner("mutants"), &format!("{}{}", &GOOD[..from], &GOOD[to..])).await;
    assert!(
        problems_text(&report)
            .contains("was sent after the last exchange of the case: GET https://mutants.damper.invalid/v1/details/7"),
        "{}",
        problems_text(&report)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn order_counts_unless_it_does_not() {
    let case_runner = case_runner("mutants");
    let first = GOOD.find("[[exchange]]").unwrap();
    let second = first + GOOD[first + 1..].find("[[exchange]]").unwrap() + 1;
    let end = GOOD.find("[expect.record]").unwrap();
    let swapped = format!("{}{}{}{}", &GOOD[..first], &GOOD[second..end], &GOOD[first..second], &GOOD[end..]);
    assert!(problems_text(&run_case(&case_runner, &swapped).await).contains("request 1 is not the one of exchange 1"));
    let report = run_case(&case_runner, &format!("order = \"any\"\n{swapped}")).await;
    assert!(report.has_passed(), "{}", problems_text(&report));
}

/// `damper test --bless` writes the outcome of the last call; a record that comes too early is not it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_earlier_call_is_not_the_outcome() {
    let (head, rest) = GOOD.split_at(GOOD.find("[[exchange]]").unwrap());
    let (exchanges, expect) = rest.split_at(rest.find("[expect.record]").unwrap());
    let call = |expect: &str| format!("[[call]]\n{exchanges}{expect}\n").replace("exchange", "call.exchange");
    let text = |first: &str| format!("{head}{}{}", call(first), call(&expect.replace("[expect", "[call.expect")));
    let report = run_case(&case_runner("mutants"), &text("[call.expect.failure]\nkind = \"not-ready\"")).await;
    assert!(problems_text(&report).contains("call 1: "), "{}", problems_text(&report));
    assert!(report.outcome.is_none(), "{:?}", report.outcome);
    // The record of the last call is.
    let report = run_case(&case_runner("mutants"), GOOD).await;
    assert!(report.outcome.is_some_and(|outcome| outcome.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_are_counted_and_are_the_same_each_time() {
    let case_runner = case_runner("mutants");
    let (one, other) = (run_case(&case_runner, GOOD).await.figures, run_case(&case_runner, GOOD).await.figures);
    assert!(one.instructions.unwrap() > 10_000 && one.peak_memory_bytes > 65_536, "{one:?}");
    assert_eq!((one.instructions, one.peak_memory_bytes), (other.instructions, other.peak_memory_bytes));
    assert_eq!((one.requests, one.received_bytes), (2, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_cases_pass() {
    for provider in ["demo", "gleif", "sec-edgar"] {
        let report = case_runner(provider).run(&cases(&format!("providers/{provider}/cases"))).await;
        for case in &report.cases {
            assert!(case.has_passed(), "{provider} {}: {}", case.name, problems_text(case));
        }
    }
}
