//! The function over scripted providers and stores in memory: what it answers, and what it leaves.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use damper_core::clock::WallClock;
use damper_core::control::crashes::Crash;
use damper_core::ledger::{
    Claim, ClaimRequest, Control, Finish, Finished, Granted, Ledger, LedgerError, Owner, Release, SlotRequest,
    change_control,
};
use damper_core::manifest::Manifest;
use damper_core::pipeline::Pipeline;
use damper_core::random::RandomSource;
use damper_core::record::{Failure, FailureKind};
use damper_core::sink::Compression;
use damper_core::testing::mapping::MemoryMapping;
use damper_core::testing::memory::MemoryLedger;
use damper_core::testing::scripted::{Answer, Scripted};
use damper_plugins::package::PackageError;
use object_store::memory::InMemory;
use serde_json::json;

use super::*;

/// Providers of which each answers as the id says: `gone` is not found, `down` fails, everything else is a record.
struct TestFunction {
    function: Function,
    scripts: Arc<Scripts>,
    api: Arc<Scripted>,
    ledger: Arc<MemoryLedger>,
    mapping: Arc<MemoryMapping>,
}

struct Scripts {
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    /// Of the provider `gleif`.
    crashes: Mutex<Vec<Crash>>,
}

impl Providers for Scripts {
    fn names(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.pipelines.keys().cloned().collect())
    }

    fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, ProviderError> {
        if name == "elsewhere" {
            return Err(ProviderError::Elsewhere { provider: name.to_owned() });
        }
        let unknown = || PackageError::NotPackaged { provider: name.to_owned() };
        Ok(Arc::clone(self.pipelines.get(name).ok_or_else(unknown)?))
    }

    fn crashes(&self, name: &str) -> Vec<Crash> {
        if name == "gleif" { self.crashes.lock().unwrap().clone() } else { Vec::new() }
    }

    fn forget_crashes(&self, name: &str) {
        assert_eq!(name, "gleif");
        self.crashes.lock().unwrap().clear();
    }
}

fn answer_to(id: &str, before: u32) -> Answer {
    match id {
        "gone" => Answer::failure(Failure::new(FailureKind::NotFound, "no such record")),
        "down" => Answer::failure(Failure::new(FailureKind::Unavailable, "bad gateway")),
        "locked" if before == 0 => Answer::failure(Failure {
            retry_after: Some(Duration::from_secs(30)),
            ..Failure::new(FailureKind::Other("locked".to_owned()), "locked")
        }),
        id => Answer::record(id),
    }
}

impl TestFunction {
    fn new(names: &[&str]) -> Self {
        let ledger = Arc::new(MemoryLedger::new());
        Self::with_ledger(names, Arc::clone(&ledger) as Arc<dyn Ledger>, ledger)
    }

    fn with_ledger(names: &[&str], used: Arc<dyn Ledger>, ledger: Arc<MemoryLedger>) -> Self {
        let mapping = Arc::new(MemoryMapping::new(500, Duration::ZERO));
        let stores = Stores {
            ledger: used,
            sink: Arc::new(InMemory::new()),
            compression: Compression::None,
            mapping: mapping.clone(),
            clock: WallClock::from_epoch("2026-11-22T12:00:00Z".parse().unwrap()),
            random: RandomSource::from_seed(1),
        };
        let api = Arc::new(Scripted::new(|request, before| answer_to(&request.id, before)));
        let pipeline = |name: &&str| {
            let manifest = format!(
                "name = {name:?}\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.test\"]\n[limits]\nmax_concurrency = 4\n\
                 fetch_timeout = \"2s\"\n"
            );
            let manifest = Manifest::parse(&manifest).unwrap();
            ((*name).to_owned(), Pipeline::new(manifest, api.clone(), stores.clone()))
        };
        let scripts = Arc::new(Scripts { pipelines: names.iter().map(pipeline).collect(), crashes: Mutex::default() });
        let function = Function::new(scripts.clone(), stores, "damper-".to_owned());
        Self { function, scripts, api, ledger, mapping }
    }

    async fn invoke(&self, event: serde_json::Value) -> Result<Value, InvocationError> {
        self.invoke_for(event, 300_000).await
    }

    /// An invocation that may take so many milliseconds.
    async fn invoke_for(&self, event: serde_json::Value, milliseconds: u64) -> Result<Value, InvocationError> {
        let now = WallClock::System.now().as_millisecond();
        let deadline = u64::try_from(now).unwrap() + milliseconds;
        self.function.answer(&event.to_string(), "request", deadline).await
    }

