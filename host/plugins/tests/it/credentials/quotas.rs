//! Keys with a daily quota, which two hosts use as two processes do, against an API that counts by key.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::fetcher::Fetcher;
use damper_core::key_usage::KeyUsageStore;
use damper_core::manifest::CredentialKind;
use damper_core::record::{Failure, FailureKind};
use damper_core::testing::key_usage::{FaultyKeyUsage, KeyUsageFault};
use damper_local::{Database, SqliteKeyUsage};
use damper_plugins::grants::{FurtherKey, KeyLimit, Secret, SecretBinding};
use damper_plugins::{HostOptions, KeyCounting, Plugin, PluginHost};

use crate::common::server::{Reply, Server, reply};
use crate::common::{Setup, fetch, options, report, request_with_timeout};

struct CountingApi {
    server: Server,
    origin: String,
    clock: WallClock,
}

impl CountingApi {
    /// `/hop` redirects, `/never` says nothing, `/refuse` does not accept `key-one`, and all else is good.
    async fn start() -> Self {
        let server = Server::start(|asked| match &*asked.path {
            "/hop" => reply(302, &[("location", "/")], ""),
            "/never" => Reply::Never,
            "/refuse" if asked.headers["authorization"].ends_with("key-one") => reply(401, &[], ""),
            _ => reply(200, &[], "{}"),
        });
        let server = server.await;
        let origin = server.origin("api.test");
        Self { server, origin, clock: WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap()) }
    }

    /// A plugin of a host of its own, as another process has it, with the keys `key-one` and, if it has a quota,
    /// `key-two`; a quota of zero is none.
    fn plugin(&self, store: Arc<dyn KeyUsageStore>, one: u64, two: Option<u64>) -> Plugin {
        let key_counting = Some(KeyCounting::new(store, self.clock.clone()));
        let cache = std::path::PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/damper-plugins"));
        let host = PluginHost::new(HostOptions { key_counting, ..options(Some(cache)) }).unwrap();
        let limit = |name: &str, quota| {
            NonZeroU64::new(quota).map(|daily_quota| KeyLimit { daily_quota, counted_as: name.to_owned() })
        };
        let key = Secret::new("key-two");
        let further = |quota| FurtherKey {
            source: Arc::new(key.clone()),
            place: "the second place".to_owned(),
            known: Some(key.clone()),
            limit: limit("two", quota),
        };
        let binding = SecretBinding {
            limit: limit("one", one),
            more_keys: two.map(further).into_iter().collect(),
            ..SecretBinding::constant("key-one", vec![self.origin.clone()])
        };
        Setup::new(&[&self.origin]).credential("pool", CredentialKind::Bearer, binding).plugin_of(&host)
    }

    async fn fetch(&self, plugin: &Plugin, path: &str) -> Result<(), Failure> {
        let url = format!("{}{path}", self.origin);
        fetch(plugin, "get", &[("url", &url), ("credential", "pool")]).await.map(drop)
    }

    /// Fetches until there is no key left, and returns the failure.
    async fn fetch_all(&self, plugin: &Plugin) -> Failure {
        loop {
            if let Err(failure) = self.fetch(plugin, "/").await {
                return failure;
            }
        }
    }

    /// The numbers of requests with the first and the second key.
    fn counts(&self) -> (usize, usize) {
        let with = |key: &str| {
            self.server.requests().iter().filter(|asked| asked.headers["authorization"].ends_with(key)).count()
        };
        (with("key-one"), with("key-two"))
    }
}

