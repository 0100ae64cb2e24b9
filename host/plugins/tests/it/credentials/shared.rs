//! Tokens that two hosts share by one store, as two processes do, against a token server that counts.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_core::testing::tokens::{MemoryTokenStore, TokenStoreFault};
use damper_core::token_store::{LONGEST_TOKEN_LEASE, TokenKey, TokenLease, TokenRow, TokenStore};
use damper_local::{Database, SqliteTokens};
use damper_plugins::grants::SecretBinding;
use damper_plugins::{HostOptions, Plugin, PluginHost, TokenSharing};
use serde_json::Value;

use super::pass;
use super::tokens::TokenApi;
use crate::common::server::reply;
use crate::common::{HOSTILE, Setup, fetch, fetch_json, options};

const KEY: TokenKey<'_> = TokenKey { provider: "hostile", credential: "client" };
const SECRET: &str = "the-id:hunter2";

/// A token server and the store that its clients share.
struct Shared {
    token_api: TokenApi,
    store: Arc<MemoryTokenStore>,
    clock: WallClock,
}

impl Shared {
    async fn start() -> Self {
        let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap());
        Self { token_api: TokenApi::start().await, store: Arc::default(), clock }
    }

    /// A plugin of a host of its own, as another process has it.
    fn plugin(&self) -> Plugin {
        self.plugin_with(SECRET, self.store.clone())
    }

    fn plugin_with(&self, secret: &str, store: Arc<dyn TokenStore>) -> Plugin {
        let token_sharing = Some(TokenSharing::new(store, self.clock.clone()));
        let cache = std::path::PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/damper-plugins"));
        let host = PluginHost::new(HostOptions { token_sharing, ..options(Some(cache)) }).unwrap();
        let binding = SecretBinding::constant(secret, vec![self.token_api.origin.clone()]);
        let kind = CredentialKind::Oauth2ClientCredentials(TokenSettings::default());
        let setup = Setup::new(&[&self.token_api.origin]);
        setup.credential("client", kind, self.token_api.binding(binding)).plugin_of(&host)
    }

    async fn fetch(&self, plugin: &Plugin) -> Value {
        fetch_json(plugin, "get", &self.token_api.params()).await
    }

    async fn status(&self, plugin: &Plugin) -> u64 {
        self.fetch(plugin).await["status"].as_u64().unwrap()
    }

    /// The statuses of two fetches at once, and the number of requests for a token so far.
    async fn both(&self, one: &Plugin, other: &Plugin) -> (u64, u64, usize) {
        let (first, second) = tokio::join!(self.status(one), self.status(other));
        (first, second, self.token_api.token_request_count())
    }

    fn put(&self, row: TokenRow) {
        self.store.put_row(KEY, row);
    }

    fn foreign_lease(&self, time: Duration) -> Option<TokenLease> {
        Some(TokenLease { owner: "another process".to_owned(), until: self.clock.now() + time })
    }
}

#[test]
fn the_provider_of_these_tests_is_the_one_of_the_rows() {
    assert_eq!(HOSTILE.manifest.name, KEY.provider);
}

#[tokio::test]
async fn two_hosts_on_one_store_ask_for_one_token_at_a_time() {
    let shared = Shared::start().await;
    let (one, other) = (shared.plugin(), shared.plugin());
    assert_eq!(shared.both(&one, &other).await, (200, 200, 1));
    assert_eq!(shared.status(&shared.plugin()).await, 200, "a process that starts later");
    pass(Duration::from_secs(901)).await;
    assert_eq!(shared.both(&one, &other).await, (200, 200, 2), "replaced early, once");
    pass(Duration::from_secs(1)).await;
    assert_eq!(shared.both(&one, &other).await, (200, 200, 2));
    pass(Duration::from_secs(1_001)).await;
    assert_eq!(shared.both(&one, &other).await, (200, 200, 3), "after its end");
}

#[tokio::test]
async fn a_token_of_another_process_is_scrubbed_like_a_secret() {
    let shared = Shared::start().await;
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    // The API tells back what it was sent.
    let answer = shared.fetch(&shared.plugin()).await.to_string();
    assert!(answer.contains("[secret]") && !answer.contains("t0ken"), "{answer}");
    assert_eq!(shared.token_api.token_request_count(), 1);
}

#[tokio::test]
async fn two_hosts_that_see_the_same_refusal_ask_once() {
    let shared = Shared::start().await;
    let (one, other) = (shared.plugin(), shared.plugin());
    assert_eq!(shared.both(&one, &other).await, (200, 200, 1));
    // The API no longer accepts the tokens that it returned.
    shared.token_api.given.fetch_add(10, Ordering::SeqCst);
    assert_eq!(shared.both(&one, &other).await, (200, 200, 2));
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    assert_eq!(shared.token_api.token_request_count(), 2, "the stored one was replaced");
}

#[tokio::test]
async fn a_refused_token_is_not_left_for_other_processes() {
    let shared = Shared::start().await;
    let one = shared.plugin();
    assert_eq!(shared.status(&one).await, 200);
    shared.token_api.given.fetch_add(10, Ordering::SeqCst);
    shared.token_api.refuse(Some(|| reply(503, &[], "")));
    assert!(fetch(&one, "get", &shared.token_api.params()).await.is_err());
    let row = shared.store.row(KEY);
    assert_eq!((row.sealed, row.lease), (None, None));
}

