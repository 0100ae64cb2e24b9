//! Requests side by side, and what they count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use damper_core::fetcher::{Fetcher, Permits};
use damper_plugins::{HostOptions, PluginHost};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::common::server::{Reply, Server, reply};
use crate::common::{Setup, fetch_json, options, request};

#[tokio::test]
async fn send_all_runs_side_by_side_as_far_as_there_is_room() {
    // The API answers only when three requests are there at the same time.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (barrier, at_once, most) =
        (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (barrier, at_once, most) = (Arc::clone(&barrier), Arc::clone(&at_once), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    barrier.wait().await;
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await.unwrap();
                }
            });
        }
    });
    let plugin = Setup::new(&[&origin]).plugin();
    let permits = Permits::new(2);
    let report = plugin.fetch(request("get-all", &[("url", &origin), ("count", "6")]), permits.clone()).await;
    let response: Vec<Value> = serde_json::from_slice(&report.outcome.unwrap().body).unwrap();
    assert!(response.len() == 6 && response.iter().all(|answer| answer["body"] == "x"), "{response:?}");
    assert_eq!((report.requests, most.load(Ordering::SeqCst), permits.available()), (6, 3, 2));
}

#[tokio::test]
async fn send_all_runs_one_after_another_where_there_is_no_room() {
    let server = Server::start(|_| reply(200, &[], "x")).await;
    let origin = server.origin("api.test");
    let response = fetch_json(&Setup::new(&[&origin]).plugin(), "get-all", &[("url", &origin), ("count", "5")]).await;
    assert_eq!(response.as_array().unwrap().len(), 5);
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn send_all_takes_sixty_four_requests_and_no_more() {
    let server = Server::start(|_| reply(200, &[], "x")).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).plugin();
    let ask = |count: &'static str| {
        let (plugin, origin) = (&plugin, &origin);
        async move { fetch_json(plugin, "get-all", &[("url", origin), ("count", count)]).await }
    };
    assert!(ask("65").await.to_string().contains("65 requests at once, and at most 64 are allowed"));
    assert!(server.requests().is_empty());
    ask("64").await;
    assert_eq!(server.requests().len(), 64);
    assert_eq!(ask("0").await, Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_request_without_an_answer_leaves_no_room_for_the_next() {
    let server = Server::start(|_| Reply::Never).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).plugin();
    let params = [("url", origin.as_str()), ("count", "4"), ("timeout-ms", "200")];
    let permits = Permits::new(1);
    let report = plugin.fetch(request("get-all", &params), permits.clone()).await;
    // Two went out, on the fetch's own permit and on the free one; both may still occupy the API.
    assert_eq!((report.requests, permits.available()), (2, 0));
    assert!(report.unanswered_since.is_some());
    let response = String::from_utf8(report.outcome.unwrap().body.to_vec()).unwrap();
    assert_eq!(
        (response.matches("timed out").count(), response.matches("allows no other").count()),
        (2, 2),
        "{response}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_beyond_the_hosts_room_wait() {
    let host = PluginHost::new(HostOptions { max_in_flight: 2, ..options(None) }).unwrap();
    let plugin = Arc::new(Setup::new(&[]).plugin_of(&host));
    let fetches = (0..50).map(|_| {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.fetch(request("ok", &[]), Permits::new(0)).await.outcome.is_ok() })
    });
    for fetch in fetches.collect::<Vec<_>>() {
        assert!(fetch.await.unwrap());
    }
}

#[tokio::test]
async fn connections_are_kept_for_the_next_fetch() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await.unwrap();
                }
            });
        }
    });
    let plugin = Setup::new(&[&origin]).plugin();
    for _ in 0..5 {
        fetch_json(&plugin, "get", &[("url", &origin)]).await;
        // The connection goes back to the pool in a task of its own.
        tokio::task::yield_now().await;
    }
    assert!(accepted.load(Ordering::SeqCst) < 5);
}
