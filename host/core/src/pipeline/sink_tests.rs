//! The pipeline over a sink whose answers are lost, late, slow or wrong: nothing is lost, nothing is doubled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::crash_tests::stored_ids;
use super::{AdHoc, Pipeline, Stores};
use crate::clock::WallClock;
use crate::item::{Entry, Item, Params, SequenceNumber};
use crate::ledger::{Abandoned, ClaimRequest, Ledger, Owner};
use crate::manifest::Manifest;
use crate::pipeline::report::{End, Report, Stopped};
use crate::pipeline::tests::{MANIFEST, count};
use crate::random::RandomSource;
use crate::sink::{Compression, create, object_path};
use crate::testing::mapping::MemoryMapping;
use crate::testing::memory::{MemoryLedger, RowState};
use crate::testing::scripted::{Answer, Scripted};
use crate::testing::store::{FaultyStore, StoreAction, StoreFault, StoreOperation};

const SECOND: Duration = Duration::from_secs(1);

/// The state that all workers share.
struct World {
    ledger: Arc<MemoryLedger>,
    memory: Arc<InMemory>,
    api: Arc<Scripted>,
    clock: WallClock,
}

impl World {
    /// An API that takes so long for a record.
    fn new(latency: Duration) -> Self {
        Self {
            ledger: Arc::default(),
            memory: Arc::new(InMemory::new()),
            api: Arc::new(Scripted::new(move |request, _| Answer::record(&request.id).after(latency))),
            clock: WallClock::from_epoch("2026-11-22T12:00:00Z".parse().unwrap()),
        }
    }

    /// A process whose sink is the world's, seen through `sink`.
    fn worker(&self, sink: Arc<dyn ObjectStore>) -> Arc<Pipeline> {
        let stores = Stores {
            ledger: self.ledger.clone(),
            sink,
            compression: Compression::None,
            mapping: Arc::new(MemoryMapping::new(500, Duration::ZERO)),
            clock: self.clock.clone(),
            random: RandomSource::System,
        };
        Pipeline::new(Manifest::parse(MANIFEST).unwrap(), self.api.clone(), stores)
    }

