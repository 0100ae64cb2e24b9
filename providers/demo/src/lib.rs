//! Records of the demo API that comes with Damper: `GET {base_url}/records/{id}`, answered with a JSON object.
//!
//! It is also the shortest whole provider there is, and the one to read first.

use damper_sdk::prelude::*;

/// Fetches one record of the demo API.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let base_url = config::required("base_url")?;
    let mut query =
        http::get(base_url).join("records/{id}").path("id", &request.id).header("Accept", "application/json");
    if config::flag("use_key") {
        query = query.credential("key");
    }
    Record::json(query.send()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;
    use std::time::Duration;

    const RECORD: &str = include_str!("../cases/fixtures/record.json");
    const BASE: &str = "http://127.0.0.1:8085";

    fn demo_api() -> Api {
        let mut api = Api::new();
        api.config("base_url", BASE).config("use_key", "false");
        api
    }

    #[test]
    fn gives_the_record_as_the_api_has_it() {
        let mut api = demo_api();
        api.get(format!("{BASE}/records/item-0042"))
            .header("Accept", "application/json")
            .answer_header("Content-Type", "application/json")
            .answers(200, RECORD);
        let record = api.run(|| fetch(&FetchRequest::new("item-0042"))).unwrap();
        assert_eq!(record.body(), RECORD.as_bytes());
        assert_eq!(record.content_type(), "application/json");
    }

    #[test]
    fn sends_the_key_where_the_operator_wants_it() {
        let mut api = demo_api();
        api.config("use_key", "true");
        api.get(format!("{BASE}/records/1")).credential("key").answers(200, "{}");
        assert!(api.run(|| fetch(&FetchRequest::new("1"))).is_ok());
    }

    #[test]
    fn a_strange_id_stays_one_segment() {
        let mut api = demo_api();
        api.get(format!("{BASE}/records/..%2Fadmin%3Fx%22%0A")).answers(404, "");
        let failure = api.run(|| fetch(&FetchRequest::new("../admin?x\"\n"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotFound);
    }

    #[test]
    fn a_poisonous_record_is_malformed_and_a_busy_api_throttled() {
        let mut api = demo_api();
        api.get(format!("{BASE}/records/poison")).answers(200, "{\"id\": \"poison\", ");
        let failure = api.run(|| fetch(&FetchRequest::new("poison"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);

        api.get(format!("{BASE}/records/1")).answer_header("Retry-After", "2").answers(429, "");
        let failure = api.run(|| fetch(&FetchRequest::new("1"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
    }

    #[test]
    fn without_a_base_url_it_says_what_to_set() {
        let mut api = Api::new();
        api.config("base_url", "");
        let failure = api.run(|| fetch(&FetchRequest::new("1"))).unwrap_err();
        assert!(failure.message.contains("base_url"), "{failure}");
    }
}
