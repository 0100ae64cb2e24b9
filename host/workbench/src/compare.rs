//! Compares the outcome of a case with the expected one.

use std::collections::BTreeMap;

use damper_core::record::{Failure, Fetched};
use serde_json::Value;

use crate::case::{BodyPlace, Expect, ExpectedBody, ExpectedFailure, ExpectedRecord, kind_name};
use crate::difference::{difference, readable};
use crate::report::Problem;

/// The problems of an outcome.
pub(crate) fn problems(expect: &Expect, outcome: &Result<Fetched, Failure>) -> Vec<Problem> {
    match (expect, outcome) {
        (Expect::Record(expected), Ok(record)) => record_problems(expected, record),
        (Expect::Failure(expected), Err(failure)) => failure_problems(expected, failure),
        (Expect::Record(_), Err(failure)) => {
            vec![Problem::new(format!("a record was expected, and the fetch failed as {}", describe_failure(failure)))]
        }
        (Expect::Failure(expected), Ok(record)) => {
            let what = format!(
                "a failure of kind {} was expected, and the fetch returned a record",
                kind_name(&expected.kind)
            );
            vec![Problem::new(what).with(readable(&record.body))]
        }
    }
}

fn describe_failure(failure: &Failure) -> String {
    format!("{}: {}", kind_name(&failure.kind), failure.message)
}

fn record_problems(expected: &ExpectedRecord, record: &Fetched) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(wanted) = expected.content_type.as_ref().filter(|wanted| **wanted != record.content_type) {
        problems.push(Problem::new(format!("the record's content type is {:?}, not {wanted:?}", record.content_type)));
    }
    if let Some(wanted) = &expected.attributes {
        let got: BTreeMap<String, String> = record.attributes.iter().cloned().collect();
        if *wanted != got {
            let detail = difference("expected", &lines(wanted), "received", &lines(&got));
            problems.push(Problem::new("the record's attributes differ").with(detail));
        }
    }
    problems.extend(expected.body.as_ref().and_then(|body| body_problem(body, &record.body)));
    problems
}

fn lines(attributes: &BTreeMap<String, String>) -> String {
    attributes.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect()
}

fn body_problem(expected: &ExpectedBody, body: &[u8]) -> Option<Problem> {
    let Some(wanted) = &expected.bytes else {
        let place = match &expected.place {
            BodyPlace::File(path) => path.display().to_string(),
            _ => "the case".to_owned(),
        };
        return Some(Problem::new(format!("{place} does not exist yet: `--bless` writes the received body to it")));
    };
    if is_same(wanted, body) {
        return None;
    }
    let (wanted, got) = (readable(wanted), readable(body));
    let detail = if wanted == got {
        // Both are JSON that reads the same and is not, or bytes that are no text.
        "the texts look the same, but their bytes differ".to_owned()
    } else {
        difference("expected", &(wanted + "\n"), "received", &(got + "\n"))
    };
    Some(Problem::new("the record's body differs (`--bless` accepts it)").with(detail))
}

/// Whether two bodies are the same: as JSON where both are JSON, else byte by byte.
pub(crate) fn is_same(wanted: &[u8], got: &[u8]) -> bool {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
    wanted == got || matches!((json(wanted), json(got)), (Ok(wanted), Ok(got)) if wanted == got)
}

fn failure_problems(expected: &ExpectedFailure, failure: &Failure) -> Vec<Problem> {
    let mut problems = Vec::new();
    if expected.kind != failure.kind {
        let wanted = kind_name(&expected.kind);
        problems.push(Problem::new(format!("it should fail as {wanted}, and failed as {}", describe_failure(failure))));
    }
    if expected.retry_after.is_some() && expected.retry_after != failure.retry_after {
        let (wanted, got) = (expected.retry_after.unwrap_or_default(), failure.retry_after);
        let got = got.map_or("none".to_owned(), |wait| format!("{wait:?}"));
        problems.push(Problem::new(format!("its retry_after is {got}, not {wanted:?}")));
    }
    if expected.status.is_some() && expected.status != failure.status {
        let (wanted, got) = (expected.status.unwrap_or_default(), failure.status);
        let got = got.map_or("none".to_owned(), |status| status.to_string());
        problems.push(Problem::new(format!("its status is {got}, not {wanted}")));
    }
    if let Some(pattern) = expected.message.as_ref().filter(|pattern| !pattern.is_match(&failure.message)) {
        let what = format!("its message does not match {:?}: {:?}", pattern.as_str(), failure.message);
        problems.push(Problem::new(what));
    }
    problems
}
