//! OAuth2 with a client's own credentials: the host fetches, keeps and renews the token.

use damper_sdk::prelude::*;

/// A customer, with the token of the credential `token` (kind `oauth2-client-credentials`). The provider sees neither the
/// client's secret nor the token.
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

    #[test]
    fn the_token_is_asked_for_by_name() {
        let mut api = Api::new();
        api.get("https://api.example.org/v1/customers/42").credential("token").answers(200, "{}");
        assert!(api.run(|| fetch(&FetchRequest::new("42"))).is_ok());
    }

    #[test]
    fn a_token_that_is_refused_is_unauthorized() {
        let mut api = Api::new();
        api.get("https://api.example.org/v1/customers/42").credential("token").answers(401, "");
        let failure = api.run(|| fetch(&FetchRequest::new("42"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized);
    }
}
