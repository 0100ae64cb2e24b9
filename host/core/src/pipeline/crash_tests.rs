//! For any behaviour of the API and any crash of a worker: nothing is lost, nothing is doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Pipeline, Stores};
use crate::clock::WallClock;
use crate::control::governor::TICK;
use crate::control::item::{Control, ProviderStop};
use crate::dead_letter::Reason;
use crate::item::{Entry, Item};
use crate::ledger::{
    Claim, ClaimRequest, Finish, Finished, Granted, Ledger, LedgerError, LongWaits, Owner, Parked, ParkedEntries,
    Release, SlotRequest,
};
use crate::manifest::Manifest;
use crate::pipeline::report::{End, Stopped};
use crate::random::RandomSource;
use crate::record::{Failure, FailureKind};
use crate::sink::{Compression, Unpacker};
use crate::testing::faults::{Fault, FaultPlan, FaultyLedger, How, Injector, Operation, Port, SlotVersions};
use crate::testing::mapping::MemoryMapping;
use crate::testing::memory::{MemoryLedger, RowState};
use crate::testing::scripted::{Answer, Scripted};

const MANIFEST: &str = r#"
name = "demo"
version = "0.1.0"
[egress]
hosts = ["api.example.org"]
[limits]
max_concurrency = 6
fetch_timeout = "2s"
[retry]
max_attempts = 3
backoff = "300ms"
spread = "0s"
"#;

/// The parts of one case.
#[derive(Debug, Clone)]
struct Case {
    /// The id of each entry, by number: few enough to hold duplicates.
    ids: Vec<u8>,
    /// The API's responses to its n-th request, in turn: 0 to 3 are failures.
    answers: Vec<u8>,
    /// After how many milliseconds a worker dies.
    deaths_ms: Vec<u64>,
    /// Whether the ledger's writes are paid for, so that some wait.
    thrifty: bool,
    /// Whether it parks what waits for long.
    parks: bool,
    /// How each worker compresses, in turn: a deployment may change it.
    compressions: Vec<Compression>,
}

fn case() -> impl Strategy<Value = Case> {
    let ids = proptest::collection::vec(0..80_u8, 1..120);
    let answers = proptest::collection::vec(0..40_u8, 1..60);
    let deaths = proptest::collection::vec(1..4_000_u64, 0..6);
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Zstd)];
    let ledger = (any::<bool>(), any::<bool>());
    let whole = (ids, answers, deaths, ledger, proptest::collection::vec(compression, 7));
    whole.prop_map(|(ids, answers, deaths_ms, (thrifty, parks), compressions)| Case {
        ids,
        answers,
        deaths_ms,
        thrifty,
        parks,
        compressions,
    })
}

/// After so many requests none fails any more: an API that is down for good ends no test.
const RECOVERED: usize = 240;

/// The API: some ids are unknown for good, some requests fail, each takes its time.
fn script(answers: Vec<u8>) -> Scripted {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    Scripted::new(move |request, _| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = if turn < RECOVERED { answers[turn % answers.len()] } else { 4 };
        let kind = match answer {
            _ if request.id.ends_with('7') => Some(FailureKind::NotFound),
            0 => Some(FailureKind::Malformed),
            1 => Some(FailureKind::Unavailable),
            2 => Some(FailureKind::Throttled),
            3 => Some(FailureKind::TimedOut),
            _ => None,
        };
        let after = Duration::from_millis(u64::from(answer) * 17);
        match kind {
            // Longer than a call stays for it.
            Some(kind @ FailureKind::Malformed) => {
                let retry_after = Some(Duration::from_secs(30));
                Answer::failure(Failure { retry_after, ..Failure::new(kind, "scripted") }).after(after)
            }
            Some(kind) => Answer::failure(Failure::new(kind, "scripted")).after(after),
            None => Answer::record(&request.id).after(after),
        }
    })
}

