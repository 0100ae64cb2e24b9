//! A provider whose credential gets tokens, with the mutants' right one: the host fetches a token from the run's own
//! endpoint, and the provider sees nothing of it.

use std::path::Path;

use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_core::record::FailureKind;
use damper_plugins::component_file::ComponentFile;
use damper_workbench::conformance::{Rules, Status};
use damper_workbench::report::CaseReport;
use damper_workbench::{Case, CaseRunner};

use crate::common::{case_runner_of, component};

const GOOD: &str = include_str!("../../../../tests/fixtures/providers/mutants/cases/good.toml");

/// The case's first lines, and what the token endpoint says.
const TOKEN: &str = "
[[exchange]]
[exchange.request]
method = \"POST\"
url = \"https://tokens.damper.invalid/key\"
body = \"grant_type=client_credentials\"
[exchange.response]
";

fn with_tokens() -> CaseRunner {
    with_kind(CredentialKind::Oauth2ClientCredentials(TokenSettings::default()))
}

/// The provider, whose credential is of this kind.
fn with_kind(kind: CredentialKind) -> CaseRunner {
    let mut file: ComponentFile = component("mutants");
    file.manifest.credentials.insert("key".to_owned(), kind);
    case_runner_of(file)
}

async fn run_case(case_runner: &CaseRunner, text: &str) -> CaseReport {
    let case = Case::parse(Path::new("tests/fixtures/providers/mutants/cases/good.toml"), text).unwrap();
    case_runner.run(&[case]).await.cases.pop().unwrap()
}

/// The good case, in which the token endpoint answers so.
fn with_token_answer(answer: &str) -> String {
    let first = GOOD.find("[[exchange]]").unwrap();
    format!("{}{TOKEN}{answer}\n{}", &GOOD[..first], &GOOD[first..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_passes_without_a_word_of_tokens() {
    let case_runner = with_tokens();
    let report = run_case(&case_runner, GOOD).await;
    assert!(report.has_passed(), "{:?}", report.problems);
    let forgetful = GOOD.replacen("credential = \"key\"\n", "", 1);
    let told = format!("{:?}", run_case(&case_runner, &forgetful).await.problems);
    assert!(told.contains("it should carry no credential, and carries"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_may_say_what_the_token_endpoint_answers() {
    let case_runner = with_tokens();
    let token = "{ access_token = \"case-token-key-Zq7/+x9\", token_type = \"Bearer\" }";
    let report = run_case(&case_runner, &with_token_answer(&format!("status = 200\njson = {token}"))).await;
    assert!(report.has_passed(), "{:?}", report.problems);
    let report = run_case(&case_runner, &with_token_answer("status = 503")).await;
    let failure = report.outcome.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
    assert!(failure.message.contains("from https://tokens.damper.invalid/key"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_case_passes_with_a_key_in_the_query_and_with_an_assertion() {
    let forgetful = GOOD.replacen("credential = \"key\"\n", "", 1);
    for kind in
        [CredentialKind::Query { parameter: "api_key".to_owned() }, CredentialKind::JwtBearer(TokenSettings::default())]
    {
        let case_runner = with_kind(kind.clone());
        let report = run_case(&case_runner, GOOD).await;
        assert!(report.has_passed(), "{}: {:?}", kind.name(), report.problems);
        let told = format!("{:?}", run_case(&case_runner, &forgetful).await.problems);
        assert!(told.contains("it should carry no credential, and carries"), "{}: {told}", kind.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_any_kind_of_key_conforms() {
    let case = Case::parse(Path::new("tests/fixtures/providers/mutants/cases/good.toml"), GOOD).unwrap();
    for kind in [
        CredentialKind::Oauth2ClientCredentials(TokenSettings::default()),
        CredentialKind::JwtBearer(TokenSettings::default()),
        CredentialKind::Query { parameter: "api_key".to_owned() },
    ] {
        let report = with_kind(kind.clone()).conform(std::slice::from_ref(&case), &Rules::default()).await.unwrap();
        let failed: Vec<_> = report.checks.iter().filter(|check| check.status == Status::Failed).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", kind.name());
    }
}