    /// The sink as it is seen by a process for which operations go by `plan`.
    fn seen_through(
        &self,
        plan: impl Fn(&StoreOperation<'_>) -> StoreFault + Send + Sync + 'static,
    ) -> Arc<FaultyStore> {
        Arc::new(FaultyStore::new(self.memory.clone(), plan))
    }

    /// The sink where the first put of a chunk goes wrong like this.
    fn first_chunk(&self, fault: StoreFault) -> Arc<FaultyStore> {
        let chunks = AtomicUsize::new(0);
        self.seen_through(move |operation| {
            let is_first = operation.is_chunk() && chunks.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first { fault } else { StoreFault::None }
        })
    }

    fn entries(&self, ids: &[&str]) -> Vec<Entry> {
        let entry = |(number, id): (usize, &&str)| Entry {
            sequence: (number as u64).into(),
            arrived: self.clock.now(),
            payload: serde_json::json!({ "id": id }).to_string().into(),
        };
        ids.iter().enumerate().map(entry).collect()
    }

    async fn process(&self, sink: Arc<dyn ObjectStore>, ids: &[&str]) -> Report {
        let deadline = Instant::now() + 900 * SECOND;
        self.worker(sink).process(self.entries(ids), deadline, &CancellationToken::new()).await
    }

    /// The ids of the sink's lines, sorted.
    async fn stored_ids(&self) -> Vec<String> {
        let mut ids = stored_ids(&self.memory).await;
        ids.sort();
        ids
    }

    /// A worker has died that had claimed this id, and had stored these chunks.
    async fn abandon(&self, id: &str, chunks: &[(u32, &'static str)]) -> Abandoned {
        let (now, owner) = (self.clock.now(), Owner::from("dead"));
        let item = Item::new(id.to_owned(), Params::new()).unwrap();
        let day = Manifest::parse(MANIFEST).unwrap().window.day(now);
        let request = ClaimRequest {
            provider: "demo",
            identity: &item.identity(&[]).unwrap(),
            sequence: &SequenceNumber::from(0),
            today: day,
            since: day,
            owner: &owner,
            now,
            lease: now,
        };
        self.ledger.claim(request).await.unwrap();
        for (number, lines) in chunks {
            let path = object_path("demo", day, &owner, *number);
            create(&*self.memory, &path, Bytes::from_static(lines.as_bytes())).await.unwrap();
        }
        Abandoned { day, owner }
    }
}

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// How a put may go wrong, and whether the worker knows in the end that its chunk is stored.
const FAULTS: [(StoreFault, bool); 10] = [
    (StoreFault::AnswerLost, true),
    (StoreFault::Repeated, true),
    (StoreFault::SlowAnswer(Duration::from_secs(70)), true),
    (StoreFault::FailsBefore, false),
    (StoreFault::Full, false),
    (StoreFault::Late, false),
    (StoreFault::LateBy(Duration::from_secs(20)), false),
    (StoreFault::Slow(Duration::from_secs(70)), false),
    (StoreFault::Hangs, false),
    (StoreFault::Vanished, false),
];

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_a_put_each_record_is_stored_once() {
    for (fault, is_known_stored) in FAULTS {
        let world = World::new(Duration::from_millis(30));
        let sink = world.first_chunk(fault);
        let first = world.process(sink.clone(), &IDS).await;
        if is_known_stored {
            assert_eq!((count(&first, End::Fetched), first.stopped), (IDS.len(), None), "{fault:?}");
        } else {
            assert!(matches!(first.stopped, Some(Stopped::Storage(_))), "{fault:?}: {first:?}");
            assert!(first.ended.is_empty(), "{fault:?}: {first:?}");
        }
        sink.land().await;
        let second = world.process(world.memory.clone(), &IDS).await;
        sink.land().await;
        sleep(100 * SECOND).await;
        assert_eq!(second.ended.len(), IDS.len(), "{fault:?}: {second:?}");
        assert_eq!(world.stored_ids().await, IDS, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_an_ad_hoc_put_its_record_is_stored_once() {
    let fetch = async |worker: Arc<Pipeline>| {
        let item = Item::new("a".to_owned(), Params::new()).unwrap();
        worker.fetch_now(item, Instant::now() + 600 * SECOND).await.unwrap()
    };
    for (fault, is_known_stored) in FAULTS {
        let world = World::new(Duration::from_millis(30));
        let sink = world.first_chunk(fault);
        let first = fetch(world.worker(sink.clone())).await;
        assert_eq!(matches!(first, AdHoc::Record(_)), is_known_stored, "{fault:?}: {first:?}");
        sink.land().await;
        let second = fetch(world.worker(world.memory.clone())).await;
        sink.land().await;
        sleep(100 * SECOND).await;
        assert_eq!(matches!(second, AdHoc::Record(_)), !is_known_stored, "{fault:?}: {second:?}");
        assert_eq!(world.stored_ids().await, ["a"], "{fault:?}");
    }
}

/// The whole store fails: nothing can be found out, so nothing is given back.
#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_found_out_the_claims_run_out_and_are_recovered() {
    let world = World::new(Duration::from_millis(30));
    let puts = AtomicUsize::new(0);
    let sink = world.seen_through(move |operation| match operation.action {
        StoreAction::Put { .. } if puts.fetch_add(1, Ordering::SeqCst) == 0 => StoreFault::AnswerLost,
        _ => StoreFault::FailsBefore,
    });
    let first = world.process(sink, &IDS).await;
    assert!(first.ended.is_empty() && matches!(first.stopped, Some(Stopped::Storage(_))), "{first:?}");
    let rows = world.ledger.rows("demo");
    assert!(rows.values().all(|row| matches!(row.state, RowState::InFlight { .. })), "{rows:?}");
    let second = world.process(world.memory.clone(), &IDS).await;
    assert_eq!(count(&second, End::Fetched), IDS.len(), "{second:?}");
    assert_eq!(world.stored_ids().await, IDS);
    assert_eq!(world.api.call_log().times.len(), IDS.len(), "the chunk was there, and was found");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_and_loses_nothing() {
    let world = World::new(Duration::from_millis(30));
    let full = world.seen_through(|operation| match operation.action {
        StoreAction::Put { .. } => StoreFault::Full,
        _ => StoreFault::None,
    });
    let report = world.process(full, &IDS).await;
    let Some(Stopped::Storage(why)) = &report.stopped else { panic!("{report:?}") };
    assert!(why.starts_with("cannot write demo/2026-11-22/"), "{why}");
    assert!(why.ends_with("000000.ndjson: the disk is full: free some space and run again; nothing is lost"), "{why}");
    assert_eq!(count(&world.process(world.memory.clone(), &IDS).await, End::Fetched), IDS.len());
    assert_eq!(world.stored_ids().await, IDS);
}

/// A worker freezes while it puts a chunk; another takes over, and seals it; it wakes up, with more records in hand.
#[tokio::test(start_paused = true)]
async fn a_sealed_worker_stores_nothing_under_any_number() {
    let world = World::new(2 * SECOND - Duration::from_millis(100));
    let ids: Vec<String> = (0..24).map(|number| format!("i{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let sink = world.first_chunk(StoreFault::Slow(50 * SECOND));
    let (slept, took_over) = tokio::join!(world.process(sink, &ids), async {
        sleep(25 * SECOND).await;
        world.process(world.memory.clone(), &ids).await
    });
    assert_eq!(slept.stopped, Some(Stopped::TakenOver), "{slept:?}");
    assert!(took_over.first_unfinished.is_none(), "{took_over:?}");
    assert_eq!(world.stored_ids().await, ids);
}

/// A record that another worker had stored is finished, also if the chunk that it waits with cannot be stored: a release would
/// lose the fact that it is there.
#[tokio::test(start_paused = true)]
async fn a_recovered_record_is_finished_though_the_chunk_beside_it_is_not_stored() {
    let world = World::new(Duration::from_millis(30));
    world.abandon("a", &[(0, "{\"id\":\"a\"}\n")]).await;
    let first = world.process(world.first_chunk(StoreFault::FailsBefore), &["a", "b"]).await;
    assert_eq!(first.ended, [(0.into(), End::Fetched)], "{first:?}");
    let second = world.process(world.memory.clone(), &["a", "b"]).await;
    assert_eq!(second.ended.len(), 2, "{second:?}");
    assert_eq!(world.stored_ids().await, ["a", "b"]);
    assert_eq!(world.api.call_log().asked.get("a"), None, "it was there");
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_numbers_is_recovered_and_ends() {
    let world = World::new(Duration::from_millis(30));
    // The first chunk was moved away by a consumer.
    let abandoned = world.abandon("b", &[(1, "{\"id\":\"b\"}\n")]).await;
    // Time passes while it is listed: a loop without an end is seen.
    let sink = world.seen_through(|operation| match operation.action {
        StoreAction::List => StoreFault::Slow(Duration::from_millis(1)),
        _ => StoreFault::None,
    });
    let report = timeout(60 * SECOND, world.process(sink, &["b"])).await.expect("it ends");
    assert_eq!(report.ended, [(0.into(), End::Fetched)]);
    assert_eq!(world.stored_ids().await, ["b"]);
    let folder = crate::sink::owner_folder("demo", abandoned.day, &abandoned.owner);
    let mut names: Vec<_> = world.memory.list(Some(&folder)).try_collect::<Vec<_>>().await.unwrap();
    names.sort_by(|one, other| one.location.cmp(&other.location));
    let names: Vec<_> = names.iter().map(|object| object.location.filename().unwrap()).collect();
    assert_eq!(names, ["000001.ndjson", "000002.ndjson", "000002.ndjson.zst"], "sealed behind the highest");
}

/// A recovery that gets no answer ends with the call, and leaves what it was about for the next.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_recovery_and_forgets_nobody() {
    let world = World::new(Duration::from_millis(30));
    let abandoned = world.abandon("a", &[(0, "{\"id\":\"a\"}\n")]).await;
    let stuck = world.seen_through(|operation| match operation.action {
        StoreAction::List => StoreFault::Hangs,
        _ => StoreFault::None,
    });
    let stop = CancellationToken::new();
    let (began, worker) = (Instant::now(), world.worker(stuck));
    let (report, ()) = tokio::join!(worker.process(world.entries(&["a"]), began + 900 * SECOND, &stop), async {
        sleep(SECOND).await;
        stop.cancel();
    });
    assert_eq!(report.stopped, Some(Stopped::Asked));
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    let rows = world.ledger.rows("demo");
    assert!(rows.values().all(|row| row.abandoned.contains(&abandoned)), "{rows:?}");
    assert_eq!(count(&world.process(world.memory.clone(), &["a"]).await, End::Fetched), 1);
    assert_eq!(world.stored_ids().await, ["a"]);
    assert!(world.api.call_log().times.is_empty(), "it was there");
}

/// The parts of one case.
#[derive(Debug, Clone)]
struct Case {
    /// How many items there are.
    items: u8,
    /// How the store's n-th operation goes; then it works.
    faults: Vec<u8>,
    /// After how many milliseconds a worker dies, in turn; then none does.
    deaths_ms: Vec<u64>,
    /// How long the API takes, in milliseconds.
    latency_ms: u64,
    /// How much later than the first the second worker begins, in milliseconds.
    apart_ms: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let faults = proptest::collection::vec(0..14_u8, 0..40);
    let deaths = proptest::collection::vec(1..60_000_u64, 0..4);
    (1..40_u8, faults, deaths, 1..1_900_u64, 0..40_000_u64).prop_map(
        |(items, faults, deaths_ms, latency_ms, apart_ms)| Case { items, faults, deaths_ms, latency_ms, apart_ms },
    )
}

/// A code of a case as a fault. Nobody moves objects away here: that is promised.
fn fault(code: u8, operation: &StoreOperation<'_>) -> StoreFault {
    match code {
        0 => StoreFault::FailsBefore,
        1 => StoreFault::AnswerLost,
        2 => StoreFault::Repeated,
        3 => StoreFault::LateBy(SECOND),
        4 => StoreFault::LateBy(45 * SECOND),
        5 => StoreFault::Slow(25 * SECOND),
        6 => StoreFault::SlowAnswer(45 * SECOND),
        7 => StoreFault::Hangs,
        9 => StoreFault::Full,
        8 if matches!(operation.action, StoreAction::Put { .. }) => StoreFault::Vanished,
        _ => StoreFault::Slow(Duration::from_millis(20)),
    }
}

async fn live(case: Case) {
    let world = World::new(Duration::from_millis(case.latency_ms));
    let (turn, faults) = (AtomicUsize::new(0), case.faults);
    let sink = world.seen_through(move |operation| {
        let code = faults.get(turn.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(u8::MAX);
        fault(code, operation)
    });
    let ids: Vec<String> = (0..case.items).map(|number| format!("i{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let deaths = AtomicUsize::new(0);
    let work = async || {
        for _ in 0..200 {
            let life = case.deaths_ms.get(deaths.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(3_600_000);
            let batch = world.process(sink.clone(), &ids);
            let Ok(report) = timeout(Duration::from_millis(life), batch).await else { continue };
            if report.first_unfinished.is_none() {
                return;
            }
            sleep(SECOND).await;
        }
        panic!("it does not end");
    };
    tokio::join!(work(), async {
        sleep(Duration::from_millis(case.apart_ms)).await;
        work().await;
    });
    // Wait until all late puts are done.
    sleep(100 * SECOND).await;
    let stored = world.stored_ids().await;
    let unique: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "an id has two lines: {stored:?}");
    assert_eq!(stored, ids, "each has one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn each_record_is_stored_once_whatever_the_store_answers(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live(case));
    }
}
