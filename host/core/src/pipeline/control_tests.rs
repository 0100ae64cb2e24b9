//! The control loops within the pipeline: quotas, outages, windows and pauses, with the mapping and what is kept
//! between calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::tests::{Fixture, MANIFEST, count, fails, fixture_of};
use super::{Pipeline, Stores, shortest_call};
use crate::control::governor::TICK;
use crate::control::item::{Control, OpenedBy, ProviderStop};
use crate::fetcher::FetchRequest;
use crate::item::Entry;
use crate::mapping::{Mapping, MappingChange, MappingError, MappingState};
use crate::operate;
use crate::pipeline::report::{End, Stopped};
use crate::random::RandomSource;
use crate::record::{Failure, FailureKind};
use crate::sink::Compression;
use crate::testing::scripted::Answer;

const MINUTE: Duration = Duration::from_secs(60);

/// A provider whose answers take half a second.
fn slow(request: &FetchRequest) -> Answer {
    Answer::record(&request.id).after(Duration::from_millis(500))
}

impl Fixture {
    fn entries(&self, numbers: std::ops::Range<usize>) -> Vec<Entry> {
        numbers.map(|number| self.entry(number as u64, &format!("i{number:05}"))).collect()
    }

    async fn control(&self) -> Control {
        use crate::ledger::Ledger;
        self.ledger.control("demo").await.unwrap()
    }

    /// Another process for the same provider: nothing is remembered but what is kept.
    pub(super) fn restart(&self) -> Arc<Pipeline> {
        self.with_mapping(self.mapping.clone(), 2)
    }

    /// One of several other processes: each draws its owners' names from a seed of its own.
    pub(super) fn restarted_as(&self, seed: u64) -> Arc<Pipeline> {
        self.with_mapping(self.mapping.clone(), seed)
    }

    /// The same, fed by another mapping.
    fn with_mapping(&self, mapping: Arc<dyn Mapping>, seed: u64) -> Arc<Pipeline> {
        let stores = Stores {
            ledger: self.ledger.clone(),
            sink: Arc::new(object_store::memory::InMemory::new()),
            compression: Compression::None,
            mapping,
            clock: self.clock.clone(),
            random: RandomSource::from_seed(seed),
        };
        Pipeline::new(self.pipeline.manifest().clone(), self.api.clone(), stores)
    }

