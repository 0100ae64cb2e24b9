//! OAuth 2.0 client credentials, against a token server that counts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::budget::Budget;
use damper_core::fetcher::{Fetcher, Permits};
use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_core::record::FailureKind;
use damper_plugins::Plugin;
use damper_plugins::grants::{ClientAuth, SecretBinding, TokenEndpoint};
use futures::future::join_all;

use super::pass;
use crate::common::server::{ReceivedRequest, Reply, Server, redirect, reply};
use crate::common::vault::Vault;
use crate::common::{Setup, fetch, fetch_json, fetch_traced, request, request_with_timeout};

pub(super) type Refusing = fn() -> Reply;

/// A server that is token endpoint and API: it returns a token at `/token`, and accepts only the newest one elsewhere.
pub(super) struct TokenApi {
    server: Server,
    pub(super) origin: String,
    pub(super) given: Arc<AtomicU32>,
    /// The response that it sends instead of a token.
    refusal: Arc<Mutex<Option<Refusing>>>,
    /// Whether it accepts the tokens that it returned.
    is_open: Arc<Mutex<bool>>,
}

impl TokenApi {
    pub(super) async fn start() -> Self {
        let given = Arc::new(AtomicU32::new(0));
        let refusal: Arc<Mutex<Option<Refusing>>> = Arc::default();
        let is_open = Arc::new(Mutex::new(true));
        let (count, refused, open) = (Arc::clone(&given), Arc::clone(&refusal), Arc::clone(&is_open));
        let server = Server::start(move |asked| {
            if asked.path == "/token" {
                if let Some(refusal) = *refused.lock().unwrap() {
                    return refusal();
                }
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let body =
                    format!(r#"{{"access_token": "t0ken-{number}", "token_type": "Bearer", "expires_in": 1000}}"#);
                return reply(200, &[], body);
            }
            let newest = format!("Bearer t0ken-{}", count.load(Ordering::SeqCst));
            let is_accepted = *open.lock().unwrap() && asked.headers.get("authorization") == Some(&newest);
            reply(if is_accepted { 200 } else { 401 }, &[], format!("{:?}", asked.headers))
        });
        let server = server.await;
        let origin = server.origin("api.test");
        Self { server, origin, given, refusal, is_open }
    }

    pub(super) fn refuse(&self, refusal: Option<Refusing>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    pub(super) fn binding(&self, binding: SecretBinding) -> SecretBinding {
        let url = format!("{}/token", self.origin).parse().unwrap();
        let tokens =
            TokenEndpoint { url, scopes: vec!["read".to_owned()], client_auth: ClientAuth::Basic, audience: None };
        SecretBinding { tokens: Some(tokens), ..binding }
    }

    fn plugin(&self) -> Plugin {
        let secret = SecretBinding::constant("the-id:hunter2", vec![self.origin.clone()]);
        let setup = Setup::new(&[&self.origin]);
        setup
            .credential(
                "client",
                CredentialKind::Oauth2ClientCredentials(TokenSettings::default()),
                self.binding(secret),
            )
            .plugin()
    }

    pub(super) fn params(&self) -> [(&str, &str); 2] {
        [("url", &self.origin), ("credential", "client")]
    }

    /// The number of requests for a token.
    pub(super) fn token_request_count(&self) -> usize {
        self.server.requests().iter().filter(|asked| asked.path == "/token").count()
    }

    fn requests_to(&self, path: &str) -> Vec<ReceivedRequest> {
        self.server.requests().into_iter().filter(|asked| asked.path == path).collect()
    }
}

#[tokio::test]
async fn one_token_is_asked_for_by_a_hundred_fetches_and_counts_as_a_request() {
    let token_api = TokenApi::start().await;
    let plugin = token_api.plugin();
    let (permits, fetches) = (Permits::within(0, Budget::of(1_000)), 100);
    let all = (0..fetches).map(|_| plugin.fetch(request("get", &token_api.params()), permits.clone()));
    let reports = join_all(all).await;
    let statuses = reports.iter().filter_map(|report| serde_json::from_slice(&report.outcome.as_ref().ok()?.body).ok());
    assert_eq!(statuses.filter(|response: &serde_json::Value| response["status"] == 200).count(), fetches);
    assert_eq!(token_api.token_request_count(), 1);
    assert_eq!(reports.iter().map(|report| report.requests).sum::<u32>(), 101);
    assert_eq!(permits.budget().remaining(), Some(1_000 - 101));
    let asked = &token_api.requests_to("/token")[0];
    assert_eq!(
        (asked.method.as_str(), asked.headers["authorization"].as_str()),
        ("POST", "Basic dGhlLWlkOmh1bnRlcjI=")
    );
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=read");
    assert!(asked.headers["user-agent"].ends_with("(hostile/0.1.0)"));
    assert_eq!(token_api.requests_to("/")[0].headers["authorization"], "Bearer t0ken-1");
}

#[tokio::test]
async fn a_token_is_replaced_early_and_used_to_its_end_where_that_fails() {
    let token_api = TokenApi::start().await;
    let plugin = token_api.plugin();
    let status = async || fetch_json(&plugin, "get", &token_api.params()).await["status"].as_u64().unwrap();
    assert_eq!((status().await, token_api.token_request_count()), (200, 1));
    pass(Duration::from_secs(899)).await;
    assert_eq!((status().await, token_api.token_request_count()), (200, 1));
    pass(Duration::from_secs(2)).await;
    assert_eq!((status().await, token_api.token_request_count()), (200, 2), "at nine tenths of its life");
    token_api.refuse(Some(|| reply(503, &[], "")));
    pass(Duration::from_secs(901)).await;
    for _ in 0..3 {
        assert_eq!(
            (status().await, token_api.token_request_count()),
            (200, 3),
            "asked once, and then the old one is used"
        );
    }
    pass(Duration::from_secs(100)).await;
    let failure = fetch(&plugin, "get", &token_api.params()).await.unwrap_err();
    assert_eq!((failure.kind, failure.status), (FailureKind::Unavailable, Some(503)));
    token_api.refuse(None);
    pass(Duration::from_secs(3)).await;
    assert_eq!((status().await, token_api.given.load(Ordering::SeqCst)), (200, 3));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_an_api_that_refuses_all_does_not_hammer() {
    let token_api = TokenApi::start().await;
    let plugin = token_api.plugin();
    let status = async || fetch_json(&plugin, "get", &token_api.params()).await["status"].as_u64().unwrap();
    assert_eq!(status().await, 200);
    // The API no longer accepts the tokens that it returned.
    token_api.given.fetch_add(10, Ordering::SeqCst);
    let params = token_api.params();
    let all = join_all((0..10).map(|_| fetch_traced(&plugin, "get", &params))).await;
    let answers = |requests: &[damper_plugins::RequestTrace]| -> Vec<_> {
        requests.iter().map(|request| (request.url.contains("/token"), request.outcome.clone().unwrap())).collect()
    };
    let mut asked = 0;
    for fetch in all {
        let answers = answers(&fetch.requests);
        asked += answers.iter().filter(|(is_token, _)| *is_token).count();
        assert_eq!(answers.last(), Some(&(false, 200)), "{answers:?}");
        assert_eq!(fetch.report.requests as usize, answers.len());
    }
    assert_eq!((asked, token_api.token_request_count()), (1, 2));
    *token_api.is_open.lock().unwrap() = false;
    pass(Duration::from_secs(61)).await;
    for _ in 0..5 {
        assert_eq!(status().await, 401);
    }
    assert_eq!(token_api.token_request_count(), 3, "once a minute, whatever the API says");
}

#[tokio::test]
async fn a_wrong_client_is_unauthorized_and_does_not_hammer() {
    let token_api = TokenApi::start().await;
    token_api
        .refuse(Some(|| reply(400, &[], r#"{"error": "invalid_client", "error_description": "hunter2 is wrong"}"#)));
    let plugin = token_api.plugin();
    let params = token_api.params();
    let all = join_all((0..20).map(|_| fetch(&plugin, "get", &params))).await;
    for failure in all {
        let failure = failure.unwrap_err();
        assert_eq!((&failure.kind, failure.status), (&FailureKind::Unauthorized, Some(400)));
        assert!(failure.message.ends_with("/token: its response is 400 (invalid_client)"), "{failure}");
    }
    assert_eq!(
        fetch(&plugin, "get-all", &token_api.params()).await.map(drop),
        Ok(()),
        "a record all the same is a record"
    );
    assert_eq!((token_api.token_request_count(), token_api.requests_to("/").len()), (1, 0));
    pass(Duration::from_secs(61)).await;
    assert!(fetch(&plugin, "get", &token_api.params()).await.is_err());
    assert_eq!(token_api.token_request_count(), 2);
}

#[tokio::test]
async fn a_clients_rotated_secret_is_read_again_where_it_is_refused() {
    let token_api = TokenApi::start().await;
    let vault = Vault::holding("the-id:old-secret");
    let setup = Setup::new(&[&token_api.origin]);
    let binding = token_api.binding(vault.binding(&[&token_api.origin]));
    let plugin =
        setup.credential("client", CredentialKind::Oauth2ClientCredentials(TokenSettings::default()), binding).plugin();
    assert_eq!(fetch_json(&plugin, "get", &token_api.params()).await["status"], 200);
    pass(Duration::from_secs(1_001)).await;
    vault.put("the-id:new-secret");
    token_api.refuse(Some(|| reply(401, &[], "")));
    assert_eq!(fetch(&plugin, "get", &token_api.params()).await.unwrap_err().kind, FailureKind::Unauthorized);
    token_api.refuse(None);
    pass(Duration::from_secs(61)).await;
    assert_eq!(fetch_json(&plugin, "get", &token_api.params()).await["status"], 200);
    let sent: Vec<String> =
        token_api.requests_to("/token").iter().map(|asked| asked.headers["authorization"].clone()).collect();
    let (old, new) = ("Basic dGhlLWlkOm9sZC1zZWNyZXQ=", "Basic dGhlLWlkOm5ldy1zZWNyZXQ=");
    assert_eq!(sent, [old, old, new, new]);
    assert_eq!(vault.reads(), 2);
}

#[tokio::test]
async fn an_endpoint_that_throttles_or_fails_is_told_as_that_and_left_alone() {
    let cases: [(Refusing, FailureKind, u16); 2] = [
        (|| reply(429, &[("retry-after", "7")], "slow"), FailureKind::Throttled, 429),
        (|| reply(503, &[("retry-after", "7")], "down"), FailureKind::Unavailable, 503),
    ];
    for (refusal, kind, status) in cases {
        let token_api = TokenApi::start().await;
        token_api.refuse(Some(refusal));
        let plugin = token_api.plugin();
        for _ in 0..3 {
            let failure = fetch(&plugin, "get", &token_api.params()).await.unwrap_err();
            assert_eq!((&failure.kind, failure.status), (&kind, Some(status)));
            assert!(failure.retry_after.is_some_and(|wait| wait > Duration::from_secs(5)), "{failure:?}");
            assert!(failure.is_of_token_endpoint, "{failure:?}");
        }
        assert_eq!(token_api.token_request_count(), 1);
        token_api.refuse(None);
        pass(Duration::from_secs(8)).await;
        assert_eq!(fetch_json(&plugin, "get", &token_api.params()).await["status"], 200);
    }
}

#[tokio::test]
async fn while_the_endpoint_refuses_requests_with_a_token_are_sent_and_token_requests_wait() {
    let token_api = TokenApi::start().await;
    let plugin = token_api.plugin();
    let status = async || fetch_json(&plugin, "get", &token_api.params()).await["status"].as_u64().unwrap();
    assert_eq!(status().await, 200);
    token_api.refuse(Some(|| reply(429, &[("retry-after", "90")], "slow")));
    pass(Duration::from_secs(901)).await;
    // The early renewal is refused; it is tried again after 90 s, not after 30 s as otherwise.
    for _ in 0..3 {
        assert_eq!(status().await, 200);
        pass(Duration::from_secs(29)).await;
    }
    assert_eq!(token_api.token_request_count(), 2);
    // A token that the API refuses cannot be replaced meanwhile, and the endpoint is not asked.
    *token_api.is_open.lock().unwrap() = false;
    let failure = fetch(&plugin, "get", &token_api.params()).await.unwrap_err();
    assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::Throttled, true), "{failure}");
    assert_eq!(token_api.token_request_count(), 2);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_told_from_the_api() {
    let token_api = TokenApi::start().await;
    token_api.refuse(Some(|| Reply::Never));
    let plugin = token_api.plugin();
    let request = request_with_timeout("get", &token_api.params(), Duration::from_millis(600));
    let report = plugin.fetch(request, Permits::new(0)).await;
    let failure = report.outcome.unwrap_err();
    assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::TimedOut, true), "{failure}");
    assert!(failure.message.starts_with("no token for the credential \"client\""), "{failure}");
    assert!(report.unanswered_since.is_some(), "its permit is kept until the endpoint must be done");
}

#[tokio::test]
async fn the_endpoint_is_within_the_egress_policy() {
    let elsewhere = Server::start(|_| reply(200, &[], "")).await;
    let location = elsewhere.origin("other.test");
    let token_api = Server::start(move |_| redirect(307, &location)).await;
    let origin = token_api.origin("api.test");
    let plugin = |url: &str| {
        let tokens = TokenEndpoint {
            url: url.parse().unwrap(),
            scopes: Vec::new(),
            client_auth: ClientAuth::Body,
            audience: None,
        };
        let secret = SecretBinding::constant("the-id:hunter2", vec![origin.clone()]);
        let binding = SecretBinding { tokens: Some(tokens), ..secret };
        let setup = Setup::new(&[&origin, &elsewhere.origin("other.test")]);
        setup.credential("client", CredentialKind::Oauth2ClientCredentials(TokenSettings::default()), binding).plugin()
    };
    let params = [("url", origin.as_str()), ("credential", "client")];
    for (url, why) in [
        (format!("{origin}/token"), "redirects are not followed"),
        (token_api.origin("127.0.0.1"), "loopback"),
        ("https://inside.test/token".to_owned(), "a loopback address"),
        ("http://outside.example/token".to_owned(), "only https"),
    ] {
        let failure = fetch(&plugin(&url), "get", &params).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken, "{failure}");
        assert!(failure.message.contains(why), "{failure}");
    }
    assert!(elsewhere.requests().is_empty());
    assert_eq!(token_api.requests().len(), 1);
    // The guest itself may not go there, though the host may for a token.
    let refused = fetch(&plugin("https://auth.example/token"), "get", &[("url", "https://auth.example/token")]).await;
    assert!(refused.unwrap_err().message.contains("does not list it"));
}

#[tokio::test]
async fn a_token_is_asked_for_within_quota_and_permits() {
    let token_api = TokenApi::start().await;
    let plugin = token_api.plugin();
    let report = plugin.fetch(request("get", &token_api.params()), Permits::within(0, Budget::of(1))).await;
    assert_eq!(report.outcome.unwrap_err().kind, FailureKind::OutOfQuota);
    assert_eq!(
        (report.requests, token_api.server.requests().len()),
        (1, 1),
        "the token was the last that could be sent"
    );
    let plugin = token_api.plugin();
    let report = plugin.fetch(request("get", &token_api.params()), Permits::within(0, Budget::of(0))).await;
    assert_eq!(report.outcome.unwrap_err().kind, FailureKind::OutOfQuota);
    assert_eq!((report.requests, token_api.server.requests().len()), (0, 1));
    token_api.refuse(Some(|| Reply::Never));
    let report = plugin
        .fetch(request_with_timeout("get", &token_api.params(), Duration::from_millis(300)), Permits::new(0))
        .await;
    assert_eq!(report.outcome.unwrap_err().kind, FailureKind::TimedOut);
    assert!(report.unanswered_since.is_some(), "its permit is kept until the endpoint must be done");
    token_api.refuse(None);
    assert_eq!(fetch_json(&plugin, "get", &token_api.params()).await["status"], 200, "the next fetch asks again");
}

#[tokio::test]
async fn a_token_goes_to_its_hosts_only() {
    let other = Server::start(|asked| reply(200, &[], format!("{:?}", asked.headers))).await;
    let token_api = TokenApi::start().await;
    let elsewhere = other.origin("other.test");
    let to = elsewhere.clone();
    let api = Server::start(move |_| redirect(302, &to)).await;
    let origin = api.origin("api.test");
    let secret = SecretBinding::constant("the-id:hunter2", vec![origin.clone()]);
    let setup = Setup::new(&[&token_api.origin, &origin, &elsewhere]);
    let plugin = setup
        .credential(
            "client",
            CredentialKind::Oauth2ClientCredentials(TokenSettings::default()),
            token_api.binding(secret),
        )
        .plugin();
    assert_eq!(fetch_json(&plugin, "get", &[("url", &origin), ("credential", "client")]).await["status"], 200);
    assert_eq!(api.requests()[0].headers["authorization"], "Bearer t0ken-1");
    assert!(!other.requests()[0].headers.contains_key("authorization"));
    let refused = fetch(&plugin, "get", &[("url", &elsewhere), ("credential", "client")]).await.unwrap_err();
    assert!(refused.message.contains("may not be sent to"), "{refused}");
    assert_eq!(other.requests().len(), 1);
}
