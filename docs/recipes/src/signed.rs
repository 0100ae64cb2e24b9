//! A signed request. The key stays in the host.

use damper_sdk::prelude::*;

const PATH: &str = "/v1/lookup";

/// Fetches a person. The API requires the HMAC-SHA-256 of method, path and body in a header; the key is the credential
/// `signing` (kind `hmac`).
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    // Sign and send the same bytes.
    let body = json::json!({ "person": request.id }).to_string();
    let signature = sign::hmac_sha256("signing", format!("POST\n{PATH}\n{body}"))?;
    let answer = http::post("https://api.example.org")
        .join(PATH)
        .header("X-Signature", signature.hex())
        .body("application/json", body)
        .send()?
        .ok()?;
    Record::json(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    #[test]
    fn the_signature_goes_with_the_body() {
        let mut api = Api::new();
        api.signature("signing", [0xab, 0xcd]);
        api.post("https://api.example.org/v1/lookup")
            .header("X-Signature", "abcd")
            .body(r#"{"person":"4\"2"}"#)
            .answers(200, "{}");
        assert!(api.run(|| fetch(&FetchRequest::new("4\"2"))).is_ok());
    }

    #[test]
    fn without_a_key_nothing_is_sent() {
        let mut api = Api::new();
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Other("config".to_owned()));
        assert_eq!(api.requests_sent(), 0);
    }
}
