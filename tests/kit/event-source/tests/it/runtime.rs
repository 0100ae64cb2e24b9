//! Lambda's side of the Runtime API, with a real process that does as its events say.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use damper_event_source::{Function, FunctionConfig, Invocation, Outcome};
use serde_json::{Value, json};

use crate::script::LIMIT;

fn config() -> FunctionConfig {
    FunctionConfig::new("obedient", env!("CARGO_BIN_EXE_obedient-function"))
}

async fn call(function: &Function, event: Value) -> Invocation {
    function.call(Bytes::from(event.to_string())).await
}

fn answer(invocation: &Invocation) -> Value {
    serde_json::from_slice(invocation.result.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn the_process_has_lambdas_environment_and_nothing_else() {
    let function = Function::new(config().env("DAMPER_CONFIG", "here"));
    let answer = answer(&call(&function, json!({})).await);
    let environment: Vec<_> =
        answer["environment"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for expected in [
        "AWS_LAMBDA_FUNCTION_NAME=obedient",
        "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
        "AWS_REGION=us-east-1",
        "_HANDLER=bootstrap",
        "DAMPER_CONFIG=here",
    ] {
        assert!(environment.contains(&expected), "{expected} is missing: {environment:?}");
    }
    for expected in ["AWS_LAMBDA_RUNTIME_API=127.0.0.1:", "LAMBDA_TASK_ROOT=/", "AWS_ACCESS_KEY_ID="] {
        assert!(environment.iter().any(|line| line.starts_with(expected)), "{expected} is missing: {environment:?}");
    }
    assert!(!environment.iter().any(|line| line.starts_with("CARGO")), "the test's own environment leaked");
}

#[tokio::test]
async fn an_event_comes_with_the_runtime_apis_headers() {
    let function = Function::new(config());
    let invocation = call(&function, json!({})).await;
    let answer = answer(&invocation);
    let headers = answer["headers"].to_string();
    for expected in [
        format!("lambda-runtime-aws-request-id: {}", invocation.request_id),
        "lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:obedient".to_owned(),
        "lambda-runtime-trace-id: Root=".to_owned(),
        "lambda-runtime-deadline-ms: 1".to_owned(),
    ] {
        assert!(headers.contains(&expected), "{expected} is missing: {headers}");
    }
}

#[tokio::test]
async fn a_process_is_reused_frozen_or_not() {
    for freeze in [true, false] {
        let function = Function::new(FunctionConfig { freeze, ..config() });
        let mut processes = BTreeSet::new();
        for _ in 0..5 {
            processes.insert(answer(&call(&function, json!({})).await)["process"].to_string());
        }
        assert_eq!((processes.len(), function.cold_starts()), (1, 1), "freeze: {freeze}");
        assert_eq!(function.invocations().iter().filter(|invocation| invocation.is_cold).count(), 1);
    }
}

#[tokio::test]
async fn a_frozen_process_is_stopped_until_its_next_event() {
    let function = Function::new(config());
    let process = answer(&call(&function, json!({})).await)["process"].to_string();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    // It is frozen when it asks for its next event, a moment after its answer.
    let frozen = async {
        while state() != Some('T') {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, frozen).await.unwrap();
    assert_eq!(answer(&call(&function, json!({ "answer": 1 })).await), json!(1));
}

#[tokio::test]
async fn overlapping_invocations_have_processes_of_their_own_up_to_the_concurrency() {
    let function = Function::new(FunctionConfig { concurrency: 2, ..config() });
    let slow = json!({ "sleep_ms": 100, "answer": null });
    let calls = (0..6).map(|_| call(&function, slow.clone()));
    let invocations = futures::future::join_all(calls).await;
    assert!(invocations.iter().all(|invocation| invocation.result.is_ok()), "{invocations:?}");
    assert_eq!(function.cold_starts(), 2);
}

#[tokio::test]
async fn a_timeout_kills_the_process_and_the_next_invocation_starts_a_new_one() {
    let function = Function::new(FunctionConfig { timeout: Duration::from_millis(100), ..config() });
    let invocation = call(&function, json!({ "sleep_ms": 60_000 })).await;
    let expected =
        format!("Sandbox.Timedout: RequestId: {} Error: Task timed out after 0.10 seconds", invocation.request_id);
    assert_eq!(invocation.result, Err(expected));
    let process = function.invocations()[0].process;
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists(), "process {process} still runs");
    assert_eq!(answer(&call(&function, json!({ "answer": 1 })).await), json!(1));
    assert_eq!(function.cold_starts(), 2);
}

#[tokio::test]
async fn a_kill_in_the_middle_fails_the_invocation() {
    let function = Function::new(config());
    let killing = async {
        function.wait_for(LIMIT, |function| function.logs().iter().any(|line| line.text == "at work")).await.unwrap();
        function.kill_running();
    };
    let (invocation, ()) = tokio::join!(call(&function, json!({ "print": "at work", "sleep_ms": 60_000 })), killing);
    let error = invocation.result.unwrap_err();
    assert!(error.starts_with("Runtime.ExitError: ") && error.ends_with("signal: killed"), "{error}");
    assert_eq!(function.running(), 0);
    assert!(call(&function, json!({ "answer": 1 })).await.result.is_ok());
}

#[tokio::test]
async fn a_process_that_exits_fails_its_invocation() {
    let function = Function::new(config());
    let invocation = call(&function, json!({ "exit": 3 })).await;
    let error = invocation.result.unwrap_err();
    assert!(error.contains("Runtime exited with error: exit status: 3"), "{error}");
    assert!(matches!(function.invocations()[0].outcome, Outcome::Exited(_)));
}

#[tokio::test]
async fn a_reported_error_fails_the_invocation_and_keeps_the_process() {
    let function = Function::new(config());
    assert_eq!(call(&function, json!({ "error": "as told" })).await.result, Err("Told: as told".to_owned()));
    assert!(call(&function, json!({ "answer": 1 })).await.result.is_ok());
    assert_eq!(function.cold_starts(), 1);
}

#[tokio::test]
async fn events_and_answers_are_six_megabytes_at_most() {
    let function = Function::new(config());
    let large = call(&function, json!({ "print": "x".repeat(6 * 1024 * 1024) })).await;
    assert!(large.result.unwrap_err().starts_with("RequestTooLargeException"));
    let fits = call(&function, json!({ "answer_bytes": 6 * 1024 * 1024 })).await;
    assert_eq!(fits.result.map(|body| body.len()), Ok(6 * 1024 * 1024));
    let too_large = call(&function, json!({ "answer_bytes": 6 * 1024 * 1024 + 1 })).await;
    assert!(too_large.result.unwrap_err().starts_with("Function.ResponseSizeTooLarge"));
}

#[tokio::test]
async fn an_initialisation_error_fails_the_invocation() {
    let function = Function::new(config().env("FAIL_INIT", "yes"));
    assert_eq!(call(&function, json!({})).await.result, Err("Init.Told: told to fail".to_owned()));
}

#[tokio::test]
async fn an_executable_that_is_not_there_says_so() {
    let function = Function::new(FunctionConfig { executable: "/no/such/bootstrap".into(), ..config() });
    let error = call(&function, json!({})).await.result.unwrap_err();
    assert!(error.contains("/no/such/bootstrap") && error.contains("is it built?"), "{error}");
}

#[tokio::test]
async fn what_the_process_prints_are_log_lines() {
    let function = Function::new(config());
    call(&function, json!({ "print": "{\"level\":\"info\"}", "answer": null })).await;
    function.wait_for(LIMIT, |function| !function.logs().is_empty()).await.unwrap();
    let line = function.logs().remove(0);
    assert_eq!((line.text.as_str(), line.is_stderr), ("{\"level\":\"info\"}", false));
    assert_eq!(line.process, function.invocations()[0].process);
}

#[tokio::test]
async fn with_the_function_its_processes_go() {
    let function = Function::new(config());
    let process = answer(&call(&function, json!({})).await)["process"].to_string();
    drop(function);
    let gone = async {
        // A zombie until its parent has looked.
        let runs = || std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}
