//! A bare client that knows this API and its limits, without ledger, sink or limiter: what is possible at best.
//!
//! So many workers, each with one request in flight. Polls that are due come before fresh orders. A refused request is
//! sent again when Retry-After says, or after a second, and no other waits for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::StatusCode;
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// When a request that got a 503 is sent again.
const BACKOFF: Duration = Duration::from_secs(1);
/// How often a worker without work looks for some.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A policy and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    policy: String,
    /// Where to poll; `None`: it is to be ordered.
    job: Option<String>,
    /// How often its jobs were forgotten.
    forgotten: u32,
}

/// What is left to do.
#[derive(Debug, Default)]
struct Plan {
    fresh: VecDeque<Task>,
    waiting: BinaryHeap<Reverse<(Instant, Task)>>,
    unfinished: usize,
    documents: usize,
}

/// What came of a request.
enum Step {
    Done,
    Later(Duration, Task),
}

/// Have the documents of all policies from the API at `origin`, with `in_flight` requests at a time. Returns how many
/// documents came.
///
/// # Errors
/// If the API cannot be reached, or answers with what it should not.
pub async fn run(origin: &str, policies: &[String], in_flight: usize) -> anyhow::Result<usize> {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(in_flight).tcp_nodelay(true).build()?;
    let token = ask_for_token(&client, origin).await?;
    let fresh = policies.iter().map(|policy| Task { policy: policy.clone(), job: None, forgotten: 0 }).collect();
    let plan = Arc::new(Mutex::new(Plan { fresh, unfinished: policies.len(), ..Plan::default() }));
    let workers: Vec<_> = (0..in_flight)
        .map(|_| tokio::spawn(work(client.clone(), origin.to_owned(), token.clone(), Arc::clone(&plan))))
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(lock(&plan).documents)
}

async fn ask_for_token(client: &Client, origin: &str) -> anyhow::Result<String> {
    loop {
        let form = "grant_type=client_credentials";
        let request = client.post(format!("{origin}/token")).body(form);
        let response = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
        if response.status() == StatusCode::OK {
            let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
            return Ok(answer.get("access_token").and_then(Value::as_str).context("a token")?.to_owned());
        }
        tokio::time::sleep(wait_of(&response).unwrap_or(BACKOFF)).await;
    }
}

async fn work(client: Client, origin: String, token: String, plan: Arc<Mutex<Plan>>) -> anyhow::Result<()> {
    loop {
        let next = lock(&plan).next(Instant::now());
        let Some(task) = next else {
            if lock(&plan).unfinished == 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        };
        let step = take_step(&client, &origin, &token, task).await?;
        let mut plan = lock(&plan);
        match step {
            Step::Done => {
                plan.unfinished -= 1;
                plan.documents += 1;
            }
            Step::Later(wait, task) => plan.waiting.push(Reverse((Instant::now() + wait, task))),
        }
    }
}

/// Send the next request of a policy.
async fn take_step(client: &Client, origin: &str, token: &str, task: Task) -> anyhow::Result<Step> {
    let request = match &task.job {
        None => {
            let order = json!({ "policy": task.policy }).to_string();
            let key = format!("{}-{}", task.policy, task.forgotten);
            client.post(format!("{origin}/valuations")).header("idempotency-key", key).body(order)
        }
        Some(job) => client.get(format!("{origin}{job}")),
    };
    let response = request.bearer_auth(token).send().await?;
    let wait = wait_of(&response).unwrap_or(BACKOFF);
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status();
    response.bytes().await?;
    Ok(match status {
        StatusCode::OK => Step::Done,
        StatusCode::ACCEPTED => Step::Later(wait, Task { job: location.or(task.job), ..task }),
        StatusCode::NOT_FOUND => Step::Later(Duration::ZERO, Task { job: None, forgotten: task.forgotten + 1, ..task }),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Step::Later(wait, task),
        other => anyhow::bail!("the API answered {other} for {}", task.policy),
    })
}

fn wait_of(response: &Response) -> Option<Duration> {
    response.headers().get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

impl Plan {
    fn next(&mut self, now: Instant) -> Option<Task> {
        if self.waiting.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            return self.waiting.pop().map(|Reverse((_, task))| task);
        }
        self.fresh.pop_front()
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}
