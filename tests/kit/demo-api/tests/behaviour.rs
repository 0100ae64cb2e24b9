//! The demo API over real connections, in-process and as a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use damper_demo_api::{DemoApi, LogLine, Options, Outcome, Settings, StartError, Stats};
use futures::future::join_all;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Far beyond what any wait here takes.
const SOON: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Caller {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Caller {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "").await.unwrap()
    }

    async fn put_control(&self, patch: Value) -> Reply {
        self.send(Method::PUT, "/control", &patch.to_string()).await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> Result<Reply, String> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        self.send_request(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    async fn send_request(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

fn start(patch: Value) -> (DemoApi, Caller) {
    let api = DemoApi::start(Settings::default().with_patch(&patch).unwrap()).unwrap();
    let caller = Caller::new(&api.url());
    (api, caller)
}

/// Sends a request and returns without waiting for the answer; dropping the stream is leaving.
async fn send_and_do_not_wait(api: &DemoApi, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(api.addr()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_record_is_the_same_every_time_and_connections_are_kept() {
    let (api, caller) = start(json!({}));
    let first = caller.get("/records/42").await;
    let again = caller.get("/records/42").await;
    assert_eq!((first.status, &first.body), (200, &again.body));
    assert_eq!(first.json()["id"], "42");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.headers["content-length"], first.body.len().to_string().as_str());

    let mut stream = send_and_do_not_wait(&api, "/records/42").await;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stream.write_all(b"GET /records/43 HTTP/1.1\r\nHost: demo\r\n\r\n").await.unwrap();
    api.wait_for(SOON, |stats| stats.requests == 4).await.unwrap();
}

#[tokio::test]
async fn ids_in_other_scripts_and_with_encoded_slashes_arrive_as_they_are() {
    let (api, caller) = start(json!({}));
    let ids = ["%E6%9D%B1%E4%BA%AC", "a%2Fb%2Fc", "%22quoted%22%0Aline", "%D0%B6?extra=1"];
    let mut got = Vec::new();
    for id in ids {
        let reply = caller.get(&format!("/records/{id}")).await;
        assert_eq!(reply.status, 200, "{id}");
        got.push(reply.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(got, ["東京", "a/b/c", "\"quoted\"\nline", "ж"]);
    let logged: Vec<_> = api.log().into_iter().map(|line| line.id).collect();
    assert_eq!(logged, got);
    assert_eq!(caller.get("/records/a/b").await.status, 400);
    assert_eq!(caller.get("/records/%FF").await.status, 400);
}

#[tokio::test]
async fn special_ids_are_answered_by_how_they_begin() {
    let (_api, caller) = start(json!({"big_bytes": 3_000_000, "redirect_to": "http://127.0.0.1:9/x"}));
    for (id, status) in [("unknown-1", 404), ("poison", 500), ("forbidden", 403), ("broken", 200)] {
        assert_eq!(caller.get(&format!("/records/{id}")).await.status, status, "{id}");
    }
    let big = caller.get("/records/big").await;
    assert_eq!((big.body.len(), big.json()["id"].as_str()), (3_000_000, Some("big")));
    let redirect = caller.get("/records/redirect").await;
    assert_eq!(redirect.status, 302);
    assert_eq!(redirect.headers["location"], "http://127.0.0.1:9/x");
}

#[tokio::test]
async fn control_shows_changes_and_rejects_unknown_keys() {
    let (api, caller) = start(json!({}));
    let shown = caller.get("/control").await.json();
    assert_eq!(shown, serde_json::to_value(Settings::default()).unwrap());

    for (patch, message) in [
        (json!({"latncy": 1}), "unknown field `latncy`, expected one of `latency`"),
        (json!({"latency": {"media": 1}}), "unknown field `media`"),
        (json!({"error_rate": 7}), "error_rate is 7, but must be from 0 to 1"),
        (json!({"moved": 1}), "expected a boolean"),
        (json!([]), "must be a JSON object"),
    ] {
        let reply = caller.put_control(patch).await;
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(reply.status, 400);
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(caller.send(Method::PUT, "/control", "{").await.unwrap().status, 400);
    assert_eq!(api.settings(), Settings::default());

    let changed = caller.put_control(json!({"moved": true, "latency": {"sigma": 0.5}})).await;
    assert_eq!((changed.status, &changed.json()["latency"]["sigma"]), (200, &json!(0.5)));
    assert_eq!(caller.get("/records/42").await.status, 404);
}

#[tokio::test]
async fn a_key_that_is_required_is_checked() {
    let (_api, caller) = start(json!({"require_key": "k1"}));
    assert_eq!(caller.get("/records/1").await.status, 401);
    for (key, status) in [("k2", 401), ("k1", 200)] {
        let request = Request::get(format!("{}/records/1", caller.url)).header("X-Api-Key", key);
        let request = request.body(Full::default()).unwrap();
        assert_eq!(caller.send_request(request).await.unwrap().status, status);
    }
}

#[tokio::test]
async fn beyond_the_rate_answers_429_with_retry_after() {
    let (api, caller) = start(json!({"rate_limit": {"per_second": 0.1, "burst": 3}}));
    let mut statuses = Vec::new();
    for n in 0..5 {
        statuses.push(caller.get(&format!("/records/{n}")).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(api.stats().by_status, BTreeMap::from([(200, 3), (429, 2)]));
    let seconds = caller.get("/records/6").await.headers["retry-after"].to_str().unwrap().to_owned();
    assert!((5..=10).contains(&seconds.parse::<u32>().unwrap()), "{seconds}");

    caller.put_control(json!({"retry_after": "http_date"})).await;
    let date = caller.get("/records/7").await.headers["retry-after"].to_str().unwrap().to_owned();
    assert!(date.ends_with(" GMT"), "{date}");

    caller.put_control(json!({"retry_after": "none"})).await;
    let reply = caller.get("/records/8").await;
    assert_eq!((reply.status, reply.headers.get("retry-after")), (429, None));

    caller.put_control(json!({"rate_limit": null})).await;
    assert_eq!(caller.get("/records/9").await.status, 200);
}

#[tokio::test]
async fn beyond_the_concurrency_cap_answers_429() {
    let (api, caller) = start(json!({"concurrency_cap": 2, "latency": {"median_ms": 60_000}}));
    let waiting = [send_and_do_not_wait(&api, "/records/1").await, send_and_do_not_wait(&api, "/records/2").await];
    api.wait_for(SOON, |stats| stats.in_flight == 2).await.unwrap();
    let reply = caller.get("/records/3").await;
    assert_eq!((reply.status, reply.headers["retry-after"].as_bytes()), (429, &b"1"[..]));
    drop(waiting);
    api.wait_for(SOON, |stats| stats.in_flight == 0 && stats.client_left == 2).await.unwrap();
}

#[tokio::test]
async fn an_outage_begins_and_ends_by_itself() {
    let (api, caller) = start(json!({}));
    caller.put_control(json!({"outage": {"after_ms": 500, "for_ms": 300}})).await;
    let mut statuses = Vec::new();
    while !statuses.ends_with(&[503, 200]) {
        let status = caller.get("/records/1").await.status;
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
    }
    assert_eq!(statuses, [200, 503, 200]);
    let log = api.log();
    let dark: Vec<_> = log.iter().filter(|line| line.status == Some(503)).collect();
    let surely_dark = dark.first().unwrap().finished_ms..dark.last().unwrap().started_ms;
    assert!(surely_dark.end.saturating_sub(surely_dark.start) <= 301, "{surely_dark:?}");
}

#[tokio::test]
async fn an_outage_that_refuses_closes_the_connection_but_leaves_control_reachable() {
    let (api, caller) = start(json!({"outage": {"mode": "refuse"}}));
    assert!(caller.send(Method::GET, "/records/1", "").await.is_err());
    let mut stream = send_and_do_not_wait(&api, "/records/2").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    assert_eq!(caller.get("/health").await.status, 200);
    let stats = api.stats();
    assert_eq!((stats.refused, stats.in_flight, stats.client_left), (stats.requests, 0, 0));
    caller.put_control(json!({"outage": null})).await;
    assert_eq!(caller.get("/records/1").await.status, 200);
}

#[tokio::test]
async fn a_black_hole_answers_when_the_outage_ends_and_notices_who_leaves() {
    let (api, caller) = start(json!({"outage": {"mode": "black_hole"}}));
    let leaver = send_and_do_not_wait(&api, "/records/leaver").await;
    let patient = tokio::spawn({
        let caller = caller.clone();
        async move { caller.get("/records/patient").await.status }
    });
    api.wait_for(SOON, |stats| stats.in_flight == 2).await.unwrap();
    drop(leaver);
    api.wait_for(SOON, |stats| stats.in_flight == 1).await.unwrap();
    caller.put_control(json!({"outage": {"mode": "black_hole", "for_ms": 5}})).await;
    assert_eq!(patient.await.unwrap(), 200);
    let outcomes: Vec<_> = api.log().iter().map(|line| (line.outcome, line.status)).collect();
    assert_eq!(outcomes, [(Outcome::ClientLeft, None), (Outcome::Record, Some(200))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peak_in_flight_is_exact_under_fifty_clients() {
    let (api, caller) = start(json!({"outage": {"mode": "black_hole"}}));
    let held: Vec<_> = (0..50)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.get(&format!("/records/{n}")).await.status })
        })
        .collect();
    api.wait_for(SOON, |stats| stats.in_flight == 50).await.unwrap();
    caller.put_control(json!({"outage": null})).await;
    assert!(join_all(held).await.into_iter().all(|status| status.unwrap() == 200));
    let stats = api.stats();
    assert_eq!((stats.requests, stats.in_flight, stats.peak_in_flight), (50, 0, 50));
    let mut at_start: Vec<_> = api.log().iter().map(|line| line.in_flight_at_start).collect();
    at_start.sort_unstable();
    assert_eq!(at_start, (1..=50).collect::<Vec<_>>());
}

/// The tests of the hard cap rely on this: a request whose response the client has received is no longer counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_keep_to_a_cap_are_never_counted_beyond_it() {
    let (api, caller) = start(json!({}));
    for latency_ms in [0, 1] {
        caller.put_control(json!({"latency": {"median_ms": latency_ms}})).await;
        api.reset();
        let clients = (0..50).map(|client| {
            let caller = caller.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    assert_eq!(caller.get(&format!("/records/{client}-{n}")).await.status, 200);
                }
            })
        });
        join_all(clients).await.into_iter().for_each(|client| client.unwrap());
        let stats = api.stats();
        assert_eq!((stats.requests, stats.ids_fetched_ok), (1_000, 1_000));
        assert!((1..=50).contains(&stats.peak_in_flight), "{}", stats.peak_in_flight);
    }
}

#[tokio::test]
async fn work_goes_on_without_its_client_when_asked_to() {
    let (api, _) = start(json!({"keep_working": true, "latency": {"median_ms": 600}}));
    let client = send_and_do_not_wait(&api, "/records/1").await;
    api.wait_for(SOON, |stats| stats.in_flight == 1).await.unwrap();
    drop(client);
    api.wait_for(SOON, |stats| stats.in_flight == 0).await.unwrap();
    let line = &api.log()[0];
    assert_eq!((line.status, line.outcome), (None, Outcome::ClientLeft));
    assert!(line.finished_ms - line.started_ms >= 599, "{line:?}");
}

#[tokio::test]
async fn errors_and_malformed_answers_come_by_chance_and_the_same_for_the_same_seed() {
    let patch = json!({"error_rate": 0.3, "malformed_rate": 0.3, "seed": 5});
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (api, caller) = start(patch.clone());
        let replies = join_all((0..200).map(async |n| caller.get(&format!("/records/{n}")).await)).await;
        let good = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).is_ok();
        runs.push(replies.iter().map(|reply| (reply.status, good(reply))).collect::<Vec<_>>());
        let whole = runs[0].iter().filter(|run| **run == (200, true)).count();
        assert_eq!(api.stats().ids_fetched_ok, whole as u64);
    }
    assert_eq!(runs[0], runs[1]);
    for wanted in [(200, true), (200, false), (500, true), (502, true), (503, true)] {
        assert!(runs[0].contains(&wanted), "{wanted:?}");
    }
}

#[tokio::test]
async fn refusals_come_by_chance_and_say_when_to_come_back() {
    let (api, caller) = start(json!({"refusals": {"share": 0.5, "wait_ms": 1_500}}));
    let replies = join_all((0..100).map(async |n| caller.get(&format!("/records/{n}")).await)).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!((30..70).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|reply| reply.headers["retry-after"] == "2"));
    assert_eq!(api.stats().ids_fetched_ok, 100 - refused.len() as u64);
}

#[tokio::test]
async fn dripping_answers_arrive_whole_but_late() {
    let (api, caller) = start(json!({"drip": {"share": 1, "over_ms": 200, "pieces": 5}}));
    let start = Instant::now();
    let reply = caller.get("/records/1").await;
    assert!(start.elapsed() >= Duration::from_millis(199));
    assert_eq!(reply.json()["id"], "1");
    let line = &api.log()[0];
    assert!(line.finished_ms - line.started_ms >= 199, "{line:?}");
}

#[tokio::test]
async fn stats_log_and_reset_are_served() {
    let (api, caller) = start(json!({}));
    for id in ["a", "a", "b", "unknown"] {
        caller.get(&format!("/records/{id}")).await;
    }
    let stats: Stats = serde_json::from_value(caller.get("/stats").await.json()).unwrap();
    assert_eq!(stats, api.stats());
    assert_eq!((stats.requests, stats.ids_fetched_more_than_once_ok), (4, 1));
    assert_eq!(stats.by_status, BTreeMap::from([(200, 3), (404, 1)]));
    let log = caller.get("/log").await.body;
    let lines: Vec<LogLine> = log.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(lines, api.log());
    assert_eq!(caller.send(Method::POST, "/reset", "").await.unwrap().status, 200);
    assert_eq!((api.stats(), api.log()), (Stats::default(), vec![]));
    assert_eq!(caller.send(Method::POST, "/stats", "").await.unwrap().status, 405);
    assert_eq!(caller.get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn dropping_it_frees_the_port_and_ends_what_is_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.ndjson");
    let (listen, caller, _waiting) = {
        let settings = json!({"latency": {"median_ms": 60_000}});
        let settings = Settings::default().with_patch(&settings).unwrap();
        let options = Options { log: Some(log.clone()), settings, ..Options::default() };
        let api = DemoApi::start_with(options).unwrap();
        let waiting = send_and_do_not_wait(&api, "/records/1").await;
        api.wait_for(SOON, |stats| stats.in_flight == 1).await.unwrap();
        (api.addr(), Caller::new(&api.url()), waiting)
    };
    let line: LogLine = serde_json::from_str(&std::fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!((line.status, line.outcome), (None, Outcome::Stopped));
    assert!(caller.send(Method::GET, "/health", "").await.is_err());
    let _again = DemoApi::start_with(Options { listen, ..Options::default() }).unwrap();
    assert_eq!(caller.get("/health").await.status, 200);
}

#[test]
fn anything_but_loopback_is_refused() {
    let options = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    let error = DemoApi::start_with(options).unwrap_err();
    assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
}

/// The program, killed when the test ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-api"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program(command.spawn().unwrap())
}

#[tokio::test]
async fn the_program_says_where_it_listens_logs_and_stops_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (port_file, log) = (path("port"), path("log.ndjson"));
    let mut program = program(&["--port-file", &port_file, "--log", &log, "--concurrency-cap", "9"]);
    let mut stdout = BufReader::new(program.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let url = line.strip_prefix("demo API listens on ").unwrap().trim_end();
    let port = std::fs::read_to_string(&port_file).unwrap();
    assert_eq!(url, format!("http://127.0.0.1:{}", port.trim_end()));

    let caller = Caller::new(url);
    assert_eq!(caller.get("/control").await.json()["concurrency_cap"], 9);
    assert_eq!(caller.get("/records/%E6%9D%B1").await.status, 200);
    let logged = std::fs::read_to_string(&log).unwrap();
    assert_eq!(serde_json::from_str::<LogLine>(&logged).unwrap().id, "東");

    let kill = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn the_program_refuses_other_addresses_and_bad_settings() {
    for (arguments, message) in [
        (["--address", "0.0.0.0"], "demo-api: the demo API listens on loopback only"),
        (["--error-rate", "2"], "error_rate is 2, but must be from 0 to 1"),
        (["--log", "/nowhere/at/all"], "cannot open the log file /nowhere/at/all"),
    ] {
        let mut program = program(&arguments);
        let mut stderr = String::new();
        program.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(stderr.contains(message), "{stderr}");
        assert_eq!(program.0.wait().unwrap().code(), Some(1));
    }
}
