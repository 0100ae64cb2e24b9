//! A binary document.

use damper_sdk::prelude::*;

/// Fetches a filing as a PDF, with its revision as an attribute.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let answer = http::get("https://files.example.org/filings/{id}.pdf")
        .path("id", &request.id)
        .header("Accept", "application/pdf")
        .send()?
        .ok()?;
    // An error page with status 200 is not a document.
    if !answer.bytes().starts_with(b"%PDF-") {
        return Err(Failure::malformed("the answer is no PDF"));
    }
    let revision = answer.header("etag").map(str::to_owned);
    let record = Record::raw(answer);
    Ok(match revision {
        Some(revision) => record.with_attribute("revision", revision),
        None => record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    const URL: &str = "https://files.example.org/filings/42.pdf";

    #[test]
    fn a_document_is_kept_byte_for_byte() {
        let bytes = b"%PDF-1.7\n\xff\x00".to_vec();
        let mut api = Api::new();
        api.get(URL)
            .answer_header("Content-Type", "application/pdf")
            .answer_header("ETag", "\"7\"")
            .answers(200, bytes.clone());
        let record = api.run(|| fetch(&FetchRequest::new("42"))).unwrap();
        assert_eq!((record.content_type(), record.body()), ("application/pdf", bytes.as_slice()));
        assert_eq!(record.attribute("revision"), Some("\"7\""));
    }

    #[test]
    fn a_page_in_place_of_a_document_is_malformed() {
        let mut api = Api::new();
        api.get(URL).answers(200, "<html>sorry</html>");
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
    }
}
