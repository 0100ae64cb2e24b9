//! Clocks that are set, that leap and that stand still: what is kept under one clock and read under another.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tests::{Fixture, MANIFEST, count, fixture_of};
use super::{Pipeline, Stores};
use crate::control::admission::{Admission, BreakerStatus, ConcurrencyLimiter, LimiterSnapshot, Outcome, Permit};
use crate::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use crate::item::Entry;
use crate::pipeline::report::{End, Report};
use crate::random::RandomSource;
use crate::record::{Failure, FailureKind, Fetched};
use crate::sink::Compression;
use crate::testing::scripted::Answer;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Fixture {
    fn some(&self, numbers: std::ops::Range<u64>) -> Vec<Entry> {
        numbers.map(|number| self.entry(number, &format!("i{number:05}"))).collect()
    }

    /// The stores for another process on the same machine, with a sink of its own.
    fn stores(&self, seed: u64) -> Stores {
        Stores {
            ledger: self.ledger.clone(),
            sink: Arc::new(object_store::memory::InMemory::new()),
            compression: Compression::None,
            mapping: self.mapping.clone(),
            clock: self.clock.clone(),
            random: RandomSource::from_seed(seed),
        }
    }

    /// Another process whose limiter blocks nothing.
    fn without_limiter(&self, seed: u64) -> Arc<Pipeline> {
        let (manifest, stores) = (self.pipeline.manifest().clone(), self.stores(seed));
        Pipeline::with_limiter(manifest, self.api.clone(), stores, Box::new(NoLimit))
    }
}

/// One call, in the time that an invocation has.
async fn call(pipeline: &Arc<Pipeline>, entries: Vec<Entry>) -> (Report, Duration) {
    let begin = Instant::now();
    let report = pipeline.process(entries, begin + 15 * MINUTE, &CancellationToken::new()).await;
    (report, begin.elapsed())
}

