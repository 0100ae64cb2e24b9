//! Tokens for assertions that the host signs (RFC 7523).

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_core::record::FailureKind;
use damper_plugins::Plugin;
use damper_plugins::grants::{ClientAuth, SecretBinding, TokenEndpoint};
use serde_json::{Value, json};

use crate::common::server::{ReceivedRequest, Server, reply};
use crate::common::vault::Vault;
use crate::common::{Setup, fetch, fetch_json, fetch_traced};

fn secret() -> String {
    let der = rcgen::KeyPair::generate().unwrap().serialize_der();
    let private_key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    json!({ "issuer": "the-app", "private_key": private_key, "key_id": "k1" }).to_string()
}

fn plugin_of(origin: &str, binding: SecretBinding, audience: Option<&str>) -> Plugin {
    let url = format!("{origin}/token").parse().unwrap();
    let (scopes, audience) = (vec!["read".to_owned()], audience.map(str::to_owned));
    let tokens = TokenEndpoint { url, scopes, client_auth: ClientAuth::Basic, audience };
    let binding = SecretBinding { tokens: Some(tokens), ..binding };
    Setup::new(&[origin]).credential("app", CredentialKind::JwtBearer(TokenSettings::default()), binding).plugin()
}

/// The form that the endpoint got, and the claims of its assertion.
fn asked(request: &ReceivedRequest) -> (Vec<(String, String)>, Value) {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let assertion = &form.iter().find(|(name, _)| name == "assertion").unwrap().1;
    let claims = BASE64.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    (form.clone(), serde_json::from_slice(&claims).unwrap())
}

fn token(asked: &ReceivedRequest) -> crate::common::server::Reply {
    let body = r#"{"access_token": "t0ken-1", "token_type": "Bearer", "expires_in": 1000}"#;
    if asked.path == "/token" { reply(200, &[], body) } else { reply(200, &[], format!("{:?}", asked.headers)) }
}

#[tokio::test]
async fn a_signed_assertion_gets_the_token_that_the_api_receives() {
    let server = Server::start(token).await;
    let origin = server.origin("api.test");
    let text = secret();
    let binding = SecretBinding::constant(text.clone(), vec![origin.clone()]);
    let plugin = plugin_of(&origin, binding, None);
    let fetched = fetch_traced(&plugin, "get", &[("url", &origin), ("credential", "app")]).await;
    let requests = server.requests();
    assert_eq!((requests.len(), &*requests[0].path), (2, "/token"));
    assert!(!requests[0].headers.contains_key("authorization"));
    let (form, claims) = asked(&requests[0]);
    assert_eq!(form[0], ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()));
    assert!(form.contains(&("scope".to_owned(), "read".to_owned())), "{form:?}");
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["scope"]),
        (&json!("the-app"), &json!("the-app"), &json!("read"))
    );
    assert_eq!(claims["aud"], format!("{origin}/token"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    assert_eq!(requests[1].headers["authorization"], "Bearer t0ken-1");
    let shown = format!("{:?} {:?}", fetched.requests, fetched.report.outcome);
    let key: Value = serde_json::from_str(&text).unwrap();
    let line = key["private_key"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    assert!(!shown.contains("t0ken-1") && !shown.contains(&line), "{shown}");
}

#[tokio::test]
async fn an_audience_is_used_where_the_api_has_its_own() {
    let server = Server::start(token).await;
    let origin = server.origin("api.test");
    let plugin = plugin_of(&origin, SecretBinding::constant(secret(), vec![origin.clone()]), Some("urn:api"));
    fetch_json(&plugin, "get", &[("url", &origin), ("credential", "app")]).await;
    assert_eq!(asked(&server.requests()[0]).1["aud"], "urn:api");
}

#[tokio::test]
async fn a_key_that_is_no_longer_accepted_is_read_again() {
    let refusing = Arc::new(Mutex::new(true));
    let refuses = Arc::clone(&refusing);
    let server = Server::start(move |asked| {
        if asked.path == "/token" && std::mem::take(&mut *refuses.lock().unwrap()) {
            return reply(400, &[], r#"{"error": "invalid_grant"}"#);
        }
        token(asked)
    })
    .await;
    let origin = server.origin("api.test");
    let vault = Vault::holding(&secret());
    let plugin = plugin_of(&origin, vault.binding(&[&origin]), None);
    let params = [("url", origin.as_str()), ("credential", "app")];
    let failure = fetch(&plugin, "get", &params).await.unwrap_err();
    assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::Unauthorized, true), "{failure}");
    *refusing.lock().unwrap() = true;
    vault.put(&secret());
    super::pass(std::time::Duration::from_secs(61)).await;
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 200, "with the new key, in the same fetch");
    assert_eq!(vault.reads(), 3);
}
