//! An order first, and its result later.

use std::time::Duration;

use damper_sdk::prelude::*;
use damper_sdk::text;

const REPORTS: &str = "https://api.example.org/v1/reports";
/// How long the API keeps an ordered report.
const KEPT: Duration = Duration::from_secs(3600);
const WAIT: Duration = Duration::from_secs(30);

/// Orders a report, and fetches it when it is ready. A provider never sleeps: while the report is not ready, the call
/// fails with a time to wait, and the next attempt finds the order in the cache. The failure has its own kind, because
/// the API works: `unavailable` and `throttled` with a wait would delay all other items too.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let report = cache::text_or(&format!("report of {}", request.id), KEPT, || order(&request.id))?;
    let answer = http::get(REPORTS).join("{report}").path("report", &report).send()?.ok()?;
    let state: Value = answer.json()?;
    match state.str_at("/state")? {
        "ready" => {
            let result = http::get(REPORTS).join("{report}/result").path("report", &report).send()?.ok()?;
            Record::json(result)
        }
        "queued" | "running" => Err(Failure::other("not-ready", "the report is not ready yet").with_retry_after(WAIT)),
        other => Err(Failure::rejected(format!("the report is {}", text::short(other)))),
    }
}

fn order(id: &str) -> Result<String, Failure> {
    let answer = http::post(REPORTS).json(&json::json!({ "company": id })).send()?.ok()?;
    let ordered: Value = answer.json()?;
    Ok(ordered.str_at("/report")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    #[test]
    fn a_report_is_ordered_once_and_fetched_when_it_is_ready() {
        let mut api = Api::new();
        api.post(REPORTS).body(r#"{"company":"42"}"#).answers(202, r#"{"report": "r-1"}"#);
        api.get(format!("{REPORTS}/r-1")).answers(200, r#"{"state": "running"}"#);
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::Other("not-ready".to_owned()), Some(WAIT)));

        api.get(format!("{REPORTS}/r-1")).answers(200, r#"{"state": "ready"}"#);
        api.get(format!("{REPORTS}/r-1/result")).answers(200, r#"{"score": 7}"#);
        let record = api.run(|| fetch(&FetchRequest::new("42"))).unwrap();
        assert_eq!(record.body(), br#"{"score": 7}"#);
    }

    #[test]
    fn a_report_that_failed_is_rejected() {
        let mut api = Api::new();
        api.post(REPORTS).answers(202, r#"{"report": "r-1"}"#);
        api.get(format!("{REPORTS}/r-1")).answers(200, r#"{"state": "failed"}"#);
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
    }
}
