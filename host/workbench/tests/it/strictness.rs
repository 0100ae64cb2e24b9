//! What a case lets through and what it does not, with the mutants' right provider.

use std::path::Path;

use damper_workbench::report::CaseReport;
use damper_workbench::{Bench, Case};

use crate::common::{bench, cases};

const GOOD: &str = include_str!("../../../../tests/mutants/cases/good.toml");

async fn ran(bench: &Bench, text: &str) -> CaseReport {
    let case = Case::parse(Path::new("tests/mutants/cases/good.toml"), text).unwrap();
    bench.run(&[case]).await.cases.pop().unwrap()
}

fn told(report: &CaseReport) -> String {
    let lines = report.problems.iter().map(|it| format!("{}\n{}\n", it.what, it.detail.clone().unwrap_or_default()));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_kept_to_the_letter() {
    let bench = bench("mutants");
    let report = ran(&bench, GOOD).await;
    assert!(report.has_passed(), "{}", told(&report));
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
            "the request of exchange 3 was not sent",
        ),
        ("credential = \"key\"", "credential = \"key\"\nheaders = { accept = \"text/html\" }", "-accept: text/html"),
    ];
    for (from, to, expected) in changes {
        assert!(GOOD.contains(from), "{from}");
        let report = ran(&bench, &GOOD.replacen(from, to, 1)).await;
        assert!(told(&report).contains(expected), "{expected:?} in {}", told(&report));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_foresees_fails_the_case() {
    let from =
        GOOD.find("[[exchange]]\n[exchange.request]\nurl = \"https://mutants.damper.invalid/v1/details").unwrap();
    let to = GOOD.find("[expect.record]").unwrap();
    let report = ran(&bench("mutants"), &format!("{}{}", &GOOD[..from], &GOOD[to..])).await;
    assert!(
        told(&report).contains("was sent as well: GET https://mutants.damper.invalid/v1/details/7"),
        "{}",
        told(&report)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn order_counts_unless_it_does_not() {
    let bench = bench("mutants");
    let first = GOOD.find("[[exchange]]").unwrap();
    let second = first + GOOD[first + 1..].find("[[exchange]]").unwrap() + 1;
    let end = GOOD.find("[expect.record]").unwrap();
    let swapped = format!("{}{}{}{}", &GOOD[..first], &GOOD[second..end], &GOOD[first..second], &GOOD[end..]);
    assert!(told(&ran(&bench, &swapped).await).contains("request 1 is not the one of exchange 1"));
    let report = ran(&bench, &format!("order = \"any\"\n{swapped}")).await;
    assert!(report.has_passed(), "{}", told(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_are_counted_and_are_the_same_each_time() {
    let bench = bench("mutants");
    let (one, other) = (ran(&bench, GOOD).await.figures, ran(&bench, GOOD).await.figures);
    assert!(one.instructions.unwrap() > 10_000 && one.peak_memory_bytes > 65_536, "{one:?}");
    assert_eq!((one.instructions, one.peak_memory_bytes), (other.instructions, other.peak_memory_bytes));
    assert_eq!((one.requests, one.received_bytes), (2, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_cases_pass() {
    for provider in ["demo", "gleif", "sec-edgar"] {
        let report = bench(provider).run(&cases(&format!("providers/{provider}/cases"))).await;
        for case in &report.cases {
            assert!(case.has_passed(), "{provider} {}: {}", case.name, told(case));
        }
    }
}
