//! OAuth2 client credentials: the host fetches, keeps and renews the token.

use damper_sdk::prelude::*;

/// Fetches a customer with the token of the credential `token` (kind `oauth2-client-credentials`). The provider sees
/// neither the client's secret nor the token.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let answer = http::get("https://api.example.org/v1/customers/{id}")
        .path("id", &request.id)
        .credential("token")
        .send()?
        .ok()?;
    Record::json(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    fn answered(status: u16, body: &str) -> Result<Record, Failure> {
        let mut api = Api::new();
        api.get("https://api.example.org/v1/customers/42").credential("token").answers(status, body);
        api.run(|| fetch(&FetchRequest::new("42")))
    }

    #[test]
    fn the_token_is_asked_for_by_name() {
        assert!(answered(200, "{}").is_ok());
    }

    #[test]
    fn a_token_that_is_refused_is_unauthorized() {
        assert_eq!(answered(401, "").unwrap_err().kind, FailureKind::Unauthorized);
    }
}
