//! The pipeline against a scripted API, a ledger in memory and a paused clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Pipeline, Stores};
use crate::clock::{SteppedClock, WallClock};
use crate::control::item::{Control, OpenedBy, ProviderStop};
use crate::dead_letter::Reason;
use crate::fetcher::FetchRequest;
use crate::item::{Entry, SequenceNumber};
use crate::ledger::{Claim, ClaimRequest, Ledger, Owner};
use crate::manifest::Manifest;
use crate::pipeline::report::{End, Report, Stopped};
use crate::random::RandomSource;
use crate::record::{Failure, FailureKind};
use crate::sink::{Compression, create, object_path};
use crate::testing::mapping::MemoryMapping;
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::{Answer, Scripted};

pub(super) const MANIFEST: &str = r#"
name = "demo"
version = "0.1.0"
[egress]
hosts = ["api.example.org"]
[limits]
max_concurrency = 4
fetch_timeout = "2s"
[retry]
max_attempts = 3
backoff = "1s"
spread = "0s"
max_item_age = "3d"
"#;

/// A pipeline and everything around it.
pub(super) struct Fixture {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) api: Arc<Scripted>,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) sink: Arc<InMemory>,
    pub(super) mapping: Arc<MemoryMapping>,
    pub(super) clock: WallClock,
    /// The same clock, to step it.
    pub(super) machine: SteppedClock,
}

pub(super) fn fixture(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> Fixture {
    fixture_of(MANIFEST, script)
}

pub(super) fn fixture_of(
    manifest: &str,
    script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static,
) -> Fixture {
    fixture_on(MemoryLedger::default(), manifest, script)
}

pub(super) fn fixture_on(
    ledger: MemoryLedger,
    manifest: &str,
    script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static,
) -> Fixture {
    let machine = SteppedClock::new("2026-11-22T12:00:00Z".parse().unwrap());
    let clock = WallClock::from(&machine);
    let (ledger, sink, api) = (Arc::new(ledger), Arc::new(InMemory::new()), Arc::new(Scripted::new(script)));
    let mapping = Arc::new(MemoryMapping::new(500, Duration::ZERO));
    let random = RandomSource::from_seed(1);
    let compression = Compression::None;
    let stores = Stores {
        ledger: ledger.clone(),
        sink: sink.clone(),
        compression,
        mapping: mapping.clone(),
        clock: clock.clone(),
        random,
    };
    let pipeline = Pipeline::new(Manifest::parse(manifest).unwrap(), api.clone(), stores);
    Fixture { pipeline, api, ledger, sink, mapping, clock, machine }
}

impl Fixture {
    pub(super) async fn process(&self, ids: &[&str]) -> Report {
        self.process_entries(ids.iter().enumerate().map(|(number, id)| self.entry(number as u64, id)).collect()).await
    }

    pub(super) async fn process_entries(&self, entries: Vec<Entry>) -> Report {
        self.pipeline.process(entries, Instant::now() + Duration::from_secs(900), &CancellationToken::new()).await
    }

    pub(super) fn entry(&self, number: u64, id: &str) -> Entry {
        let payload = serde_json::json!({ "id": id }).to_string().into();
        Entry { sequence: number.into(), arrived: self.clock.now(), payload }
    }

    /// The ids in the sink, one for each line, sorted.
    pub(super) async fn stored_ids(&self) -> Vec<String> {
        let objects: Vec<_> = self.sink.list(None).try_collect().await.unwrap();
        let mut ids = Vec::new();
        for object in objects {
            let content = self.sink.get(&object.location).await.unwrap().bytes().await.unwrap();
            for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                ids.push(line["id"].as_str().unwrap().to_owned());
            }
        }
        ids.sort();
        ids
    }

    async fn breaker(&self) -> ProviderStop {
        self.ledger.control("demo").await.unwrap().breaker
    }

    fn reasons(&self) -> Vec<Reason> {
        self.ledger.letters("demo").into_iter().map(|letter| letter.reason).collect()
    }
}

fn ends(report: &Report) -> BTreeMap<String, End> {
    report.ended.iter().map(|(sequence, end)| (sequence.to_string(), *end)).collect()
}

pub(super) fn count(report: &Report, end: End) -> usize {
    report.ended.iter().filter(|(_, each)| *each == end).count()
}

pub(super) fn fails(kind: FailureKind) -> Answer {
    Answer::failure(Failure::new(kind, "scripted"))
}

