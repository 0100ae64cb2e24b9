//! Refresh tokens, against a server that replaces each one with its use and refuses one that was used.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_core::record::{Failure, FailureKind};
use damper_core::testing::tokens::{MemoryTokenStore, TokenStoreFault};
use damper_plugins::grants::{ClientAuth, SecretBinding, TokenEndpoint};
use damper_plugins::{HostOptions, LoadError, Plugin, PluginHost, TokenSharing};
use serde_json::{Value, json};

use super::pass;
use crate::common::server::{Reply, Server, reply};
use crate::common::vault::Vault;
use crate::common::{HOSTILE, Setup, fetch, fetch_json, options};

/// What the server has given out.
#[derive(Default)]
struct Grants {
    /// The number of the refresh token that it accepts.
    current: u32,
    /// The requests for a token: their bodies.
    asked: Vec<String>,
    /// Whether it also accepts the token before the current one, as after an answer that was lost.
    has_grace: bool,
    /// Whether the next answer is lost, after the token was replaced.
    loses_next: bool,
    /// How often a refresh token came that was used already.
    reused: u32,
    /// What the secret's place held at each request to the API.
    seen: Vec<String>,
}

struct RefreshApi {
    _server: Server,
    origin: String,
    grants: Arc<Mutex<Grants>>,
    store: Arc<MemoryTokenStore>,
    clock: WallClock,
}

impl RefreshApi {
    /// `vault` is looked at with each request to the API.
    async fn start(vault: Option<Arc<Vault>>) -> Self {
        let grants = Arc::new(Mutex::new(Grants { current: 1, ..Grants::default() }));
        let held = Arc::clone(&grants);
        let server = Server::start(move |asked| {
            let mut grants = held.lock().unwrap();
            if asked.path != "/token" {
                grants.seen.extend(vault.as_ref().map(|vault| vault.content()));
                let newest = format!("Bearer t0ken-{}", grants.current);
                let is_accepted = asked.headers.get("authorization") == Some(&newest);
                return reply(if is_accepted { 200 } else { 401 }, &[], "");
            }
            answer_token_request(&mut grants, String::from_utf8(asked.body.clone()).unwrap())
        });
        let server = server.await;
        let origin = server.origin("api.test");
        let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap());
        Self { _server: server, origin, grants, store: Arc::default(), clock }
    }

    fn grants<T>(&self, look: impl FnOnce(&mut Grants) -> T) -> T {
        look(&mut self.grants.lock().unwrap())
    }

    /// A plugin of a host of its own, as another process has it; with the shared store or without.
    fn load(&self, binding: SecretBinding, is_shared: bool) -> Result<Plugin, LoadError> {
        let sharing = TokenSharing::new(self.store.clone(), self.clock.clone());
        let cache = std::path::PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/damper-plugins"));
        let host_options = HostOptions { token_sharing: is_shared.then_some(sharing), ..options(Some(cache)) };
        let url = format!("{}/token", self.origin).parse().unwrap();
        let tokens = TokenEndpoint { url, scopes: Vec::new(), client_auth: ClientAuth::Basic, audience: None };
        let binding = SecretBinding { tokens: Some(tokens), ..binding };
        let kind = CredentialKind::Oauth2RefreshToken(TokenSettings::default());
        let Setup { manifest, grants } = Setup::new(&[&self.origin]).credential("client", kind, binding);
        PluginHost::new(host_options).unwrap().load(&HOSTILE, manifest, grants)
    }

    fn plugin(&self, vault: &Arc<Vault>) -> Plugin {
        self.load(vault.binding(&[&self.origin]), true).unwrap()
    }

    fn params(&self) -> [(&str, &str); 2] {
        [("url", &self.origin), ("credential", "client")]
    }

    async fn status(&self, plugin: &Plugin) -> u64 {
        fetch_json(plugin, "get", &self.params()).await["status"].as_u64().unwrap()
    }

    async fn failure(&self, plugin: &Plugin) -> Failure {
        fetch(plugin, "get", &self.params()).await.unwrap_err()
    }

    /// The number of requests for a token, and how many of them had a refresh token that was used.
    fn counts(&self) -> (usize, u32) {
        self.grants(|grants| (grants.asked.len(), grants.reused))
    }
}

