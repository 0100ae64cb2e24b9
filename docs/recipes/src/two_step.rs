//! An order first, and its result later.

use damper_sdk::prelude::*;
use damper_sdk::text;
use damper_sdk::two_step::{self, Placed, Polled};

const REPORTS: &str = "https://api.example.org/v1/reports";

/// Orders a report, and fetches it when it is ready. Between the calls nothing runs: the order is in the ledger.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    two_step::fetch(request, |key| place(&request.id, key), poll)
}

fn place(id: &str, key: &str) -> Result<Placed, Failure> {
    let body = json::json!({ "company": id });
    let answer = http::post(REPORTS).header("Idempotency-Key", key).json(&body).send()?.ok()?;
    let ordered: Value = answer.json()?;
    let order = ordered.str_at("/report")?.to_owned();
    Ok(Placed::Ordered { order, retry_after: answer.retry_after() })
}

fn poll(order: &str) -> Result<Polled, Failure> {
    let answer = http::get(REPORTS).join("{report}").path("report", order).send()?;
    if answer.status() == 404 {
        return Ok(Polled::Forgotten);
    }
    let answer = answer.ok()?;
    let state: Value = answer.json()?;
    match state.str_at("/state")? {
        "ready" => {
            let result = http::get(REPORTS).join("{report}/result").path("report", order).send()?.ok()?;
            Ok(Polled::Ready(Record::json(result)?))
        }
        "queued" | "running" => Ok(Polled::Pending { retry_after: answer.retry_after() }),
        other => Err(Failure::rejected(format!("the report is {}", text::short(other)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;
    use std::time::Duration;

    fn ordered(api: &mut Api, order: &str) -> Vec<u8> {
        let answer = api.post(REPORTS).body(r#"{"company":"42"}"#).answer_header("Retry-After", "30");
        answer.answers(202, format!(r#"{{"report": "{order}"}}"#));
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!(failure.retry_after, Some(Duration::from_secs(30)));
        resume_of(failure)
    }

    fn resume_of(failure: Failure) -> Vec<u8> {
        match failure.kind {
            FailureKind::NotReady(resume) => resume,
            other => panic!("{other}"),
        }
    }

    fn again(resume: Vec<u8>) -> FetchRequest {
        FetchRequest::new("42").with_resume(resume)
    }

    #[test]
    fn a_report_is_ordered_once_and_fetched_when_it_is_ready() {
        let mut api = Api::new();
        let resume = ordered(&mut api, "r-1");
        api.get(format!("{REPORTS}/r-1")).answer_header("Retry-After", "9").answers(200, r#"{"state": "running"}"#);
        let failure = api.run(|| fetch(&again(resume))).unwrap_err();
        assert_eq!(failure.retry_after, Some(Duration::from_secs(9)));

        api.get(format!("{REPORTS}/r-1")).answers(200, r#"{"state": "ready"}"#);
        api.get(format!("{REPORTS}/r-1/result")).answers(200, r#"{"score": 7}"#);
        let record = api.run(|| fetch(&again(resume_of(failure)))).unwrap();
        assert_eq!(record.body(), br#"{"score": 7}"#);
    }

    #[test]
    fn a_report_that_the_api_has_forgotten_is_ordered_anew() {
        let mut api = Api::new();
        let resume = ordered(&mut api, "r-1");
        api.get(format!("{REPORTS}/r-1")).answers(404, "");
        api.post(REPORTS).answers(202, r#"{"report": "r-2"}"#);
        let failure = api.run(|| fetch(&again(resume))).unwrap_err();
        assert!(String::from_utf8(resume_of(failure)).unwrap().contains("r-2"));
    }

    #[test]
    fn a_report_that_failed_is_rejected() {
        let mut api = Api::new();
        let resume = ordered(&mut api, "r-1");
        api.get(format!("{REPORTS}/r-1")).answers(200, r#"{"state": "failed"}"#);
        let failure = api.run(|| fetch(&again(resume))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
    }

    #[test]
    fn an_order_without_a_number_and_a_state_that_is_missing_are_malformed() {
        let mut api = Api::new();
        for answer in ["{}", r#"{"report": null}"#, r#"{"report": 7}"#] {
            api.post(REPORTS).answers(202, answer);
            let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Malformed);
            assert!(failure.message.contains("`/report`"), "{failure}");
        }
        let resume = ordered(&mut api, "r-1");
        api.get(format!("{REPORTS}/r-1")).answers(200, "{}");
        let failure = api.run(|| fetch(&again(resume))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.contains("`/state`"), "{failure}");
    }
}
