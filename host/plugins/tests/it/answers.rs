//! Answers, whole and within their limits, and what stands for one where there is none.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::common::server::{Reply, Server, reply};
use crate::common::{Setup, failure, fetch_json, fetch_traced, report, request, request_with_timeout};

async fn plugin_and(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (damper_plugins::Plugin, Server, String) {
    let server = Server::start(move |_| reply()).await;
    let origin = server.origin("api.test");
    (Setup::new(&[&origin]).plugin(), server, origin)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    let headers = [("X-One", "1"), ("X-One", "2"), ("Set-Cookie", "session=1"), ("X-Word", "caf\u{e9}")];
    let (plugin, _server, origin) = plugin_and(move || reply(503, &headers, "down")).await;
    let response = fetch_json(&plugin, "get", &[("url", &origin)]).await;
    assert_eq!((response["status"].as_u64(), response["body"].as_str()), (Some(503), Some("down")));
    assert_eq!(response["url"], format!("{origin}/"));
    let pairs = response["headers"].to_string();
    assert!(pairs.contains(r#"["x-one","1"],["x-one","2"]"#) && pairs.contains("café"), "{pairs}");
    assert!(!pairs.contains("cookie"), "{pairs}");
}

#[tokio::test]
async fn a_value_that_is_not_utf8_is_read_as_latin1() {
    let (plugin, _server, origin) =
        plugin_and(|| Reply::Raw(b"HTTP/1.1 200 OK\r\nx-word: caf\xe9\r\ncontent-length: 0\r\n\r\n".to_vec())).await;
    let response = fetch_json(&plugin, "get", &[("url", &origin)]).await;
    assert!(response["headers"].to_string().contains("café"), "{response}");
}

#[tokio::test]
async fn a_compressed_answer_is_decompressed() {
    let (plugin, server, origin) = plugin_and(|| reply(200, &[("content-encoding", "gzip")], gzip(b"plain"))).await;
    assert_eq!(fetch_json(&plugin, "get", &[("url", &origin)]).await["body"], "plain");
    let accepted = &server.requests()[0].headers["accept-encoding"];
    assert!(accepted.contains("gzip") && accepted.contains("br"), "{accepted}");
}

#[tokio::test]
async fn a_body_is_counted_as_it_is_decompressed() {
    let bomb = gzip(&vec![0; 50 << 20]);
    assert!(bomb.len() < 64 * 1024, "the bomb passes the limit compressed");
    let (plugin, _server, origin) = plugin_and(move || reply(200, &[("content-encoding", "gzip")], &bomb)).await;
    assert_eq!(failure(&plugin, "get", &[("url", &origin)]).await, "too large: 65536");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let head = "HTTP/1.1 200 OK\r\n";
    for head in [format!("{head}content-length: 100000000000\r\n\r\n"), format!("{head}connection: close\r\n\r\n")] {
        let (plugin, _server, origin) =
            plugin_and(move || Reply::Last([head.as_bytes(), &[b'x'; 100_000]].concat())).await;
        assert_eq!(failure(&plugin, "get", &[("url", &origin)]).await, "too large: 65536");
    }
    let (plugin, _server, origin) = plugin_and(|| reply(200, &[], vec![b'x'; 30_000])).await;
    assert_eq!(fetch_json(&plugin, "get", &[("url", &origin)]).await["length"], 30_000);
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_bytes() {
    let many: String = (0..500).map(|index| format!("x-{index}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(70_000));
    let endless = format!("x-long: {}\r\n", "y".repeat(2_000_000));
    for headers in [many, long, endless] {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n");
        let (plugin, _server, origin) = plugin_and(move || Reply::Raw(head.clone().into_bytes())).await;
        assert_eq!(failure(&plugin, "get", &[("url", &origin)]).await, "too large: 65536");
    }
}

#[tokio::test]
async fn what_is_no_whole_answer_is_told_as_what_it_is() {
    let cases: [(&[u8], &str); 4] = [
        (b"", "broken: "),
        (b"SSH-2.0-OpenSSH\r\n", "broken: "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "broken: "),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nhalf", "broken: "),
    ];
    for (bytes, part) in cases {
        let (plugin, _server, origin) = plugin_and(move || Reply::Last(bytes.to_vec())).await;
        let report = report(&plugin, request("get", &[("url", &origin)])).await;
        let message = report.outcome.unwrap_err().message;
        assert!(message.starts_with(part), "{bytes:?}: {message}");
        assert!(!message.contains("127.0.0.1") && !message.contains("http://"), "no URL in: {message}");
        assert_eq!((report.requests, report.unanswered_since), (1, None));
    }
}

#[tokio::test]
async fn where_nobody_listens_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let plugin = Setup::new(&[&origin, "http://nobody.knows:80"]).plugin();
    assert!(failure(&plugin, "get", &[("url", &origin)]).await.starts_with("unreachable: "));
    assert!(failure(&plugin, "get", &[("url", "http://nobody.knows/")]).await.starts_with("unreachable: "));
}

#[tokio::test]
async fn a_request_ends_at_its_own_timeout_and_is_told_as_unanswered() {
    let (plugin, _server, origin) = plugin_and(|| Reply::Never).await;
    let params = [("url", origin.as_str()), ("timeout-ms", "200")];
    let fetch = fetch_traced(&plugin, "get", &params).await;
    let failure = fetch.report.outcome.unwrap_err();
    assert_eq!(failure.message, "timed out");
    assert!(fetch.report.unanswered_since.is_some());
    assert_eq!(fetch.requests[0].outcome, Err("no answer in time".to_owned()));
    assert!(fetch.requests[0].duration >= Duration::from_millis(200));
}

#[tokio::test]
async fn the_calls_end_is_told_as_unanswered_too() {
    let (plugin, _server, origin) = plugin_and(|| Reply::Never).await;
    // Compiling is no part of the time that the call has.
    plugin.prepare().await.unwrap();
    let started = tokio::time::Instant::now();
    let report = report(&plugin, request_with_timeout("wait", &[("url", &origin)], Duration::from_millis(300))).await;
    assert_eq!(report.requests, 1);
    assert!(report.unanswered_since.is_some_and(|since| since >= started));
}