/// A ledger in memory that takes its time, so that a worker can die between a store and its finish.
struct Slow(Arc<MemoryLedger>);

#[async_trait]
impl Ledger for Slow {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        sleep(Duration::from_millis(3)).await;
        self.0.claim(request).await
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        sleep(Duration::from_millis(200)).await;
        self.0.finish(provider, owner, items).await
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        sleep(Duration::from_millis(20)).await;
        self.0.release(provider, owner, release).await
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        self.0.slots(provider, request).await
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        self.0.control(provider).await
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        self.0.update_control(provider, control).await
    }

    fn write_interval(&self) -> Duration {
        self.0.write_interval()
    }

    fn long_waits(&self) -> LongWaits {
        self.0.long_waits()
    }

    async fn park(&self, provider: &str, entries: &[Parked]) -> Result<u64, LedgerError> {
        let mut new = 0;
        for parked in entries.chunks(1) {
            sleep(Duration::from_millis(40)).await;
            new += self.0.park(provider, parked).await?;
        }
        sleep(Duration::from_millis(40)).await;
        Ok(new)
    }

    async fn read_parked(&self, provider: &str, now: Timestamp, most: usize) -> Result<ParkedEntries, LedgerError> {
        self.0.read_parked(provider, now, most).await
    }

    async fn unpark(&self, provider: &str, entries: &[Parked]) -> Result<(), LedgerError> {
        for parked in entries.chunks(1) {
            sleep(Duration::from_millis(40)).await;
            self.0.unpark(provider, parked).await?;
        }
        sleep(Duration::from_millis(40)).await;
        Ok(())
    }
}