/// Records, and after so many of them one Retry-After of a time.
fn asks_once(after: u32, wait: Duration) -> impl Fn(&FetchRequest, u32) -> Answer + Send + Sync {
    let number = AtomicU32::new(0);
    move |request, _| {
        if number.fetch_add(1, Ordering::Relaxed) == after {
            let failure = Failure { retry_after: Some(wait), ..Failure::new(FailureKind::Throttled, "scripted") };
            return Answer::failure(failure).after(Duration::from_millis(100));
        }
        Answer::record(&request.id).after(Duration::from_millis(100))
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_stops_nobody() {
    for step in [-HOUR, -24 * HOUR, -365 * 24 * HOUR] {
        let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id).after(Duration::from_millis(100)));
        call(&fixture.pipeline, fixture.some(0..50)).await;
        fixture.machine.step(step);
        for (pipeline, numbers) in [(fixture.restart(), 100..150), (fixture.pipeline.clone(), 200..250)] {
            let (report, took) = call(&pipeline, fixture.some(numbers)).await;
            assert_eq!(count(&report, End::Fetched), 50, "{step}: {report:?}");
            assert!(took < MINUTE, "{step}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_was_wrong_when_it_started_leaves_a_state_that_is_right() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id).after(Duration::from_millis(100)));
    fixture.machine.step(30 * 24 * HOUR);
    let wrong = fixture.restart();
    fixture.machine.step(-30 * 24 * HOUR);
    call(&wrong, fixture.some(0..50)).await;
    let (report, took) = call(&fixture.restart(), fixture.some(100..150)).await;
    assert_eq!(count(&report, End::Fetched), 50, "{report:?}");
    assert!(took < MINUTE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_holds_for_its_time_after_the_clock_was_set_back() {
    let fixture = fixture_of(MANIFEST, asks_once(20, 20 * MINUTE));
    let (report, _) = call(&fixture.pipeline, fixture.some(0..50)).await;
    let (before, asked) = (count(&report, End::Fetched), Instant::now());
    assert!((20..50).contains(&before), "{report:?}");
    fixture.machine.step(-HOUR);
    let other = fixture.restart();
    let mut fetched = 0;
    while fetched == 0 && asked.elapsed() < 2 * 60 * MINUTE {
        fetched = count(&call(&other, fixture.some(100..110)).await.0, End::Fetched);
        // As the mapping would: the tick sees to it that batches come.
        other.tick().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let waited = asked.elapsed();
    assert!((19 * MINUTE..22 * MINUTE).contains(&waited), "{waited:?}");
    assert!(fixture.mapping.now().enabled);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_was_frozen_does_not_wait_for_what_is_over() {
    let fixture = fixture_of(MANIFEST, asks_once(20, 50 * MINUTE));
    call(&fixture.pipeline, fixture.some(0..50)).await;
    // Its monotonic clock stands still.
    fixture.machine.step(HOUR);
    let pipeline = &fixture.pipeline;
    pipeline.tick().await.unwrap();
    let (report, took) = call(pipeline, fixture.some(100..120)).await;
    assert_eq!(count(&report, End::Fetched), 20, "{report:?}");
    assert!(took < MINUTE, "{took:?}");
}

/// A limiter that blocks nothing, so that the slots alone enforce the cap.
#[derive(Debug)]
struct NoLimit;

impl ConcurrencyLimiter for NoLimit {
    fn admit(&mut self, _now: Duration, _in_flight: u32) -> Admission {
        Admission::Now
    }

    fn on_started(&mut self, now: Duration) -> Permit {
        Permit { started: now, in_flight: 1 }
    }

    fn on_extra_requests(&mut self, _now: Duration, _requests: u32) {}

    fn on_completed(&mut self, _now: Duration, _permit: Permit, _outcome: Outcome) {}

    fn on_discarded(&mut self, _now: Duration, _permit: Permit) {}

    fn snapshot(&self, _now: Duration) -> LimiterSnapshot {
        LimiterSnapshot { limit: 100, breaker: BreakerStatus::Closed, gate: None, rate: None, phase: "none" }
    }
}

/// Two runs on one machine, whose clock leaps twice while both have requests in flight.
#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_forward_does_not_pass_the_cap() {
    for (leap_s, waits_s) in [(40, [60, 60]), (40, [61, 3]), (3_600, [62, 64]), (12, [63, 7])] {
        let manifest = MANIFEST
            .replace("max_concurrency = 4", "max_concurrency = 16")
            .replace("fetch_timeout = \"2s\"", "fetch_timeout = \"30s\"");
        let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_secs(8)));
        let (one, other) = (fixture.without_limiter(4), fixture.without_limiter(5));
        let leaps = async {
            for wait_s in waits_s {
                tokio::time::sleep(Duration::from_secs(wait_s)).await;
                fixture.machine.step(SignedDuration::from_secs(leap_s));
            }
        };
        let calls = async { tokio::join!(call(&one, fixture.some(0..200)), call(&other, fixture.some(500..700))) };
        let (((one, _), (two, _)), ()) = tokio::join!(calls, leaps);
        assert_eq!((count(&one, End::Fetched), count(&two, End::Fetched)), (200, 200), "{one:?} {two:?}");
        let peak = fixture.api.call_log().peak;
        assert!((12..=16).contains(&peak), "{peak} in flight after leaps of {leap_s} s");
    }
}

/// As `damper run` does beside another one: it waits for the stream, which it takes over when the other's lease has run
/// out by a leap.
#[tokio::test(start_paused = true)]
async fn a_run_that_takes_over_after_a_leap_does_not_pass_the_cap() {
    let manifest = MANIFEST
        .replace("max_concurrency = 4", "max_concurrency = 16")
        .replace("fetch_timeout = \"2s\"", "fetch_timeout = \"30s\"");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_secs(8)));
    let (one, other) = (fixture.without_limiter(4), fixture.without_limiter(5));
    let takes_over = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        fixture.machine.step(SignedDuration::from_secs(90));
        call(&other, fixture.some(500..600)).await
    };
    let ((first, _), (second, _)) = tokio::join!(call(&one, fixture.some(0..200)), takes_over);
    assert_eq!((count(&first, End::Fetched), count(&second, End::Fetched)), (200, 100), "{first:?} {second:?}");
    let peak = fixture.api.call_log().peak;
    assert!((12..=16).contains(&peak), "{peak} in flight");
}

#[tokio::test(start_paused = true)]
async fn slots_of_a_run_that_was_killed_before_the_clock_was_set_back_run_out() {
    let manifest = MANIFEST.replace("max_concurrency = 4", "max_concurrency = 1");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_millis(100)));
    let killed = fixture.restart();
    let entries = fixture.some(0..100);
    // In the middle of its work.
    tokio::time::timeout(Duration::from_secs(1), call(&killed, entries)).await.unwrap_err();
    fixture.machine.step(-24 * HOUR);
    let begin = Instant::now();
    let mut fetched = 0;
    while fetched < 50 && begin.elapsed() < 2 * 60 * MINUTE {
        fetched += count(&call(&fixture.pipeline, fixture.some(200..250)).await.0, End::Fetched);
    }
    assert_eq!(fetched, 50);
    assert!(begin.elapsed() < crate::ledger::LONGEST_SLOT + 5 * MINUTE, "{:?}", begin.elapsed());
}

