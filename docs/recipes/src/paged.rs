//! A paged list as one record.

use damper_sdk::prelude::*;

/// The most pages of one record. It also ends the loop if an API always has a next page.
const MAX_PAGES: u64 = 20;

/// All filings of a company.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let mut filings: Vec<Value> = Vec::new();
    for page in 1..=MAX_PAGES {
        let answer: Value = http::get("https://api.example.org/v1/companies/{id}/filings")
            .path("id", &request.id)
            .query("page", page)
            .send()?
            .ok()?
            .json()?;
        filings.extend_from_slice(answer.array_at("/items")?);
        if page >= answer.u64_at("/pages")? {
            return Record::from_value(&filings);
        }
    }
    Err(Failure::rejected(format!("it has more than {MAX_PAGES} pages")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    const URL: &str = "https://api.example.org/v1/companies/a%2Fb/filings";

    #[test]
    fn all_pages_are_one_record() {
        let mut api = Api::new();
        api.get(format!("{URL}?page=1")).answers(200, r#"{"items": [1, 2], "pages": 2}"#);
        api.get(format!("{URL}?page=2")).answers(200, r#"{"items": [3], "pages": 2}"#);
        let record = api.run(|| fetch(&FetchRequest::new("a/b"))).unwrap();
        assert_eq!(record.body(), b"[1,2,3]");
    }

    #[test]
    fn a_page_that_fails_fails_the_record() {
        let mut api = Api::new();
        api.get(format!("{URL}?page=1")).answers(200, r#"{"items": [1], "pages": 2}"#);
        api.get(format!("{URL}?page=2")).answers(503, "");
        let failure = api.run(|| fetch(&FetchRequest::new("a/b"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
    }

    #[test]
    fn pages_without_an_end_are_rejected() {
        let mut api = Api::new();
        for page in 1..=MAX_PAGES {
            api.get(format!("{URL}?page={page}")).answers(200, r#"{"items": [], "pages": 1000}"#);
        }
        let failure = api.run(|| fetch(&FetchRequest::new("a/b"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected);
    }

    #[test]
    fn a_page_without_items_or_without_the_number_of_pages_is_malformed() {
        for (page, pointer) in [(r#"{"pages": 1}"#, "/items"), (r#"{"items": [], "pages": "1"}"#, "/pages")] {
            let mut api = Api::new();
            api.get(format!("{URL}?page=1")).answers(200, page);
            let failure = api.run(|| fetch(&FetchRequest::new("a/b"))).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Malformed);
            assert!(failure.message.contains(pointer), "{failure}");
        }
    }
}