pub(super) async fn stored_ids(sink: &InMemory) -> Vec<String> {
    let mut ids = Vec::new();
    for object in sink.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let content = sink.get(&object.location).await.unwrap().bytes().await.unwrap();
        let (mut lines, mut unpacker) =
            (Vec::new(), Unpacker::new(Compression::of(&object.location).unwrap()).unwrap());
        unpacker.unpack(&content, |piece| lines.extend_from_slice(piece)).unwrap();
        unpacker.end().unwrap();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            ids.push(line["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

/// An entry for each of these ids.
fn entries(ids: &[u8], arrived: Timestamp) -> Vec<Entry> {
    let entry = |(number, id): (usize, &u8)| Entry {
        sequence: (number as u64).into(),
        arrived,
        payload: serde_json::json!({ "id": format!("i{id}") }).to_string().into(),
    };
    ids.iter().enumerate().map(entry).collect()
}

async fn live(case: Case) {
    let clock = WallClock::from_epoch("2026-11-22T12:00:00Z".parse().unwrap());
    let interval = if case.thrifty { Duration::from_secs(30) } else { Duration::ZERO };
    let ledger = MemoryLedger::thrifty(interval);
    let ledger = Arc::new(if case.parks { ledger.parking() } else { ledger });
    let memory = Arc::new(InMemory::new());
    let slow = ThrottleConfig { wait_put_per_call: Duration::from_millis(120), ..ThrottleConfig::default() };
    let sink: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(Arc::clone(&memory), slow));
    let api = Arc::new(script(case.answers));
    let entries = entries(&case.ids, clock.now());
    let mapping = Arc::new(MemoryMapping::new(500, Duration::ZERO));
    let stores = |compression| {
        let (ledger, sink, mapping) = (Arc::new(Slow(ledger.clone())), Arc::clone(&sink), mapping.clone());
        Stores { ledger, sink, compression, mapping, clock: clock.clone(), random: RandomSource::System }
    };
    let mut compressions = case.compressions.into_iter().cycle();
    let mut deaths = case.deaths_ms.into_iter().map(Duration::from_millis);
    let (mut ended, mut is_stream_done) = (BTreeMap::new(), false);
    loop {
        // A new process: nothing is remembered but what is in the ledger and the sink.
        let stores = stores(compressions.next().unwrap());
        let pipeline = Pipeline::new(Manifest::parse(MANIFEST).unwrap(), api.clone(), stores);
        if !mapping.now().enabled {
            sleep(TICK).await;
            pipeline.tick().await.unwrap();
        }
        if is_stream_done {
            // The next tick.
            sleep(Duration::from_secs(60)).await;
        }
        let (deadline, never) = (Instant::now() + Duration::from_secs(900), CancellationToken::new());
        let work = async {
            if !is_stream_done {
                return pipeline.process(entries.clone(), deadline, &never).await;
            }
            pipeline.process_parked(deadline, &never).await.unwrap()
        };
        let life = deaths.next().unwrap_or(Duration::from_secs(3600));
        let Ok(report) = tokio::time::timeout(life, work).await else { continue };
        for (entry, end) in report.ended.into_iter().chain(report.taken_up) {
            let before = ended.insert(entry.clone(), end).unwrap_or(end);
            assert_eq!(before, end, "{entry} ends in one way, however often it is told");
        }
        if report.stopped == Some(Stopped::BreakerOpen) {
            let control = ledger.control("demo").await.unwrap();
            let mended = Control { breaker: ProviderStop::Closed, dead_letters_allowed: 100, ..control };
            assert!(ledger.update_control("demo", &mended).await.unwrap());
        }
        is_stream_done |= report.first_unfinished.is_none();
        if is_stream_done && ledger.parked_entries("demo").is_empty() {
            break;
        }
    }
    for entry in entries {
        ended.entry(entry.sequence.clone()).or_insert_with(|| {
            assert!(case.parks, "{entry:?} was never told");
            untold_end(&ledger, &entry)
        });
    }
    let ended: Vec<_> = ended.into_iter().collect();
    check(&ended, stored_ids(&memory).await, &ledger, &case.ids);
    assert!(api.call_log().peak <= 6);
}

/// How an entry ended that was parked, of which nobody was told: the call that took it up died after it had forgotten
/// it. The ledger knows.
fn untold_end(ledger: &MemoryLedger, entry: &Entry) -> End {
    let identity = Item::parse(&entry.payload).unwrap().identity(&[]).unwrap();
    let row = ledger.row("demo", &identity, "2026-11-22".parse().unwrap()).unwrap();
    match row.state {
        RowState::Done { .. } if row.sequence == entry.sequence => End::Fetched,
        RowState::Dead { .. } if row.sequence == entry.sequence => End::DeadLetter,
        RowState::Done { .. } | RowState::Dead { .. } => End::Skipped,
        state => panic!("{entry:?} has not ended: {state:?}"),
    }
}

fn check(ended: &[(crate::item::SequenceNumber, End)], stored: Vec<String>, ledger: &MemoryLedger, ids: &[u8]) {
    let count = |wanted: End| ended.iter().filter(|(_, end)| *end == wanted).count();
    let unique: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(unique.len(), stored.len(), "an id has two lines");
    assert_eq!(count(End::Fetched), stored.len(), "as many fetched as lines");
    let letters: BTreeMap<String, Reason> = ledger
        .letters("demo")
        .into_iter()
        .map(|letter| (String::from_utf8_lossy(&letter.payload).into_owned(), letter.reason))
        .collect();
    assert_eq!(count(End::DeadLetter), letters.len(), "as many given up on as letters");
    let identities: BTreeSet<u8> = ids.iter().copied().collect();
    assert_eq!(unique.len() + letters.len(), identities.len(), "each identity has one end");
    assert_eq!(ended.len(), ids.len(), "each entry has one end");
    assert!(unique.iter().all(|id| !id.ends_with('7')));
}

/// A worker that is stopped for longer than its lease and wakes up: what it fetched was recovered and fetched again,
/// and it must not store it beside that.
#[tokio::test(start_paused = true)]
async fn a_worker_that_wakes_up_after_its_lease_stores_nothing() {
    let clock = WallClock::from_epoch("2026-11-22T12:00:00Z".parse().unwrap());
    let (ledger, memory) = (Arc::new(MemoryLedger::default()), Arc::new(InMemory::new()));
    let api = Arc::new(script(vec![4]));
    let asleep = ThrottleConfig { wait_put_per_call: Duration::from_secs(60), ..ThrottleConfig::default() };
    let entry = Entry { sequence: 1.into(), arrived: clock.now(), payload: "{\"id\":\"i1\"}".into() };
    let worker = |sink: Arc<dyn ObjectStore>, compression| {
        let mapping = Arc::new(MemoryMapping::new(500, Duration::ZERO));
        let stores = Stores {
            ledger: ledger.clone(),
            sink,
            compression,
            mapping,
            clock: clock.clone(),
            random: RandomSource::System,
        };
        Pipeline::new(Manifest::parse(MANIFEST).unwrap(), api.clone(), stores)
    };
    let sleeper = worker(Arc::new(ThrottledStore::new(Arc::clone(&memory), asleep)), Compression::Zstd);
    let other = worker(memory.clone(), Compression::None);
    let (deadline, never) = (Instant::now() + Duration::from_secs(900), CancellationToken::new());
    let (slept, took_over) = tokio::join!(sleeper.process(vec![entry.clone()], deadline, &never), async {
        sleep(Duration::from_secs(1)).await;
        other.process(vec![entry], deadline, &never).await
    });
    assert_eq!(slept.stopped, Some(Stopped::TakenOver), "{slept:?}");
    assert_eq!(took_over.ended, [(1.into(), End::Fetched)]);
    assert_eq!(stored_ids(&memory).await, ["i1"]);
}

/// A worker that is stopped between a claim and its fetch, for longer than its lease: by then another one has fetched
/// the item.
#[tokio::test(start_paused = true)]
async fn a_worker_that_wakes_up_after_its_lease_fetches_nothing() {
    let clock = WallClock::from_epoch("2026-11-22T12:00:00Z".parse().unwrap());
    let (ledger, sink) = (Arc::new(MemoryLedger::default()), Arc::new(InMemory::new()));
    let api = Arc::new(script(vec![4]));
    let entry = Entry { sequence: 1.into(), arrived: clock.now(), payload: "{\"id\":\"i1\"}".into() };
    let slow = Fault::Call { operation: Operation::Claim, nth: 1, how: How::Slow(Duration::from_secs(80)) };
    let plan = FaultPlan { faults: vec![slow], ends: Duration::from_secs(900) };
    let port = Port::new(0, &Injector::new(&plan, 1, Duration::ZERO, false));
    let worker = |ledger: Arc<dyn Ledger>, seed| {
        let mapping = Arc::new(MemoryMapping::new(500, Duration::ZERO));
        let (compression, random, clock) = (Compression::None, RandomSource::from_seed(seed), clock.clone());
        let stores = Stores { ledger, sink: sink.clone(), compression, mapping, clock, random };
        Pipeline::new(Manifest::parse(MANIFEST).unwrap(), api.clone(), stores)
    };
    let sleeper = worker(Arc::new(FaultyLedger::new(ledger.clone(), port, SlotVersions::default())), 1);
    let other = worker(ledger.clone(), 2);
    let (deadline, never) = (Instant::now() + Duration::from_secs(900), CancellationToken::new());
    let (slept, took_over) = tokio::join!(sleeper.process(vec![entry.clone()], deadline, &never), async {
        sleep(Duration::from_secs(50)).await;
        other.process(vec![entry], deadline, &never).await
    });
    assert_eq!(took_over.ended, [(1.into(), End::Fetched)]);
    assert_eq!(slept.ended, [(1.into(), End::Fetched)], "it was settled by the other one");
    assert_eq!((api.call_log().asked["i1"], stored_ids(&sink).await), (1, vec!["i1".to_owned()]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_ends_exactly_once_whenever_workers_die(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live(case));
    }
}