    async fn deliver(&self, provider: &str, payloads: &[&str]) -> Value {
        self.invoke(batch(provider, payloads)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_long_is_parked_and_a_tick_takes_it_up() {
    let ledger = Arc::new(MemoryLedger::new().parking());
    let test = TestFunction::with_ledger(&["gleif", "other"], ledger.clone(), ledger);
    let left = test.deliver("gleif", &[r#"{"id":"locked"}"#, r#"{"id":"a"}"#]).await;
    assert_eq!(left.to_string(), NOTHING_LEFT, "the stream is done with both");
    assert_eq!(test.ledger.parked_entries("gleif").len(), 1);
    let tick = json!({ "source": "aws.events" });
    test.invoke(tick.clone()).await.unwrap();
    assert_eq!(test.api.call_log().asked["locked"], 1, "not due yet");
    tokio::time::sleep(Duration::from_secs(31)).await;
    test.invoke(tick).await.unwrap();
    assert_eq!(test.api.call_log().asked["locked"], 2);
    assert!(test.ledger.parked_entries("gleif").is_empty());
    assert_eq!(test.ledger.control("gleif").await.unwrap().parked.count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_component_that_ran_each_time_a_process_died_stops_its_provider_and_no_other() {
    let test = TestFunction::new(&["gleif", "other"]);
    let crash = |process: &str| Crash {
        process: process.to_owned(),
        component: "sha256:00".to_owned(),
        item: "the same".to_owned(),
    };
    for process in ["first", "second"] {
        test.scripts.crashes.lock().unwrap().push(crash(process));
        assert_eq!(test.deliver("gleif", &[r#"{"id":"a"}"#]).await.to_string(), NOTHING_LEFT, "it may be chance");
        assert!(test.scripts.crashes.lock().unwrap().is_empty(), "it is recorded");
    }

    test.scripts.crashes.lock().unwrap().push(crash("third"));
    assert_eq!(test.deliver("gleif", &[r#"{"id":"b"}"#]).await, failures_from("100"));
    let breaker = test.ledger.control("gleif").await.unwrap().breaker;
    assert!(matches!(breaker, ProviderStop::Open { by: OpenedBy::Config, .. }), "{breaker:?}");
    assert_eq!(test.deliver("other", &[r#"{"id":"a"}"#]).await.to_string(), NOTHING_LEFT);
}

/// A batch as Kinesis' mapping delivers it, with the sequence numbers 100, 101, ...
fn batch(provider: &str, payloads: &[&str]) -> serde_json::Value {
    let records = payloads.iter().enumerate().map(|(number, payload)| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "p", "sequenceNumber": (100 + number).to_string(),
                "data": base64::engine::general_purpose::STANDARD.encode(payload),
                "approximateArrivalTimestamp": 1_795_348_800.0
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-0:{number}"),
            "eventName": "aws:kinesis:record", "awsRegion": "eu-west-2",
            "eventSourceARN": format!("arn:aws:kinesis:eu-west-2:123456789012:stream/damper-{provider}")
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

fn failures_from(sequence: &str) -> Value {
    json!({ "batchItemFailures": [{ "itemIdentifier": sequence }] })
}

const NOTHING_LEFT: &str = r#"{"batchItemFailures":[]}"#;

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_done_leaves_nothing() {
    let test = TestFunction::new(&["gleif"]);
    let answer = test.deliver("gleif", &[r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"a"}"#]).await;
    assert_eq!(answer.to_string(), NOTHING_LEFT);
    assert_eq!(test.api.call_log().times.len(), 2);
    assert_eq!(test.ledger.rows("gleif").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_item_is_kept_and_blocks_nothing() {
    let test = TestFunction::new(&["gleif"]);
    let answer = test.deliver("gleif", &["garbage", r#"{"id":"a"}"#]).await;
    assert_eq!(answer.to_string(), NOTHING_LEFT);
    let letters = test.ledger.letters("gleif");
    assert_eq!((letters.len(), &letters[0].payload[..]), (1, &b"garbage"[..]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_comes_again_from_the_lowest() {
    let test = TestFunction::new(&["gleif"]);
    let answer = test.deliver("gleif", &[r#"{"id":"a"}"#, r#"{"id":"down"}"#, r#"{"id":"c"}"#]).await;
    assert_eq!(answer, failures_from("101"));
    assert_eq!(test.api.call_log().asked["c"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_provider_waits_is_stopped_and_loses_nothing() {
    let test = TestFunction::new(&["gleif"]);
    let begin = Instant::now();
    assert_eq!(test.deliver("opera", &[r#"{"id":"a"}"#]).await, failures_from("100"));
    assert!(begin.elapsed() >= LONGEST_WAIT, "redelivery is at once");
    let control = test.ledger.control("opera").await.unwrap();
    assert!(operator_reason(&control).unwrap().contains("opera"), "{control:?}");
    assert!(!test.mapping.now().enabled);
}

#[tokio::test(start_paused = true)]
async fn a_provider_of_another_function_waits_and_is_not_stopped() {
    let test = TestFunction::new(&["gleif"]);
    let begin = Instant::now();
    assert_eq!(test.deliver("elsewhere", &[r#"{"id":"a"}"#]).await, failures_from("100"));
    assert!(begin.elapsed() >= LONGEST_WAIT, "redelivery is at once");
    assert!(operator_reason(&test.ledger.control("elsewhere").await.unwrap()).is_none());
    assert!(test.mapping.now().enabled);
}

#[tokio::test(start_paused = true)]
async fn a_tick_gives_every_provider_its_turn() {
    let test = TestFunction::new(&["a", "b", "c"]);
    let open = |control: &mut Control| {
        control.breaker = ProviderStop::Open {
            since: "2026-11-22T11:00:00Z".parse().unwrap(),
            by: OpenedBy::Operator,
            reason: "lunch".to_owned(),
        };
        true
    };
    change_control(&*test.ledger, "b", open).await.unwrap();
    let answer = test.invoke(json!({ "source": "aws.events", "detail-type": "Scheduled Event" })).await.unwrap();
    assert_eq!((&answer["providers"], &answer["changed"], &answer["failed"]), (&3.into(), &1.into(), &0.into()));
    assert!(!test.mapping.now().enabled, "what an operator stopped is not fed");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_asked_for_comes_or_why_it_does_not() {
    let test = TestFunction::new(&["gleif"]);
    let ask = |id: &str| test.invoke(json!({ "provider": "gleif", "id": id }));
    let fetched = ask("a").await.unwrap();
    assert_eq!((&fetched["outcome"], &fetched["record"]["body"]["id"]), (&"fetched".into(), &"a".into()));
    assert_eq!(ask("a").await.unwrap()["outcome"], "fetched-before");
    let gone = ask("gone").await.unwrap();
    assert_eq!((&gone["outcome"], &gone["failure"]["kind"]), (&"failed".into(), &"not-found".into()));

    let now = test.function.stores.clock.now();
    operate::pause(&*test.ledger, &*test.mapping, "gleif", now, "lunch").await.unwrap();
    let refused = ask("b").await.unwrap();
    assert!(refused["why"].as_str().unwrap().contains("lunch"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_direct_invocation_that_asks_for_nothing_is_an_error() {
    let test = TestFunction::new(&["gleif"]);
    let refused = test.invoke(json!({ "provider": "opera", "id": "a" })).await.unwrap_err();
    assert!(matches!(&refused, InvocationError::Provider(_)), "{refused}");
    let diagnostic = lambda_runtime::Diagnostic::from(test.invoke(json!({ "provider": 7 })).await.unwrap_err());
    assert_eq!(diagnostic.error_type, "Event");
}

/// A fetch of two seconds needs seven, and the answer one.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_no_fetch_fits_into_is_told_and_does_not_spin() {
    let test = TestFunction::new(&["gleif"]);
    let begin = Instant::now();
    let answer = test.invoke_for(batch("gleif", &[r#"{"id":"a"}"#]), 7_500).await.unwrap();
    assert_eq!(answer, failures_from("100"));
    assert!(begin.elapsed() >= Duration::from_secs(6), "redelivery is at once: {:?}", begin.elapsed());
    let refused = test.invoke_for(json!({ "provider": "gleif", "id": "a" }), 7_500).await.unwrap();
    let why = refused["why"].as_str().unwrap();
    assert!(why.contains("2 s (limits.fetch_timeout)") && why.contains("TimeoutSeconds of the stack to 12"), "{why}");
    assert!(test.api.call_log().times.is_empty());
}

/// A ledger whose table is not there.
struct NoTable;

fn no_table<T>() -> Result<T, LedgerError> {
    Err(LedgerError::Failed { action: "answer", message: "there is no table".to_owned() })
}

#[async_trait]
impl Ledger for NoTable {
    async fn claim(&self, _: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        no_table()
    }
    async fn finish(&self, _: &str, _: &Owner, _: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        no_table()
    }
    async fn release(&self, _: &str, _: &Owner, _: Release) -> Result<(), LedgerError> {
        no_table()
    }
    async fn slots(&self, _: &str, _: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        no_table()
    }
    async fn control(&self, _: &str) -> Result<Control, LedgerError> {
        no_table()
    }
    async fn update_control(&self, _: &str, _: &Control) -> Result<bool, LedgerError> {
        no_table()
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_table_the_batch_waits_and_comes_again_whole() {
    let test = TestFunction::with_ledger(&["gleif"], Arc::new(NoTable), Arc::default());
    let begin = Instant::now();
    assert_eq!(test.deliver("gleif", &["garbage", r#"{"id":"a"}"#]).await, failures_from("100"));
    assert!(begin.elapsed() >= LONGEST_WAIT);
    assert!(test.api.call_log().times.is_empty());
}