#[tokio::test]
async fn the_quota_of_each_key_holds_over_all_processes_and_restarts() {
    let (api, folder) = (CountingApi::start().await, tempfile::tempdir().unwrap());
    let process = || {
        let database = Database::open(folder.path().join("damper.db")).unwrap();
        api.plugin(Arc::new(SqliteKeyUsage::new(database)), 7, Some(12))
    };
    let [one, other] = [process(), process()];
    for _ in 0..2 {
        api.fetch(&one, "/").await.unwrap();
    }
    drop(one);
    let one = process();
    let ends = tokio::join!(api.fetch_all(&one), api.fetch_all(&other), api.fetch_all(&other));
    assert_eq!(api.counts(), (7, 12));
    for failure in [ends.0, ends.1, ends.2, api.fetch_all(&process()).await] {
        assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::Throttled, false));
        let wait = failure.retry_after.unwrap();
        assert!(wait > Duration::from_hours(13) && wait <= Duration::from_hours(14), "until midnight: {wait:?}");
        let expected = "the daily quotas of all keys of the credential \"pool\" are spent; fetches go on when the \
                        next day begins; to send more in a day, raise `daily_quota` or add a key under \
                        [providers.hostile.credentials.pool] in damper.toml";
        assert_eq!(failure.message, expected);
    }
    assert_eq!(api.counts(), (7, 12));
    let content: Vec<u8> = std::fs::read_dir(folder.path())
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!content.windows(4).any(|part| part == b"key-"), "the database holds no key");
}

#[tokio::test]
async fn hops_retries_and_requests_without_a_response_count() {
    let api = CountingApi::start().await;
    let store = Arc::new(FaultyKeyUsage::default());
    let plugin = api.plugin(store.clone(), 5, None);
    api.fetch(&plugin, "/hop").await.unwrap();
    let url = format!("{}/never", api.origin);
    let params = [("url", &*url), ("credential", "pool")];
    let never = request_with_timeout("get", &params, Duration::from_millis(500));
    assert_eq!(report(&plugin, never).await.outcome.unwrap_err().kind, FailureKind::TimedOut);
    api.fetch(&plugin, "/").await.unwrap();
    // The quota is spent between the hops.
    let failure = api.fetch(&plugin, "/hop").await.unwrap_err();
    assert_eq!((failure.kind, api.counts()), (FailureKind::Throttled, (5, 0)));

    let api = CountingApi::start().await;
    let plugin = api.plugin(Arc::new(FaultyKeyUsage::default()), 2, Some(3));
    for _ in 0..2 {
        api.fetch(&plugin, "/refuse").await.unwrap();
    }
    assert_eq!(api.counts(), (1, 2), "the request was sent again with the other key");
}

#[tokio::test]
async fn a_key_without_a_quota_goes_on_where_the_others_are_spent_or_cannot_be_counted() {
    let api = CountingApi::start().await;
    let store = Arc::new(FaultyKeyUsage::default());
    let plugin = api.plugin(store.clone(), 2, Some(0));
    for _ in 0..8 {
        api.fetch(&plugin, "/").await.unwrap();
    }
    assert_eq!(api.counts(), (2, 6));
    store.set_fault(KeyUsageFault::Fails);
    let plugin = api.plugin(store, 9, Some(0));
    for _ in 0..4 {
        api.fetch(&plugin, "/").await.unwrap();
    }
    assert_eq!(api.counts(), (2, 10));
}

#[tokio::test]
async fn nothing_is_sent_while_requests_cannot_be_counted() {
    let api = CountingApi::start().await;
    let store = Arc::new(FaultyKeyUsage::default());
    let plugin = api.plugin(store.clone(), 5, Some(5));
    store.set_fault(KeyUsageFault::Fails);
    let failure = api.fetch(&plugin, "/").await.unwrap_err();
    assert_eq!((&failure.kind, failure.retry_after), (&FailureKind::OutOfQuota, Some(Duration::from_secs(5))));
    assert!(failure.message.contains("\"pool\"") && failure.message.contains("it was told to fail"), "{failure}");
    assert_eq!((api.counts(), store.calls()), ((0, 0), 1), "the other key is counted in the same store");
    store.set_fault(KeyUsageFault::None);
    api.fetch(&plugin, "/").await.unwrap();
    plugin.return_unsent().await;
}
