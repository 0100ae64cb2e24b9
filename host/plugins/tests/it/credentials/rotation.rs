//! Secrets that are read when they are needed, and read again when an API no longer accepts them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::fetcher::{Fetcher, Permits};
use damper_core::manifest::CredentialKind;
use damper_core::record::FailureKind;
use futures::future::join_all;

use super::pass;
use crate::common::server::{Server, reply};
use crate::common::vault::Vault;
use crate::common::{Setup, fetch, fetch_json, fetch_traced, request, text};

type Params<'a> = &'a [(&'a str, &'a str)];

/// An API that accepts one key, which a test can change.
async fn start_guarded_api(accepted: &str) -> (Server, Arc<Mutex<String>>) {
    let accepted = Arc::new(Mutex::new(format!("Bearer {accepted}")));
    let key = Arc::clone(&accepted);
    let server = Server::start(move |asked| {
        let is_accepted = asked.headers.get("authorization").is_some_and(|given| *given == *key.lock().unwrap());
        reply(if is_accepted { 200 } else { 401 }, &[], format!("{:?}", asked.headers))
    });
    (server.await, accepted)
}

#[tokio::test]
async fn a_secret_is_read_once_for_all_when_it_is_first_needed() {
    let (server, _) = start_guarded_api("first-secret").await;
    let origin = server.origin("api.test");
    let vault = Vault::holding("first-secret");
    let plugin = Setup::new(&[&origin]).credential("key", CredentialKind::Bearer, vault.binding(&[&origin])).plugin();
    assert_eq!(fetch_json(&plugin, "get", &[("url", &origin)]).await["status"], 401, "without the credential");
    assert_eq!(vault.reads(), 0, "nothing has needed it yet");
    let params = [("url", origin.as_str()), ("credential", "key")];
    let all = join_all((0..100).map(|_| fetch_json(&plugin, "get", &params))).await;
    assert!(all.iter().all(|response| response["status"] == 200));
    assert_eq!(vault.reads(), 1);
}

#[tokio::test]
async fn a_rotated_secret_is_read_again_and_the_refused_request_sent_once_more() {
    let (server, accepted) = start_guarded_api("first-secret").await;
    let origin = server.origin("api.test");
    let vault = Vault::holding("first-secret");
    let plugin = Setup::new(&[&origin]).credential("key", CredentialKind::Bearer, vault.binding(&[&origin])).plugin();
    let params = [("url", origin.as_str()), ("credential", "key")];
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 200);
    *accepted.lock().unwrap() = "Bearer second-secret".to_owned();
    vault.put("second-secret");
    let all = join_all((0..20).map(|_| fetch_traced(&plugin, "get", &params))).await;
    for fetch in all {
        assert!(fetch.report.outcome.is_ok());
        let answers: Vec<_> = fetch.requests.iter().map(|request| request.outcome.clone().unwrap()).collect();
        assert!(matches!(answers[..], [401, 200] | [200]), "{answers:?}");
        assert_eq!(fetch.report.requests as usize, answers.len(), "each is a request, and counted");
    }
    assert_eq!(vault.reads(), 2);
    // The old one stays a secret.
    let url = format!("{origin}/first-secret/second-secret");
    let echo = text(&plugin, "get", &[("url", &url), ("credential", "key"), ("header-X-Old", "first-secret")]).await;
    assert!(!echo.contains("first-secret") && !echo.contains("second-secret"), "{echo}");
}

#[tokio::test]
async fn a_wrong_secret_is_read_again_once_a_minute_and_no_more() {
    let (server, accepted) = start_guarded_api("right").await;
    let origin = server.origin("api.test");
    let vault = Vault::holding("wrong-secret");
    let plugin = Setup::new(&[&origin]).credential("key", CredentialKind::Bearer, vault.binding(&[&origin])).plugin();
    let params = [("url", origin.as_str()), ("credential", "key")];
    for _ in 0..5 {
        let fetch = fetch_traced(&plugin, "get", &params).await;
        assert_eq!(fetch.report.requests, 1, "an unchanged secret is not sent twice");
    }
    assert_eq!(vault.reads(), 2, "once because it was needed, and once because it was refused");
    vault.put("right");
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 401);
    pass(Duration::from_secs(61)).await;
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 200);
    assert_eq!(vault.reads(), 3);
    // If a secret cannot be read again, the old one stays in use.
    *accepted.lock().unwrap() = String::new();
    vault.lock("the vault is closed");
    pass(Duration::from_secs(61)).await;
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 401);
    *accepted.lock().unwrap() = "Bearer right".to_owned();
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 200);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_breaks_the_fetch_and_names_its_place() {
    let (server, _) = start_guarded_api("x").await;
    let origin = server.origin("api.test");
    let vault = Vault::holding("");
    let setup = Setup::new(&[&origin]).credential("key", CredentialKind::Bearer, vault.binding(&[&origin]));
    let plugin = setup.credential("signing", CredentialKind::Hmac, vault.binding(&[])).plugin();
    let cases: [(&str, Params<'_>, &str); 3] = [
        ("get", &[("url", &origin), ("credential", "key")], "key"),
        ("get-all", &[("url", &origin), ("credential", "key")], "key"),
        ("sign", &[("credential", "signing")], "signing"),
    ];
    for (id, params, name) in cases {
        vault.put("");
        let empty = fetch(&plugin, id, params).await.unwrap_err();
        assert_eq!(empty.kind, FailureKind::Broken, "{id}");
        assert_eq!(empty.message, format!("the secret of the credential {name:?}, read from the vault, is empty"));
        vault.lock("access denied");
        let locked = fetch(&plugin, id, params).await.unwrap_err();
        assert_eq!(locked.kind, FailureKind::Broken, "{id}");
        let expected = format!("the secret of the credential {name:?} cannot be read from the vault: access denied");
        assert_eq!(locked.message, expected);
    }
    assert!(server.requests().is_empty());
    vault.put("x");
    assert_eq!(fetch_json(&plugin, "get", cases[0].1).await["status"], 200, "it is tried again");
}

#[tokio::test]
async fn a_host_that_may_not_have_a_secret_does_not_cause_its_reading() {
    let (server, _) = start_guarded_api("x").await;
    let (origin, other) = (server.origin("api.test"), server.origin("other.test"));
    let vault = Vault::holding("x");
    let plugin = Setup::new(&[&other]).credential("key", CredentialKind::Bearer, vault.binding(&[&origin])).plugin();
    for url in [&origin, &other] {
        assert!(fetch(&plugin, "get", &[("url", url), ("credential", "key")]).await.is_err());
    }
    assert_eq!(vault.reads(), 0);
}

#[tokio::test]
async fn a_signing_key_is_read_when_it_is_needed_and_by_all_at_once() {
    let vault = Vault::holding("Jefe");
    let plugin = Setup::new(&[]).credential("signing", CredentialKind::Hmac, vault.binding(&[])).plugin();
    let params = [("credential", "signing"), ("payload", "what do ya want for nothing?")];
    let all = join_all((0..20).map(|_| text(&plugin, "sign", &params))).await;
    // RFC 4231, test case 2.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert!(all.iter().all(|signature| signature == expected));
    assert_eq!(vault.reads(), 1);
    let report = plugin.fetch(request("sign", &params), Permits::new(0)).await;
    assert_eq!(report.requests, 0);
}
