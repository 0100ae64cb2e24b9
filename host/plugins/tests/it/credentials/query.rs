//! Keys in the URL's query: the API sees them, and nobody else.

use damper_core::manifest::CredentialKind;
use damper_plugins::Plugin;
use damper_plugins::grants::SecretBinding;

use crate::common::server::{Server, redirect, reply};
use crate::common::vault::Vault;
use crate::common::{Setup, fetch, fetch_json, fetch_traced};

const KEY: &str = "hunter2 &/long";
/// The key as it is in a URL.
const SENT: &str = "hunter2%20%26%2Flong";

fn plugin_of(origins: &[&str], binding: SecretBinding) -> Plugin {
    let kind = CredentialKind::Query { parameter: "api_key".to_owned() };
    Setup::new(origins).credential("url", kind, binding).plugin()
}

fn binding(origin: &str) -> SecretBinding {
    SecretBinding::constant(KEY, vec![origin.to_owned()])
}

#[tokio::test]
async fn a_key_is_added_to_the_url_that_the_api_gets_alone() {
    // An API that tells back what it was asked.
    let server = Server::start(|asked| reply(200, &[("x-asked", &asked.path)], &asked.path)).await;
    let origin = server.origin("api.test");
    let plugin = plugin_of(&[&origin], binding(&origin));
    let url = format!("{origin}/v1?q=a+b&api_key=mine");
    let fetch = fetch_traced(&plugin, "get", &[("url", &url), ("credential", "url")]).await;
    assert_eq!(server.requests()[0].path, format!("/v1?q=a+b&api_key={SENT}"));
    let (trace, seen) = (format!("{:?}", fetch.requests), format!("{:?}", fetch.report.outcome));
    let body = String::from_utf8(fetch.report.outcome.unwrap().body.to_vec()).unwrap();
    assert!(body.contains("api_key=[secret]"), "{body}");
    for written in [trace, seen, body] {
        assert!(!written.contains("hunter2"), "{written}");
    }
    assert_eq!(fetch.requests[0].url, url, "as the provider made it");
    // Without the credential nothing is added.
    fetch_json(&plugin, "get", &[("url", &url)]).await;
    assert_eq!(server.requests()[1].path, "/v1?q=a+b&api_key=mine");
}

#[tokio::test]
async fn a_redirect_that_repeats_the_query_takes_no_key_to_another_origin() {
    let other = Server::start(|asked| reply(200, &[], &asked.path)).await;
    let elsewhere = other.origin("other.test");
    let to = elsewhere.clone();
    let server = Server::start(move |asked| {
        let query = asked.path.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        match asked.path.split('?').next() {
            Some("/moved") => redirect(301, &format!("/here?{query}")),
            Some("/away") => redirect(302, &format!("{to}/there?{query}")),
            Some("/hidden") => redirect(302, &format!("{to}/there?other={SENT}")),
            _ => reply(200, &[], ""),
        }
    })
    .await;
    let origin = server.origin("api.test");
    let plugin = plugin_of(&[&origin, &elsewhere], binding(&origin));
    let get = async |path: &str| {
        let url = format!("{origin}{path}");
        fetch_traced(&plugin, "get", &[("url", &url), ("credential", "url")]).await
    };
    let moved = get("/moved?q=1").await;
    assert!(!format!("{:?}", moved.requests).contains("hunter2"));
    assert_eq!(server.requests()[1].path, format!("/here?q=1&api_key={SENT}"), "once");
    let body: serde_json::Value = serde_json::from_slice(&moved.report.outcome.unwrap().body).unwrap();
    assert_eq!(body["url"], format!("{origin}/here?q=1"));
    assert!(get("/away?q=1").await.report.outcome.is_ok());
    assert_eq!(other.requests()[0].path, "/there?q=1");
    let hidden = get("/hidden").await.report.outcome.unwrap_err();
    assert!(hidden.message.contains("another origin, with a secret in the URL"), "{hidden}");
    assert!(!hidden.message.contains("hunter2"), "{hidden}");
    assert_eq!(other.requests().len(), 1);
    let refused = fetch(&plugin, "get", &[("url", &elsewhere), ("credential", "url")]).await.unwrap_err();
    assert!(refused.message.contains("may not be sent to"), "{refused}");
}

#[tokio::test]
async fn a_rotated_key_is_read_again_where_it_is_refused() {
    let server = Server::start(|asked| reply(if asked.path.ends_with("=new") { 200 } else { 401 }, &[], "")).await;
    let origin = server.origin("api.test");
    let vault = Vault::holding("old");
    let plugin = plugin_of(&[&origin], vault.binding(&[&origin]));
    let get = async || fetch_json(&plugin, "get", &[("url", &origin), ("credential", "url")]).await["status"].clone();
    assert_eq!(get().await, 401);
    vault.put("new");
    super::pass(std::time::Duration::from_secs(61)).await;
    assert_eq!(get().await, 200);
    let paths: Vec<String> = server.requests().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/?api_key=old", "/?api_key=old", "/?api_key=new"]);
}

#[tokio::test]
async fn an_error_of_the_connection_shows_no_key() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = format!("http://api.test:{}", closed.port());
    let plugin = plugin_of(&[&origin], binding(&origin));
    let fetch = fetch_traced(&plugin, "get", &[("url", &origin), ("credential", "url")]).await;
    let shown = format!("{:?} {:?} {:?}", fetch.report.outcome, fetch.requests, fetch.lines);
    assert!(fetch.report.outcome.is_err() && !shown.contains("hunter2") && !shown.contains("api_key"), "{shown}");
}