pub(super) fn many(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:03}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_fetched_once_and_stored() {
    let fixture = fixture(|request, _| Answer::record(&request.id).after(Duration::from_millis(30)));
    let report = fixture.process(&["a", "b", "a", "c"]).await;
    assert_eq!(
        ends(&report).into_values().collect::<Vec<_>>(),
        [End::Fetched, End::Fetched, End::Skipped, End::Fetched]
    );
    assert_eq!((report.first_unfinished, report.stopped), (None, None));
    assert_eq!(fixture.stored_ids().await, ["a", "b", "c"]);
    assert!(fixture.api.call_log().asked.values().all(|asked| *asked == 1));
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_batch_fetches_only_what_is_not_done() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    fixture.process(&["a", "b"]).await;
    let report = fixture.process(&["a", "b", "c", "a"]).await;
    let expected = [End::Fetched, End::Fetched, End::Fetched, End::Skipped];
    assert_eq!(ends(&report).into_values().collect::<Vec<_>>(), expected, "entries 0 and 1 are what they were");
    assert_eq!(fixture.stored_ids().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn never_more_in_flight_than_the_cap_less_the_ad_hoc_slot() {
    let fixture = fixture(|request, _| Answer::record(&request.id).after(Duration::from_millis(50)));
    let ids = many("i", 40);
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(fixture.api.call_log().peak, 3);
}

#[tokio::test(start_paused = true)]
async fn starts_keep_the_manifests_rate_and_what_is_done_costs_no_turn() {
    let manifest = MANIFEST.replace("[limits]", "[limits]\nrequests_per_second = 2");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    let (ids, more) = (many("i", 10), many("i", 12));
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let before = Instant::now();
    fixture.process(&more.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let times = fixture.api.call_log().times;
    assert!(times.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_millis(499)), "{times:?}");
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn not_found_is_a_dead_letter_and_so_is_what_cannot_be_read() {
    let fixture = fixture(|request, _| match request.id.as_str() {
        "gone" => fails(FailureKind::NotFound),
        id => Answer::record(id),
    });
    let garbage = Entry { payload: Bytes::from_static(b"\xff{"), ..fixture.entry(9, "x") };
    let report = fixture.process_entries(vec![fixture.entry(0, "a"), fixture.entry(1, "gone"), garbage]).await;
    assert_eq!(count(&report, End::DeadLetter), 2);
    let letters = fixture.ledger.letters("demo");
    assert_eq!(letters.len(), 2);
    assert!(
        letters
            .iter()
            .any(|letter| letter.reason == Reason::Unreadable && letter.payload == Bytes::from_static(b"\xff{"))
    );
    assert!(letters.iter().any(|letter| letter.reason == Reason::NotFound && letter.attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_spends_its_attempts_while_others_come() {
    let fixture = fixture(|request, _| match request.id.as_str() {
        "poison" => fails(FailureKind::Unavailable),
        id => Answer::record(id).after(Duration::from_millis(100)),
    });
    let mut ids = many("i", 300);
    ids.insert(0, "poison".into());
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(report.first_unfinished, None);
    assert_eq!(fixture.reasons(), [Reason::AttemptsSpent]);
    assert_eq!(count(&report, End::Fetched), 300);
}

#[tokio::test(start_paused = true)]
async fn an_outage_gives_up_no_item_and_ends_by_itself() {
    let back = Instant::now() + Duration::from_secs(300);
    let fixture =
        fixture(
            move |request, _| {
                if Instant::now() < back { fails(FailureKind::Unavailable) } else { Answer::record(&request.id) }
            },
        );
    let ids = many("i", 30);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count(&report, End::Fetched), 30);
    assert!(fixture.ledger.letters("demo").is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_before_a_retry_after() {
    let fixture = fixture(|request, before| match (request.id.as_str(), before) {
        ("i000", 0) => Answer::failure(Failure {
            retry_after: Some(Duration::from_secs(20)),
            ..Failure::new(FailureKind::Throttled, "slow down")
        }),
        (id, _) => Answer::record(id).after(Duration::from_millis(10)),
    });
    let start = Instant::now();
    let ids = many("i", 20);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count(&report, End::Fetched), 20);
    let early = fixture.api.call_log().times.iter().filter(|(at, _)| *at - start < Duration::from_secs(20)).count();
    assert!(early <= 3, "only what was in flight already: {early}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_release_opens_the_breaker_within_twenty_and_empties_nothing() {
    for kind in [FailureKind::Trapped, FailureKind::Unauthorized, FailureKind::NotFound, FailureKind::Broken] {
        let scripted = kind.clone();
        let manifest = MANIFEST.replace("max_concurrency = 4", "max_concurrency = 64");
        let fixture = fixture_of(&manifest, move |_, _| fails(scripted.clone()).after(Duration::from_millis(20)));
        let ids = many("i", 500);
        let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(report.stopped, Some(Stopped::BreakerOpen), "{kind}");
        assert_eq!(report.first_unfinished, Some(SequenceNumber::from(0)), "{kind}");
        assert!(fixture.api.call_log().times.len() <= 20, "{kind}: {} requests", fixture.api.call_log().times.len());
        assert!(fixture.ledger.letters("demo").is_empty(), "{kind}: {:?}", fixture.reasons());
        let ProviderStop::Open { by: OpenedBy::Config, reason, .. } = fixture.breaker().await else {
            panic!("{kind}: closed")
        };
        assert!(reason.contains("scripted"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_mend_it_goes_on_where_it_stopped() {
    let mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let api = Arc::clone(&mended);
    let fixture = fixture(move |request, _| {
        if api.load(std::sync::atomic::Ordering::SeqCst) {
            Answer::record(&request.id)
        } else {
            fails(FailureKind::Unauthorized)
        }
    });
    let ids = many("i", 50);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    fixture.process(&ids).await;
    let gated = fixture.process(&ids).await;
    assert_eq!((gated.stopped, gated.ended.len()), (Some(Stopped::BreakerOpen), 0));
    mended.store(true, std::sync::atomic::Ordering::SeqCst);
    let control = fixture.ledger.control("demo").await.unwrap();
    assert!(
        fixture.ledger.update_control("demo", &Control { breaker: ProviderStop::Closed, ..control }).await.unwrap()
    );
    let report = fixture.process(&ids).await;
    assert_eq!(count(&report, End::Fetched), 50);
}

#[tokio::test(start_paused = true)]
async fn a_grant_lets_dead_letters_pass_and_is_used_up() {
    let fixture = fixture(|_, _| fails(FailureKind::NotFound));
    let control = fixture.ledger.control("demo").await.unwrap();
    fixture.ledger.update_control("demo", &Control { dead_letters_allowed: 25, ..control }).await.unwrap();
    let ids = many("i", 25);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count(&report, End::DeadLetter), 25);
    assert_eq!(fixture.ledger.control("demo").await.unwrap().dead_letters_allowed, 0);
}

/// An owner that claimed `ids` and died.
pub(super) async fn crashed_owner(fixture: &Fixture, ids: &[&str], lease: Duration) -> Owner {
    let owner = Owner::unique(fixture.clock.now());
    for (number, id) in ids.iter().enumerate() {
        let item = crate::item::Item::new((*id).to_owned(), BTreeMap::new()).unwrap();
        let identity = item.identity(&[]).unwrap();
        let today = fixture.pipeline.manifest().window.day(fixture.clock.now());
        let sequence = SequenceNumber::from(number as u64);
        let request = ClaimRequest {
            provider: "demo",
            identity: &identity,
            sequence: &sequence,
            today,
            since: today,
            owner: &owner,
            now: fixture.clock.now(),
            lease: fixture.clock.now() + lease,
        };
        assert!(matches!(fixture.ledger.claim(request).await.unwrap(), Claim::Granted { .. }));
    }
    owner
}

#[tokio::test(start_paused = true)]
async fn an_expired_claim_is_recovered_from_its_owners_objects() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    let owner = crashed_owner(&fixture, &["stored", "lost"], Duration::from_secs(30)).await;
    let path = object_path("demo", "2026-11-22".parse().unwrap(), &owner, 0);
    create(&*fixture.sink, &path, Bytes::from_static(b"{\"id\":\"stored\"}\n")).await.unwrap();
    let start = Instant::now();
    let report = fixture.process(&["stored", "lost"]).await;
    assert_eq!(count(&report, End::Fetched), 2);
    assert!(start.elapsed() >= Duration::from_secs(30), "a claim is held until its lease ends");
    assert_eq!(fixture.api.call_log().asked, BTreeMap::from([("lost".to_owned(), 1)]));
    assert_eq!(fixture.stored_ids().await, ["lost", "stored"]);
    let late = object_path("demo", "2026-11-22".parse().unwrap(), &owner, 1);
    assert!(
        create(&*fixture.sink, &late, Bytes::from_static(b"{\"id\":\"lost\"}\n")).await.is_err(),
        "the dead owner is sealed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_parks_never_risks_a_second_call() {
    let manifest = MANIFEST.replace("[retry]", "[retry]\non_lease_expiry = \"park\"");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    crashed_owner(&fixture, &["a"], Duration::from_secs(1)).await;
    let report = fixture.process(&["a"]).await;
    assert_eq!(count(&report, End::DeadLetter), 1);
    assert_eq!(fixture.reasons(), [Reason::Uncertain]);
    assert!(fixture.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_item_becomes_our_own_dead_letter() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    let old = Entry { arrived: fixture.clock.now() - 73.hours(), ..fixture.entry(0, "a") };
    fixture.process_entries(vec![old]).await;
    assert_eq!(fixture.reasons(), [Reason::TooOld]);
    assert!(fixture.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_share_the_cap_and_double_nothing() {
    let fixture = fixture(|request, _| Answer::record(&request.id).after(Duration::from_millis(40)));
    let ids = many("i", 60);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (first, second) = tokio::join!(fixture.process(&ids), fixture.process(&ids));
    assert!(fixture.api.call_log().peak <= 4, "{}", fixture.api.call_log().peak);
    assert!(fixture.api.call_log().asked.values().all(|asked| *asked == 1));
    assert_eq!((first.first_unfinished, second.first_unfinished), (None, None));
    assert_eq!(fixture.stored_ids().await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_timed_out_keeps_its_permit_while_the_api_may_work_at_it() {
    let fixture = fixture(|request, before| match (request.id.as_str(), before) {
        ("i000" | "i001" | "i002", 0) => {
            Answer { unanswered: true, ..fails(FailureKind::TimedOut).after(Duration::from_secs(2)) }
        }
        (id, _) => Answer::record(id),
    });
    let start = Instant::now();
    let ids = many("i", 6);
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let times = fixture.api.call_log().times;
    // Sent at 0, given up at 2 s, held until 2 s and a margin after they were sent.
    assert!(times[3].0 - start >= Duration::from_secs(3), "{:?}", times[3].0 - start);
}

#[tokio::test(start_paused = true)]
async fn a_failing_sink_loses_nothing_and_says_why() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    let clock = fixture.clock.clone();
    let folder = Arc::new(object_store::local::LocalFileSystem::new());
    let broken: Arc<dyn ObjectStore> = Arc::new(object_store::prefix::PrefixStore::new(folder, "proc/nowhere"));
    let mapping = fixture.mapping.clone();
    let (ledger, compression) = (fixture.ledger.clone(), Compression::None);
    let stores = Stores { ledger, sink: broken, compression, mapping, clock, random: RandomSource::System };
    let pipeline = Pipeline::new(Manifest::parse(MANIFEST).unwrap(), fixture.api.clone(), stores);
    let deadline = Instant::now() + Duration::from_secs(900);
    let report = pipeline.process(vec![fixture.entry(0, "a")], deadline, &CancellationToken::new()).await;
    assert!(matches!(&report.stopped, Some(Stopped::Storage(why)) if why.contains("demo/2026-11-22")), "{report:?}");
    assert_eq!(report.first_unfinished, Some(SequenceNumber::from(0)));
    assert_eq!(count(&fixture.process(&["a"]).await, End::Fetched), 1);
}

#[tokio::test(start_paused = true)]
async fn many_records_are_stored_in_chunks() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    let ids = many("i", 1_200);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count(&report, End::Fetched), 1_200);
    let objects: Vec<_> = fixture.sink.list(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(objects.len(), 3);
    let _: Timestamp = fixture.clock.now();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_holds_the_fetch_that_failed_last() {
    let fixture = fixture(|_, before| fails(if before < 2 { FailureKind::Malformed } else { FailureKind::Rejected }));
    fixture.process(&["a"]).await;
    let letter = fixture.ledger.letters("demo").remove(0);
    let bundle = letter.bundle.unwrap();
    assert_eq!((bundle.kind, bundle.attempt, bundle.day.to_string()), (FailureKind::Rejected, 3, "2026-11-22".into()));
}