fn answer_token_request(grants: &mut Grants, body: String) -> Reply {
    let is_token = |number: u32| body.contains(&format!("refresh_token=refresh-{number}-swordfish"));
    let (is_current, is_previous) = (is_token(grants.current), is_token(grants.current - 1));
    grants.asked.push(body);
    let is_accepted = is_current || (grants.has_grace && is_previous);
    if !is_accepted {
        grants.reused += 1;
        return reply(400, &[], r#"{"error": "invalid_grant"}"#);
    }
    grants.current += u32::from(is_current);
    if std::mem::take(&mut grants.loses_next) {
        return Reply::Last(Vec::new());
    }
    let number = grants.current;
    let body = json!({ "access_token": format!("t0ken-{number}"), "refresh_token": refresh_token(number),
        "token_type": "Bearer", "expires_in": 1000 });
    reply(200, &[], body.to_string())
}

fn refresh_token(number: u32) -> String {
    format!("refresh-{number}-swordfish")
}

fn secret(number: u32) -> String {
    json!({ "client_id": "app", "client_secret": "hunter2", "refresh_token": refresh_token(number) }).to_string()
}

fn held_token(vault: &Vault) -> String {
    let content: Value = serde_json::from_str(&vault.content()).unwrap();
    content["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_refresh_token_is_written_before_its_token_is_used() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(Some(vault.clone())).await;
    let plugin = api.plugin(&vault);
    for number in 2..5 {
        assert_eq!(api.status(&plugin).await, 200);
        assert_eq!(held_token(&vault), refresh_token(number));
        assert!(api.grants(|grants| grants.seen.last().unwrap().contains(&refresh_token(number))));
        pass(Duration::from_secs(1_001)).await;
    }
    assert_eq!(api.counts(), (3, 0));
    let content: Value = serde_json::from_str(&vault.content()).unwrap();
    assert_eq!((&content["client_id"], &content["client_secret"]), (&json!("app"), &json!("hunter2")));
    assert_eq!(
        api.grants(|grants| grants.asked[0].clone()),
        "grant_type=refresh_token&refresh_token=refresh-1-swordfish"
    );
}

#[tokio::test]
async fn a_public_client_names_itself_in_the_body() {
    let text = json!({ "client_id": "the app", "refresh_token": refresh_token(1) }).to_string();
    let vault = Vault::writable(&text);
    let api = RefreshApi::start(None).await;
    assert_eq!(api.status(&api.plugin(&vault)).await, 200);
    assert!(api.grants(|grants| grants.asked[0].ends_with("&client_id=the+app")));
}

#[tokio::test]
async fn two_hosts_never_use_one_refresh_token_twice() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    let (one, other) = (api.plugin(&vault), api.plugin(&vault));
    for requests in 1..4 {
        assert_eq!(tokio::join!(api.status(&one), api.status(&other)), (200, 200));
        assert_eq!(api.counts(), (requests, 0));
        pass(Duration::from_secs(1_001)).await;
    }
    // The API refuses what it gave out: both need the next one at once.
    assert_eq!(api.status(&one).await, 200);
    let next = api.plugin(&vault);
    assert_eq!((api.status(&next).await, api.counts()), (200, (4, 0)));
}

#[tokio::test]
async fn without_a_store_the_secret_is_read_again_where_another_process_has_replaced_it() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    let [one, other] = [(); 2].map(|()| api.load(vault.binding(&[&api.origin]), false).unwrap());
    assert_eq!(api.status(&one).await, 200);
    assert_eq!(api.status(&other).await, 200);
    assert_eq!(api.counts(), (2, 0));
}

#[tokio::test]
async fn a_refresh_token_that_its_place_cannot_hold_is_kept_in_the_store() {
    let api = RefreshApi::start(None).await;
    let variable = || SecretBinding::constant(secret(1), vec![api.origin.clone()]);
    for requests in 1..4 {
        // A new process each time, which starts with the same variable.
        let plugin = api.load(variable(), true).unwrap();
        assert_eq!(api.status(&plugin).await, 200);
        assert_eq!(api.counts(), (requests, 0));
        pass(Duration::from_secs(1_001)).await;
    }
    let row = api.store.row(damper_core::token_store::TokenKey { provider: "hostile", credential: "client" });
    assert_eq!(row.expires, None, "the row is the only place");
    assert!(!String::from_utf8_lossy(&row.sealed.unwrap()).contains("swordfish"));
    let Err(error) = api.load(variable(), false) else { panic!("a new refresh token would be lost") };
    assert!(error.to_string().contains("put the secret into a file"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_is_followed_by_the_old_refresh_token() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    api.grants(|grants| (grants.has_grace, grants.loses_next) = (true, true));
    let plugin = api.plugin(&vault);
    assert_eq!(api.failure(&plugin).await.kind, FailureKind::Unavailable);
    assert_eq!(held_token(&vault), refresh_token(1));
    pass(Duration::from_secs(2)).await;
    assert_eq!(api.status(&plugin).await, 200);
    assert_eq!((held_token(&vault), api.counts()), (refresh_token(2), (2, 0)));
}

#[tokio::test]
async fn a_refresh_token_that_is_no_longer_accepted_is_a_failure_that_says_what_to_do() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    api.grants(|grants| grants.loses_next = true);
    let plugin = api.plugin(&vault);
    assert_eq!(api.failure(&plugin).await.kind, FailureKind::Unavailable);
    pass(Duration::from_secs(2)).await;
    for _ in 0..3 {
        let failure = api.failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::Unauthorized);
        for part in ["(invalid_grant)", "\"client\"", "authorise the client anew", "into the vault"] {
            assert!(failure.message.contains(part), "{failure}");
        }
        assert!(!failure.message.contains("swordfish"), "{failure}");
        pass(Duration::from_secs(61)).await;
    }
    assert_eq!(api.counts(), (2, 1), "the endpoint is not asked with it again");
    // Somebody has authorised the client anew.
    vault.put(&secret(2));
    assert_eq!(api.status(&plugin).await, 200);
    assert_eq!(held_token(&vault), refresh_token(3));
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_written_is_kept_and_its_token_waits() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    vault.set_write_fault(Some("the disk is full"));
    let plugin = api.plugin(&vault);
    for _ in 0..2 {
        let failure = api.failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("cannot be written to the vault: the disk is full"), "{failure}");
        pass(Duration::from_secs(5)).await;
    }
    assert_eq!(held_token(&vault), refresh_token(1));
    vault.set_write_fault(None);
    assert_eq!(api.status(&plugin).await, 200);
    assert_eq!((held_token(&vault), api.counts()), (refresh_token(2), (1, 0)));
}

#[tokio::test]
async fn a_refresh_token_is_not_used_while_the_store_fails() {
    let vault = Vault::writable(&secret(1));
    let api = RefreshApi::start(None).await;
    api.store.set_fault(TokenStoreFault::Fails);
    let plugin = api.plugin(&vault);
    let failure = api.failure(&plugin).await;
    assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::Unavailable, true), "{failure}");
    assert_eq!(api.counts(), (0, 0));
    api.store.set_fault(TokenStoreFault::None);
    assert_eq!(api.status(&plugin).await, 200);
}
