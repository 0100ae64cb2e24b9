//! If each write costs money: small batches write little about themselves, and state that others need at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::tests::{Fixture, MANIFEST, count, fails, fixture_on};
use crate::control::item::ProviderStop;
use crate::fetcher::FetchRequest;
use crate::item::Entry;
use crate::ledger::Ledger;
use crate::mapping::{Mapping, MappingChange};
use crate::pipeline::report::{End, Report};
use crate::record::FailureKind;
use crate::testing::memory::{MemoryLedger, SharedCalls};
use crate::testing::scripted::Answer;

const INTERVAL: Duration = Duration::from_secs(30);
const BATCH: u64 = 10;

fn thrifty(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> Fixture {
    let manifest = MANIFEST
        .replace("max_concurrency = 4", "max_concurrency = 11")
        .replace("fetch_timeout = \"2s\"", "fetch_timeout = \"20s\"");
    // The mapping's batches never change: their size is the largest.
    let manifest = format!("{manifest}[pace]\nstart_batch = {BATCH}\nmax_batch = {BATCH}\n");
    fixture_on(MemoryLedger::thrifty(INTERVAL), &manifest, script)
}

fn in_a_second(request: &FetchRequest) -> Answer {
    Answer::record(&request.id).after(Duration::from_secs(1))
}

impl Fixture {
    fn batch(&self, number: u64) -> Vec<Entry> {
        (number * BATCH..(number + 1) * BATCH).map(|entry| self.entry(entry, &format!("i{entry:05}"))).collect()
    }

    async fn full_batches(&self) {
        let change = MappingChange { batch_size: Some(BATCH as u32), enabled: None };
        self.mapping.apply("demo", change).await.unwrap();
    }

    async fn fetch(&self, number: u64) -> Report {
        let report = self.process_entries(self.batch(number)).await;
        assert_eq!(count(&report, End::Fetched), BATCH as usize, "{report:?}");
        report
    }

    /// The calls of the ledger that `of` makes.
    async fn asks(&self, of: impl AsyncFn(&Self)) -> SharedCalls {
        let before = self.ledger.shared_calls();
        of(self).await;
        let after = self.ledger.shared_calls();
        SharedCalls {
            control_reads: after.control_reads - before.control_reads,
            control_writes: after.control_writes - before.control_writes,
            slots: after.slots - before.slots,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn full_batches_in_quick_succession_write_once_an_interval() {
    let fixture = thrifty(|request, _| in_a_second(request));
    fixture.full_batches().await;
    // The first ones find out about the API and the mapping.
    for number in 0..20 {
        fixture.fetch(number).await;
    }
    let asked = fixture
        .asks(async |fixture| {
            for number in 20..120 {
                fixture.fetch(number).await;
            }
        })
        .await;
    let seconds = 100 * BATCH / u64::from(fixture.pipeline.limiter_snapshot().limit.min(BATCH as u32));
    assert!(asked.control_writes <= seconds / INTERVAL.as_secs() + 2, "in about {seconds} s: {asked:?}");
    // A renewal every five seconds, at which the control item is read too.
    assert!(asked.slots <= seconds / 5 + 2, "in about {seconds} s: {asked:?}");
    assert!(asked.control_reads <= 100 + asked.slots + 2, "one a batch: {asked:?}");
    assert_eq!(fixture.stored_ids().await.len(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn slots_go_back_where_no_batch_is_expected_and_run_out_where_none_comes() {
    let fixture = thrifty(|request, _| in_a_second(request));
    fixture.full_batches().await;
    for number in 0..3 {
        fixture.fetch(number).await;
    }
    let taken = || fixture.ledger.slots_taken("demo", fixture.clock.now());
    assert!(!taken().is_empty(), "a full batch leaves them to the next one");

    let few: Vec<Entry> = fixture.batch(3).into_iter().take(4).collect();
    fixture.process_entries(few).await;
    assert!(taken().is_empty(), "the stream is drained");

    fixture.fetch(4).await;
    assert!(!taken().is_empty());
    sleep(Duration::from_secs(60)).await;
    assert!(taken().is_empty(), "the process was never called again");
    fixture.fetch(5).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_is_not_kept_waiting_by_slots_that_are_kept() {
    let fixture = Arc::new(thrifty(|request, _| in_a_second(request)));
    fixture.full_batches().await;
    fixture.fetch(0).await;
    let other = fixture.restart();
    let busy = async {
        for number in 1..90 {
            fixture.fetch(number).await;
        }
    };
    let comes = async {
        let (deadline, never) = (tokio::time::Instant::now() + 10 * INTERVAL, Default::default());
        let report = Pipeline::process(&other, fixture.batch(200), deadline, &never).await;
        assert_eq!(count(&report, End::Fetched), BATCH as usize, "{report:?}");
        tokio::time::Instant::now()
    };
    let (begun, ((), came)) = (tokio::time::Instant::now(), tokio::join!(busy, comes));
    assert!(came - begun < Duration::from_secs(30), "{:?}", came - begun);
    assert!(fixture.api.call_log().peak <= 10, "the cap holds over both");
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_a_call_are_counted_though_they_are_written_later() {
    let fixture = thrifty(|request, _| in_a_second(request));
    fixture.full_batches().await;
    for number in 0..5 {
        fixture.fetch(number).await;
    }
    let sent = fixture.api.call_log().times.len() as u64;
    assert_eq!(fixture.pipeline.cached_control().unwrap().usage.requests, sent, "for whoever asks this process");
    sleep(INTERVAL).await;
    fixture.pipeline.tick().await.unwrap();
    assert_eq!(fixture.ledger.control("demo").await.unwrap().usage.requests, sent, "a tick writes what has waited");
}

#[tokio::test(start_paused = true)]
async fn what_stops_an_api_is_written_at_once() {
    let fixture =
        thrifty(
            |request, _| {
                if request.id.as_str() >= "i00040" { fails(FailureKind::Unavailable) } else { in_a_second(request) }
            },
        );
    fixture.full_batches().await;
    for number in 0..4 {
        fixture.fetch(number).await;
    }
    let deadline = tokio::time::Instant::now() + 2 * INTERVAL;
    fixture.pipeline.process(fixture.batch(4), deadline, &CancellationToken::new()).await;
    let control = fixture.ledger.control("demo").await.unwrap();
    assert!(matches!(control.breaker, ProviderStop::Open { .. }), "{control:?}");
}