    /// Deliver entries as a mapping does, with ticks, until all have ended. Returns how many became dead letters.
    pub(super) async fn deliver(&self, mut left: Vec<Entry>) -> usize {
        let mut dead = 0;
        let mut next_tick = Instant::now() + TICK;
        while !left.is_empty() {
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.pipeline.tick().await.unwrap();
            }
            let mapping = self.mapping.now();
            if !mapping.enabled {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            let batch: Vec<Entry> = left.iter().take(mapping.batch_size as usize).cloned().collect();
            let report = self.process_entries(batch).await;
            dead += count(&report, End::DeadLetter);
            left.retain(|entry| report.ended.iter().all(|(sequence, _)| *sequence != entry.sequence));
        }
        dead
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_never_passed_and_the_next_day_goes_on() {
    let manifest = MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 100");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    let report = fixture.process_entries(fixture.entries(0..250)).await;
    assert_eq!(report.stopped, Some(Stopped::QuotaSpent));
    assert_eq!((count(&report, End::Fetched), fixture.api.call_log().times.len()), (100, 100));
    assert!(!fixture.mapping.now().enabled, "the mapping is off until the day is over");
    let disabled = fixture.control().await.governor.disabled.unwrap();
    assert_eq!((disabled.by, disabled.until), (OpenedBy::Quota, Some("2026-11-23T00:00:00Z".parse().unwrap())));

    let stray = fixture.process_entries(fixture.entries(100..110)).await;
    assert_eq!((stray.stopped, fixture.api.call_log().times.len()), (Some(Stopped::QuotaSpent), 100));
    assert_eq!(fixture.pipeline.tick().await.unwrap(), None, "not yet");

    sleep(12 * 60 * MINUTE).await;
    assert_eq!(fixture.pipeline.tick().await.unwrap().and_then(|change| change.enabled), Some(true));
    fixture.process_entries(fixture.entries(100..250)).await;
    assert_eq!(fixture.api.call_log().times.len(), 200, "a hundred of the new day");
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_quota_and_what_is_set_aside_is_given_back() {
    let manifest = MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 60");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    let other = fixture.restart();
    let (never, deadline) = (CancellationToken::new(), Instant::now() + 14 * MINUTE);
    tokio::join!(
        fixture.process_entries(fixture.entries(0..50)),
        other.process(fixture.entries(50..100), deadline, &never)
    );
    let asked = fixture.api.call_log().times.len();
    assert!(asked <= 60, "{asked}");
    assert_eq!(fixture.control().await.usage.requests, asked as u64, "what was not sent was given back");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_fetch_fits_into_says_so_and_claims_nothing() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
    let entries = vec![fixture.entry(0, "a"), Entry { payload: "nonsense".into(), ..fixture.entry(1, "x") }];
    let call = async |milliseconds| {
        let deadline = Instant::now() + Duration::from_millis(milliseconds);
        fixture.pipeline.process(entries.clone(), deadline, &CancellationToken::new()).await
    };
    let report = call(6_900).await;
    assert_eq!((report.stopped, report.first_unfinished), (Some(Stopped::Deadline), Some(0.into())));
    assert_eq!((report.ended, fixture.ledger.claims()), (vec![(1.into(), End::DeadLetter)], 0));
    assert!(fixture.api.call_log().times.is_empty());
    assert_eq!(call(shortest_call(Duration::from_secs(2)).as_millis() as u64).await.first_unfinished, None);
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_without_a_quota_too() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..12)).await;
    assert_eq!(fixture.control().await.usage.requests, 12);
}

#[tokio::test(start_paused = true)]
async fn a_two_hour_outage_disables_the_mapping_and_heals_by_itself() {
    let begin = Instant::now();
    let down = move || (10 * MINUTE..130 * MINUTE).contains(&begin.elapsed());
    let fixture = fixture_of(MANIFEST, move |request, _| {
        if down() { fails(FailureKind::Unavailable).after(Duration::from_millis(50)) } else { slow(request) }
    });
    let entries = fixture.entries(0..6_000);
    let dead = fixture.deliver(entries).await;
    assert_eq!(dead, 0, "an outage gives up no item");
    let times = fixture.api.call_log().times;
    let into_it = times.iter().filter(|(at, _)| (10 * MINUTE..130 * MINUTE).contains(&(*at - begin))).count();
    assert!(into_it <= 90, "{into_it} requests into a two-hour outage");
    let disables = fixture.mapping.changes().iter().filter(|(_, change)| change.enabled == Some(false)).count();
    assert!(disables >= 2, "disabled, tried and disabled again: {disables}");
    let first_after = times.iter().map(|(at, _)| *at - begin).find(|at| *at >= 130 * MINUTE).unwrap();
    assert!(first_after <= 130 * MINUTE + TICK + 2 * MINUTE, "{first_after:?}");
    assert_eq!(fixture.control().await.breaker, ProviderStop::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_at_the_head_does_not_keep_an_api_down() {
    let begin = Instant::now();
    let fixture = fixture_of(MANIFEST, move |request, _| match request.id.as_str() {
        "i00000" => fails(FailureKind::Unavailable),
        _ if begin.elapsed() < 20 * MINUTE => fails(FailureKind::Unavailable),
        _ => slow(request),
    });
    fixture.deliver(fixture.entries(0..400)).await;
    assert!(begin.elapsed() < 60 * MINUTE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_alone_in_an_outage_spends_nothing() {
    let begin = Instant::now();
    let fixture = fixture_of(MANIFEST, move |request, _| {
        if begin.elapsed() < 180 * MINUTE { fails(FailureKind::Unavailable) } else { slow(request) }
    });
    assert_eq!(fixture.deliver(fixture.entries(0..1)).await, 0);
    assert!(begin.elapsed() < 180 * MINUTE + TICK + 2 * MINUTE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_breaker_is_told_to_all_processes_and_closes_by_itself() {
    let begin = Instant::now();
    let fixture = fixture_of(MANIFEST, move |request, _| {
        if begin.elapsed() < 2 * MINUTE { fails(FailureKind::Unavailable) } else { slow(request) }
    });
    let watching = async {
        sleep(MINUTE).await;
        fixture.control().await
    };
    let (report, control) = tokio::join!(fixture.process_entries(fixture.entries(0..60)), watching);
    assert!(!control.needs_operator());
    let ProviderStop::Open { by: OpenedBy::Breaker, reason, .. } = &control.breaker else { panic!("{control:?}") };
    assert!(reason.contains("unavailable: scripted"), "{reason}");
    assert_eq!(count(&report, End::Fetched), 60);
    assert_eq!(fixture.control().await.breaker, ProviderStop::Closed);
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_at_the_level_that_was_found() {
    let manifest = MANIFEST.replace("max_concurrency = 4", "max_concurrency = 65");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..4_000)).await;
    let found = fixture.pipeline.limiter_snapshot().limit;
    assert!(found > 30, "{found}");
    let other = fixture.restart();
    assert!(other.limiter_snapshot().limit <= 16, "it knows nothing yet");
    other.process(fixture.entries(9_000..9_001), Instant::now() + 14 * MINUTE, &CancellationToken::new()).await;
    assert_eq!(other.limiter_snapshot().limit, found);
}

#[tokio::test(start_paused = true)]
async fn the_batch_size_follows_the_rate() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..500)).await;
    let now = fixture.mapping.now();
    assert!((3_000..=4_200).contains(&now.batch_size), "six a second for ten minutes: {now:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_window_disables_the_mapping_until_it_opens() {
    let manifest = format!("{MANIFEST}\n[window]\nopen = [\"20:00-06:00\"]");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..3)).await;
    let disabled = fixture.control().await.governor.disabled.unwrap();
    assert_eq!((disabled.by, disabled.until), (OpenedBy::Window, Some("2026-11-22T20:00:00Z".parse().unwrap())));
    let begin = Instant::now();
    fixture.deliver(fixture.entries(0..3)).await;
    let opened = fixture.api.call_log().times[0].0 - begin;
    assert!(opened < 8 * 60 * MINUTE + TICK, "{opened:?}");
}

/// Nothing may start in a window's last seconds, and the window is not closed yet.
#[tokio::test(start_paused = true)]
async fn a_batch_is_not_delivered_again_and_again_while_a_window_is_about_to_close() {
    let manifest = format!("{MANIFEST}\n[window]\nopen = [\"06:00-12:01\"]");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    let begin = Instant::now();
    fixture.process_entries(fixture.entries(0..3)).await;
    sleep(MINUTE - Duration::from_millis(1_900) - begin.elapsed()).await;
    // One of its entries is known to be done.
    let begin = Instant::now();
    let report = fixture.process_entries(fixture.entries(2..6)).await;
    assert_eq!((report.stopped, fixture.api.call_log().times.len()), (Some(Stopped::WindowClosed), 3));
    assert!(begin.elapsed() >= MINUTE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_only_items_are_left_that_wait_is_not_delivered_again_and_again() {
    let fixture = fixture_of(MANIFEST, |request, _| match request.id.as_str() {
        "i00000" => {
            let retry_after = Some(50 * MINUTE);
            Answer::failure(Failure { retry_after, ..Failure::new(FailureKind::Malformed, "in fifty minutes") })
        }
        _ => slow(request),
    });
    assert_eq!(count(&fixture.process_entries(fixture.entries(0..3)).await, End::Fetched), 2);
    let begin = Instant::now();
    assert_eq!(fixture.process_entries(fixture.entries(0..3)).await.first_unfinished, Some(0.into()));
    assert!(begin.elapsed() >= MINUTE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_a_batch_under_way_and_no_tick_undoes_it() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    let pausing = async {
        sleep(MINUTE).await;
        let now = fixture.clock.now();
        operate::pause(&*fixture.ledger, &*fixture.mapping, "demo", now, "lunch").await.unwrap();
    };
    let (report, ()) = tokio::join!(fixture.process_entries(fixture.entries(0..5_000)), pausing);
    assert_eq!(report.stopped, Some(Stopped::BreakerOpen));
    let fetched = count(&report, End::Fetched);
    assert!((300..=440).contains(&fetched), "about a minute's worth: {fetched}");
    for _ in 0..20 {
        sleep(TICK).await;
        assert_eq!(fixture.pipeline.tick().await.unwrap(), None);
    }
    assert!(!fixture.mapping.now().enabled);
    operate::resume(&*fixture.ledger, &*fixture.mapping, "demo", fixture.clock.now(), None).await.unwrap();
    let again = fixture.process_entries(fixture.entries(0..600)).await;
    assert_eq!((count(&again, End::Fetched), fixture.stored_ids().await.len()), (600, 600));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_disabled_at_the_mapping_stays_disabled() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    fixture.mapping.set(MappingChange { batch_size: None, enabled: Some(false) });
    for _ in 0..5 {
        sleep(TICK).await;
        assert_eq!(fixture.pipeline.tick().await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_turns_the_mapping_off_until_its_time_has_come() {
    let begin = Instant::now();
    let fixture = fixture_of(MANIFEST, move |request, before| match (request.id.as_str(), before) {
        ("i00003", 0) => Answer::failure(Failure {
            retry_after: Some(120 * MINUTE),
            ..Failure::new(FailureKind::Throttled, "come back in two hours")
        }),
        _ => slow(request),
    });
    assert_eq!(fixture.deliver(fixture.entries(0..40)).await, 0);
    let times: Vec<Duration> = fixture.api.call_log().times.iter().map(|(at, _)| *at - begin).collect();
    let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(pause >= 119 * MINUTE && pause <= 120 * MINUTE + TICK + MINUTE, "{pause:?}");
    let disabled = fixture.mapping.changes().iter().any(|(_, change)| change.enabled == Some(false));
    assert!(disabled, "invocations would be wasted");
}

#[tokio::test(start_paused = true)]
async fn in_steady_state_the_mapping_is_neither_read_nor_changed() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..500)).await;
    fixture.process_entries(fixture.entries(500..600)).await;
    let (reads, changes) = (fixture.mapping.reads(), fixture.mapping.changes().len());
    for round in 6..36 {
        fixture.process_entries(fixture.entries(round * 100..round * 100 + 100)).await;
        assert_eq!(fixture.pipeline.tick().await.unwrap(), None);
    }
    assert_eq!(
        (fixture.mapping.reads(), fixture.mapping.changes().len()),
        (reads, changes),
        "thirty batches and ticks"
    );
}

/// A mapping whose service never answers.
struct Silent;

#[async_trait]
impl Mapping for Silent {
    async fn read(&self, _provider: &str) -> Result<MappingState, MappingError> {
        std::future::pending().await
    }

    async fn apply(&self, _provider: &str, _change: MappingChange) -> Result<(), MappingError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_does_not_answer_keeps_no_call_from_its_end() {
    let fixture = fixture_of(MANIFEST, |request, _| slow(request));
    let pipeline = fixture.with_mapping(Arc::new(Silent), 2);
    let begin = Instant::now();
    let report = pipeline.process(fixture.entries(0..10), begin + MINUTE, &CancellationToken::new()).await;
    assert_eq!(count(&report, End::Fetched), 10);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(fixture.control().await.limiter.is_some(), "what was learned is kept");
}

/// A mapping at whose first reading another process has its tick: right before the mapping is read, or before the
/// answer comes.
struct Interrupted {
    inner: Arc<dyn Mapping>,
    before: Mutex<Option<Arc<Pipeline>>>,
    after: Mutex<Option<Arc<Pipeline>>>,
}

impl Interrupted {
    fn pipeline(
        fixture: &Fixture,
        seed: u64,
        before: Option<Arc<Pipeline>>,
        after: Option<Arc<Pipeline>>,
    ) -> Arc<Pipeline> {
        let inner = fixture.mapping.clone();
        fixture.with_mapping(Arc::new(Self { inner, before: Mutex::new(before), after: Mutex::new(after) }), seed)
    }
}

#[async_trait]
impl Mapping for Interrupted {
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
        let (before, after) = (self.before.lock().unwrap().take(), self.after.lock().unwrap().take());
        if let Some(before) = before {
            before.tick().await.unwrap();
        }
        let state = self.inner.read(provider).await;
        if let Some(after) = after {
            after.tick().await.unwrap();
        }
        state
    }

    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError> {
        self.inner.apply(provider, change).await
    }
}

/// One process enables the mapping, a second one sees that, and a third one has read the mapping before.
#[tokio::test(start_paused = true)]
async fn a_reading_from_before_another_process_enabled_the_mapping_is_not_decided_by() {
    let manifest = format!("{MANIFEST}\n[window]\nopen = [\"20:00-06:00\"]");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    fixture.process_entries(fixture.entries(0..3)).await;
    sleep(9 * 60 * MINUTE).await;
    let second = Interrupted::pipeline(&fixture, 3, Some(fixture.restarted_as(2)), None);
    let third = Interrupted::pipeline(&fixture, 4, None, Some(second));
    assert_eq!(third.tick().await.unwrap(), None);
    assert_eq!((fixture.mapping.now().enabled, fixture.control().await.governor.disabled), (true, None));
}

/// A mapping that is read and never changed.
struct Stubborn;

#[async_trait]
impl Mapping for Stubborn {
    async fn read(&self, _provider: &str) -> Result<MappingState, MappingError> {
        Ok(MappingState { batch_size: 500, enabled: true, pending: false })
    }

    async fn apply(&self, provider: &str, _change: MappingChange) -> Result<(), MappingError> {
        Err(MappingError::Pending(provider.to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_of_a_quota_is_given_back_once_though_the_mapping_refuses() {
    let manifest = MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 1000");
    let fixture = fixture_of(&manifest, |request, _| slow(request));
    let pipeline = fixture.with_mapping(Arc::new(Stubborn), 2);
    let deadline = Instant::now() + 14 * MINUTE;
    pipeline.process(fixture.entries(0..53), deadline, &CancellationToken::new()).await;
    let asked = fixture.api.call_log().times.len() as u64;
    assert_eq!((asked, fixture.control().await.usage.requests), (53, 53));
}

#[tokio::test(start_paused = true)]
async fn what_strays_after_the_mapping_was_disabled_fetches_nothing() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::Unavailable));
    let mut batches = 0;
    while fixture.mapping.now().enabled {
        fixture.process_entries(fixture.entries(0..20)).await;
        batches += 1;
        assert!(batches < 20, "the mapping is never disabled");
    }
    let asked = fixture.api.call_log().times.len();
    for pipeline in [fixture.pipeline.clone(), fixture.restart()] {
        let deadline = Instant::now() + 14 * MINUTE;
        let report = pipeline.process(fixture.entries(0..20), deadline, &CancellationToken::new()).await;
        assert_eq!((report.stopped, report.ended.len()), (Some(Stopped::ApiDown), 0));
        assert_eq!(report.first_unfinished, Some(0.into()));
    }
    assert_eq!(fixture.api.call_log().times.len(), asked);
    let attempts: u32 = fixture.ledger.rows("demo").values().map(|row| row.attempts).sum();
    assert_eq!(attempts, 0);
}