#[tokio::test]
async fn who_waits_for_a_process_that_died_asks_when_its_lease_has_run_out() {
    let shared = Shared::start().await;
    shared.put(TokenRow { version: 3, lease: shared.foreign_lease(LONGEST_TOKEN_LEASE), ..TokenRow::default() });
    let plugin = shared.plugin();
    let waiting = shared.status(&plugin);
    let time_passes = async {
        while shared.store.calls() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(shared.token_api.token_request_count(), 0);
        pass(LONGEST_TOKEN_LEASE).await;
    };
    let (status, ()) = tokio::join!(waiting, time_passes);
    assert_eq!((status, shared.token_api.token_request_count()), (200, 1));
}

#[tokio::test]
async fn a_lease_in_the_far_future_stops_nobody() {
    let shared = Shared::start().await;
    shared.put(TokenRow { version: 3, lease: shared.foreign_lease(Duration::from_hours(1)), ..TokenRow::default() });
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    assert_eq!(shared.token_api.token_request_count(), 1);
}

#[tokio::test]
async fn a_late_token_does_not_replace_a_newer_one() {
    static STORE: OnceLock<Arc<MemoryTokenStore>> = OnceLock::new();
    fn newer() -> TokenRow {
        TokenRow { version: 9, sealed: Some(b"newer".to_vec()), ..TokenRow::default() }
    }
    let shared = Shared::start().await;
    assert!(STORE.set(shared.store.clone()).is_ok());
    // Its lease ran out while it waited for the endpoint, and another process was faster.
    shared.token_api.refuse(Some(|| {
        STORE.get().unwrap().put_row(KEY, newer());
        reply(200, &[], r#"{"access_token": "t0ken-0", "token_type": "Bearer", "expires_in": 1000}"#)
    }));
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    assert_eq!((shared.store.row(KEY), shared.token_api.token_request_count()), (newer(), 1));
}

#[tokio::test]
async fn a_store_with_faults_fails_no_fetch() {
    // Each asks for itself; whose answers alone are lost, shares all the same.
    for (fault, requests) in [(TokenStoreFault::Fails, 2), (TokenStoreFault::LosesAnswers, 1)] {
        let shared = Shared::start().await;
        shared.store.set_fault(fault);
        assert_eq!(shared.status(&shared.plugin()).await, 200, "{fault:?}");
        assert_eq!(shared.status(&shared.plugin()).await, 200, "{fault:?}");
        assert_eq!(shared.token_api.token_request_count(), requests, "{fault:?}");
    }
    let shared = Shared::start().await;
    shared.store.set_fault(TokenStoreFault::Hangs);
    let plugin = shared.plugin();
    let time_passes = async {
        while shared.store.calls() == 0 {
            tokio::task::yield_now().await;
        }
        pass(Duration::from_secs(2)).await;
    };
    let (status, ()) = tokio::join!(shared.status(&plugin), time_passes);
    assert_eq!((status, shared.token_api.token_request_count()), (200, 1));
    shared.store.set_fault(TokenStoreFault::None);
    pass(Duration::from_secs(1_001)).await;
    assert_eq!(shared.both(&plugin, &shared.plugin()).await, (200, 200, 2), "shared again");
}

#[tokio::test]
async fn a_row_that_cannot_be_opened_is_ignored_and_overwritten() {
    for sealed in [Vec::new(), b"t0ken".to_vec(), vec![1; 70_000]] {
        let shared = Shared::start().await;
        shared.put(TokenRow { version: 4, sealed: Some(sealed), ..TokenRow::default() });
        assert_eq!(shared.status(&shared.plugin()).await, 200);
        assert_eq!(shared.status(&shared.plugin()).await, 200);
        assert_eq!(shared.token_api.token_request_count(), 1);
    }
}

#[tokio::test]
async fn another_secret_gets_a_token_of_its_own() {
    let shared = Shared::start().await;
    assert_eq!(shared.status(&shared.plugin()).await, 200);
    let changed = shared.plugin_with("the-id:another", shared.store.clone());
    assert_eq!((shared.status(&changed).await, shared.token_api.token_request_count()), (200, 2));
}

#[tokio::test]
async fn a_refusal_of_the_endpoint_gives_the_lease_back() {
    let shared = Shared::start().await;
    shared.token_api.refuse(Some(|| reply(429, &[("retry-after", "90")], "slow")));
    assert!(fetch(&shared.plugin(), "get", &shared.token_api.params()).await.is_err());
    assert_eq!(shared.store.row(KEY).lease, None);
    shared.token_api.refuse(None);
    assert_eq!(shared.status(&shared.plugin()).await, 200, "the refusal is of the process that was refused");
}

#[tokio::test]
async fn a_database_holds_neither_the_token_nor_the_secret() {
    let shared = Shared::start().await;
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteTokens::new(Database::open(folder.path().join("damper.db")).unwrap()));
    assert_eq!(shared.status(&shared.plugin_with(SECRET, open())).await, 200);
    assert_eq!(shared.status(&shared.plugin_with(SECRET, open())).await, 200);
    assert_eq!(shared.token_api.token_request_count(), 1);
    assert!(open().read_token(KEY).await.unwrap().sealed.is_some());
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let content: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
    let holds = |text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("hostile") && holds("client"), "the row is there");
    for text in ["t0ken", "hunter2", "the-id", "dDBrZW4", "aHVudGVyMg"] {
        assert!(!holds(text), "{text}");
    }
}
