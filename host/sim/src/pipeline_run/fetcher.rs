//! The port to a provider, with a simulated API behind it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use damper_core::control::admission::Outcome;
use damper_core::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use damper_core::record::{Failure, FailureKind, Fetched};
use tokio::time::Instant;

use super::article::ArticleMapping;
use crate::api::{Answer, Api};
use crate::locks::lock;
use crate::record::Recorder;
use crate::scenario::Scenario;

/// The margin for late clocks and responses. A request that was given up counts as in flight for this time, as in the
/// pipeline.
const MARGIN: Duration = Duration::from_secs(1);

/// Fetches from a simulated API, and takes down what happens there.
pub(super) struct SimulatedFetcher {
    /// Shared by all clients.
    api: Arc<Mutex<Api>>,
    client: usize,
    out: Mutex<Out>,
    began: Instant,
    /// Later events are not recorded: the run is over, and only what is in flight is finished.
    ends: Duration,
    /// More in flight than this is a broken promise.
    most: u32,
    recorder: Arc<Mutex<Recorder>>,
    article: Option<Arc<ArticleMapping>>,
}

/// The requests of one client that count as in flight.
#[derive(Default)]
struct Out {
    in_flight: u32,
    /// Until when requests count that were given up.
    given_up: BinaryHeap<Reverse<Duration>>,
}

impl SimulatedFetcher {
    pub(super) fn new(
        scenario: &Scenario,
        api: Arc<Mutex<Api>>,
        client: usize,
        began: Instant,
        recorder: Arc<Mutex<Recorder>>,
        article: Option<Arc<ArticleMapping>>,
    ) -> Self {
        let (ends, most) = (scenario.duration, scenario.max_concurrency);
        Self { api, client, out: Mutex::default(), began, ends, most, recorder, article }
    }

    fn send(&self, timeout: Duration) -> (Duration, Answer) {
        let now = self.began.elapsed();
        let mut out = lock(&self.out);
        while out.given_up.peek().is_some_and(|Reverse(until)| *until <= now) {
            out.given_up.pop();
        }
        let before = out.in_flight + u32::try_from(out.given_up.len()).unwrap_or(u32::MAX);
        out.in_flight += 1;
        drop(out);
        let answer = lock(&self.api).call(now, timeout);
        if now <= self.ends {
            let mut recorder = lock(&self.recorder);
            recorder.record_sent(now, self.client, before >= self.most);
            recorder.change_in_flight(now, 1);
        }
        (now, answer)
    }

    fn on_call_end(&self, sent: Duration, answer: Answer) {
        let now = self.began.elapsed();
        let latency = now - sent;
        let mut out = lock(&self.out);
        out.in_flight -= 1;
        if answer.unanswered {
            out.given_up.push(Reverse(now + MARGIN));
        }
        drop(out);
        if let Some(article) = &self.article {
            article.record_call(latency, answer.outcome);
        }
        if now <= self.ends {
            let mut recorder = lock(&self.recorder);
            recorder.record_end(now, self.client, latency, answer.outcome);
            recorder.change_in_flight(now, -1);
        }
    }
}

#[async_trait]
impl Fetcher for SimulatedFetcher {
    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        if !permits.budget().spend() {
            return FetchReport::new(Err(Failure::new(FailureKind::OutOfQuota, "the day's quota is spent")), 0);
        }
        let instant = Instant::now();
        let (sent, answer) = self.send(request.timeout);
        tokio::time::sleep_until(self.began + answer.at).await;
        self.on_call_end(sent, answer);
        let failed = |kind, status, retry_after| Failure { status, retry_after, ..Failure::new(kind, "simulated") };
        let outcome = match answer.outcome {
            Outcome::Ok => Ok(Fetched {
                content_type: "application/json".to_owned(),
                body: Bytes::from_static(b"{}"),
                attributes: Vec::new(),
            }),
            Outcome::Throttled { retry_after } => Err(failed(FailureKind::Throttled, Some(429), retry_after)),
            Outcome::Failed => Err(failed(FailureKind::Unavailable, Some(503), None)),
            Outcome::TimedOut => Err(failed(FailureKind::TimedOut, None, None)),
        };
        FetchReport { unanswered_since: answer.unanswered.then_some(instant), ..FetchReport::new(outcome, 1) }
    }

    fn digest(&self) -> &str {
        "sha256:simulated"
    }
}
