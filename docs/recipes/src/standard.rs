//! An industry standard: each vendor is a provider of this component, with an address, a version and a credential of
//! its own.

use damper_sdk::prelude::*;

/// The credentials of the manifest; each vendor knows its callers by one of them.
const CREDENTIALS: [&str; 3] = ["key", "login", "token"];

/// Fetches a policy from one vendor. Everything in which vendors differ is a setting of the provider.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let credential = config::required("access")?;
    if !CREDENTIALS.contains(&credential.as_str()) {
        return Err(Failure::other("config", "`access` is none of key, login and token; correct it in damper.toml"));
    }
    let version = config::required("standard")?;
    let answer = http::get(config::required("endpoint")?)
        .join("policies/{id}")
        .path("id", &request.id)
        .header("Accept", format!("application/vnd.example.policy+json;version={version}"))
        .credential(credential)
        .send()?
        .ok()?;
    Record::json(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    fn vendor(endpoint: &str, standard: &str, credential: &str) -> Api {
        let mut api = Api::new();
        api.config("endpoint", endpoint).config("standard", standard).config("access", credential);
        api
    }

    #[test]
    fn each_vendor_gets_its_version_and_credential() {
        for (endpoint, standard, credential) in
            [("https://api.acme-life.example/v2", "2.1", "login"), ("https://ws.northern.example", "2.0", "token")]
        {
            let mut api = vendor(endpoint, standard, credential);
            let accept = format!("application/vnd.example.policy+json;version={standard}");
            api.get(format!("{endpoint}/policies/P-17"))
                .header("Accept", accept)
                .credential(credential)
                .answers(200, "{}");
            assert!(api.run(|| fetch(&FetchRequest::new("P-17"))).is_ok());
        }
    }

    #[test]
    fn a_credential_that_the_manifest_does_not_have_is_a_mistake_of_the_config() {
        let failure =
            vendor("https://ws.northern.example", "2.0", "password").run(|| fetch(&FetchRequest::new("P-17")));
        assert_eq!(failure.unwrap_err().kind, FailureKind::Other("config".to_owned()));
    }
}