/// Fetches two pages, the second 3.5 s after the first, and remembers when each request was sent.
#[derive(Default)]
struct TwoPages(Mutex<Vec<Instant>>);

#[async_trait]
impl Fetcher for TwoPages {
    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        for page in 1..=2 {
            if !permits.budget().spend() {
                let failure = Failure::new(FailureKind::OutOfQuota, "the day's quota is spent");
                return FetchReport::new(Err(failure), page - 1);
            }
            self.0.lock().unwrap().push(Instant::now());
            tokio::time::sleep(Duration::from_millis(3_500)).await;
        }
        let record = Fetched { content_type: "text/plain".into(), body: request.id.into(), attributes: Vec::new() };
        FetchReport::new(Ok(record), 2)
    }

    fn digest(&self) -> &str {
        "sha256:two-pages"
    }
}

/// Requests that were set aside of a day are not sent on the next, also not before the loop's next turn.
#[tokio::test(start_paused = true)]
async fn a_share_of_yesterday_is_not_spent_today() {
    let manifest = MANIFEST
        .replace("[limits]", "[limits]\ndaily_quota = 60")
        .replace("fetch_timeout = \"2s\"", "fetch_timeout = \"30s\"");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    let api = Arc::new(TwoPages::default());
    let pipeline = Pipeline::new(fixture.pipeline.manifest().clone(), api.clone(), fixture.stores(3));
    fixture.machine.step(SignedDuration::from_secs(12 * 3_600 - 3));
    let midnight = Instant::now() + Duration::from_secs(3);
    while Instant::now() < midnight + 10 * MINUTE {
        call(&pipeline, fixture.some(0..200)).await;
    }
    let times = api.0.lock().unwrap().clone();
    let today = times.iter().filter(|at| **at >= midnight).count();
    assert!((50..=60).contains(&today), "{today}, and {} before", times.len() - today);
}

/// The day that is counted has yet to come: the clock was set back over midnight, or the time zone moved west.
#[tokio::test(start_paused = true)]
async fn a_day_before_the_one_that_is_counted_is_waited_for_without_a_busy_loop() {
    let manifest = MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 100");
    for days in [1, 400] {
        let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_millis(20)));
        call(&fixture.pipeline, fixture.some(0..10)).await;
        fixture.machine.step(SignedDuration::from_hours(-24 * days));
        let (begin, mut calls) = (Instant::now(), 0_u32);
        let mut fetched = 0;
        while fetched == 0 && begin.elapsed() < 25 * 60 * MINUTE && calls < 2_000 {
            let (report, _) = call(&fixture.pipeline, fixture.some(100..110)).await;
            fetched = count(&report, End::Fetched);
            fixture.pipeline.tick().await.unwrap();
            calls += 1;
        }
        assert!(begin.elapsed() >= 11 * 60 * MINUTE, "nobody knows what was used: {:?}", begin.elapsed());
        assert!(begin.elapsed() < 13 * 60 * MINUTE, "and the next day begins anew: {:?}", begin.elapsed());
        assert!(calls < 13 * 60 + 10, "one a minute at the most: {calls}");
    }
}
