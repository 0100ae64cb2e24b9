//! Several keys of one credential, against an API that counts by key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::budget::Budget;
use damper_core::fetcher::{Fetcher, Permits};
use damper_core::manifest::CredentialKind;
use damper_core::record::FailureKind;
use damper_plugins::Plugin;
use damper_plugins::grants::{FurtherKey, Secret, SecretBinding};

use super::pass;
use crate::common::server::{Server, reply};
use crate::common::{Setup, fetch, fetch_json, request, text};

/// The API's response to each key: its status and its Retry-After in seconds.
type Answers = Arc<Mutex<BTreeMap<&'static str, (u16, Option<u32>)>>>;

struct KeyedApi {
    server: Server,
    origin: String,
    answers: Answers,
}

impl KeyedApi {
    async fn start(answers: &[(&'static str, (u16, Option<u32>))]) -> Self {
        let answers: Answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let held = Arc::clone(&answers);
        let server = Server::start(move |asked| {
            let key = asked.headers["authorization"].trim_start_matches("Bearer ").to_owned();
            let (status, retry_after) = held.lock().unwrap()[&*key];
            let retry_after = retry_after.map(|seconds| seconds.to_string());
            let headers: Vec<_> = retry_after.iter().map(|seconds| ("retry-after", &**seconds)).collect();
            reply(status, &headers, format!("{:?}", asked.headers))
        });
        let server = server.await;
        let origin = server.origin("api.test");
        Self { server, origin, answers }
    }

    fn set(&self, key: &'static str, status: u16) {
        self.answers.lock().unwrap().insert(key, (status, None));
    }

    /// A plugin with the keys `key-one` and `key-two`.
    fn plugin(&self) -> Plugin {
        let key = Secret::new("key-two");
        let source = Arc::new(key.clone());
        let more_keys =
            vec![FurtherKey { source, place: "the second place".to_owned(), known: Some(key), limit: None }];
        let binding = SecretBinding { more_keys, ..SecretBinding::constant("key-one", vec![self.origin.clone()]) };
        Setup::new(&[&self.origin]).credential("pool", CredentialKind::Bearer, binding).plugin()
    }

    fn params(&self) -> [(&str, &str); 2] {
        [("url", &self.origin), ("credential", "pool")]
    }

    async fn status(&self, plugin: &Plugin) -> u64 {
        fetch_json(plugin, "get", &self.params()).await["status"].as_u64().unwrap()
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
async fn keys_are_used_in_turn_and_all_are_scrubbed() {
    let api = KeyedApi::start(&[("key-one", (200, None)), ("key-two", (200, None))]).await;
    let plugin = api.plugin();
    for _ in 0..4 {
        let body = text(&plugin, "get", &api.params()).await;
        assert!(body.contains("[secret]") && !body.contains("key-"), "{body}");
    }
    assert_eq!(api.counts(), (2, 2));
}

#[tokio::test]
async fn a_key_that_is_throttled_rests_alone_for_as_long_as_the_api_says() {
    let api = KeyedApi::start(&[("key-one", (429, Some(60))), ("key-two", (200, None))]).await;
    let plugin = api.plugin();
    for _ in 0..3 {
        assert_eq!(api.status(&plugin).await, 200);
    }
    assert_eq!(api.counts(), (1, 3));
    api.set("key-one", 200);
    pass(Duration::from_secs(61)).await;
    for _ in 0..2 {
        assert_eq!(api.status(&plugin).await, 200);
    }
    assert_eq!(api.counts(), (2, 4));
}

#[tokio::test]
async fn if_all_keys_rest_fetches_are_throttled_until_the_first_may_be_used() {
    let api = KeyedApi::start(&[("key-one", (429, Some(60))), ("key-two", (429, Some(30)))]).await;
    let plugin = api.plugin();
    assert_eq!(api.status(&plugin).await, 429, "the last response is the guest's");
    let failure = fetch(&plugin, "get", &api.params()).await.unwrap_err();
    assert_eq!((&failure.kind, failure.is_of_token_endpoint), (&FailureKind::Throttled, false));
    let wait = failure.retry_after.unwrap();
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(api.counts(), (1, 1));
    api.set("key-two", 200);
    pass(Duration::from_secs(31)).await;
    assert_eq!((api.status(&plugin).await, api.counts()), (200, (1, 2)));
}

#[tokio::test]
async fn a_key_that_the_api_does_not_accept_rests_if_it_accepts_another() {
    for status in [401, 403] {
        let api = KeyedApi::start(&[("key-one", (status, None)), ("key-two", (200, None))]).await;
        let plugin = api.plugin();
        for _ in 0..3 {
            assert_eq!(api.status(&plugin).await, 200);
        }
        assert_eq!(api.counts(), (1, 3), "{status}");
        pass(Duration::from_secs(601)).await;
        for _ in 0..2 {
            assert_eq!(api.status(&plugin).await, 200);
        }
        assert_eq!(api.counts().0, 2, "it is tried again after ten minutes");
    }
}

#[tokio::test]
async fn a_request_that_the_api_refuses_with_every_key_lets_none_rest() {
    let api = KeyedApi::start(&[("key-one", (403, None)), ("key-two", (403, None))]).await;
    let plugin = api.plugin();
    for fetches in 1..3 {
        assert_eq!(api.status(&plugin).await, 403);
        assert_eq!(api.counts(), (fetches, fetches));
    }
}

#[tokio::test]
async fn another_key_is_used_within_the_quota_of_requests() {
    let api = KeyedApi::start(&[("key-one", (429, Some(60))), ("key-two", (200, None))]).await;
    let report = api.plugin().fetch(request("get", &api.params()), Permits::within(0, Budget::of(1))).await;
    assert_eq!((report.outcome.unwrap_err().kind, report.requests), (FailureKind::OutOfQuota, 1));
    let report = api.plugin().fetch(request("get", &api.params()), Permits::within(0, Budget::of(2))).await;
    assert_eq!((report.outcome.map(drop), report.requests), (Ok(()), 2));
}
