//! Tests of the alarm when many items end without a request, and of the dead letters that an operator allows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jiff::ToSpan;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::tests::{Fixture, MANIFEST, count, crashed_owner, fails, fixture_of, many};
use super::{AdHoc, Pipeline, Stores};
use crate::control::failure_monitor::{Alarm, GRANT_SHARE, OutcomeClass};
use crate::control::item::{OpenedBy, ProviderStop};
use crate::dead_letter::Reason;
use crate::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use crate::item::{Entry, Item, Params};
use crate::ledger::{Claim, ClaimRequest, Claimed, Ledger, Owner, Release};
use crate::operate;
use crate::pipeline::report::{End, Report, Stopped};
use crate::random::RandomSource;
use crate::record::FailureKind;
use crate::sink::Compression;
use crate::testing::scripted::Answer;

const DEAD: OutcomeClass = OutcomeClass::DeadLetter(Reason::NotFound);

impl Fixture {
    /// Why the breaker is open for an operator; `None`: it is not.
    async fn alarm(&self) -> Option<String> {
        match self.ledger.control("demo").await.unwrap().breaker {
            ProviderStop::Open { by: OpenedBy::Config, reason, .. } => Some(reason),
            _ => None,
        }
    }

    async fn resume(&self, allowed: u32) {
        operate::resume(&*self.ledger, &*self.mapping, "demo", self.clock.now(), Some(allowed)).await.unwrap();
    }

    /// A process that fetches through `fetcher`.
    fn with_fetcher(&self, fetcher: Arc<dyn Fetcher>) -> Arc<Pipeline> {
        let stores = Stores {
            ledger: self.ledger.clone(),
            sink: self.sink.clone(),
            compression: Compression::None,
            mapping: self.mapping.clone(),
            clock: self.clock.clone(),
            random: RandomSource::from_seed(4),
        };
        Pipeline::new(self.pipeline.manifest().clone(), fetcher, stores)
    }

    async fn remaining_allowance(&self) -> u32 {
        self.ledger.control("demo").await.unwrap().dead_letters_allowed
    }

    fn weeks_old(&self, ids: &[String]) -> Vec<Entry> {
        let arrived = self.clock.now() - (7 * 24).hours();
        ids.iter().enumerate().map(|(number, id)| Entry { arrived, ..self.entry(number as u64, id) }).collect()
    }

    fn entries_of(&self, ids: &[String]) -> Vec<Entry> {
        ids.iter().enumerate().map(|(number, id)| self.entry(number as u64, id)).collect()
    }
}

fn assert_nothing_died(fixture: &Fixture, report: &Report) {
    assert_eq!((report.stopped.clone(), report.ended.len()), (Some(Stopped::BreakerOpen), 0));
    assert!(fixture.ledger.letters("demo").is_empty());
    assert!(fixture.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_a_week_ahead_empties_nothing_and_calls_a_person() {
    let manifest = MANIFEST.replace("max_concurrency = 4", "max_concurrency = 64");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    let ids = many("i", 500);
    assert_nothing_died(&fixture, &fixture.process_entries(fixture.weeks_old(&ids)).await);
    let reason = fixture.alarm().await.expect("a person is called");
    assert!(reason.contains("the clock is wrong"), "{reason}");

    // The clock is right again: nothing was lost.
    fixture.resume(0).await;
    let report = fixture.process_entries(fixture.entries_of(&ids)).await;
    assert_eq!((count(&report, End::Fetched), fixture.alarm().await), (500, None));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_that_is_too_old_dies_where_an_operator_allows_it() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
    let ids = many("i", 100);
    fixture.process_entries(fixture.weeks_old(&ids)).await;
    fixture.resume(60).await;
    let report = fixture.process_entries(fixture.weeks_old(&ids)).await;
    assert_eq!(
        (count(&report, End::DeadLetter), fixture.remaining_allowance().await),
        (60, 0),
        "those that were allowed, and no more"
    );
    assert!(fixture.alarm().await.is_some());
    fixture.resume(100).await;
    let report = fixture.process_entries(fixture.weeks_old(&ids)).await;
    assert_eq!((count(&report, End::DeadLetter), fixture.alarm().await), (100, None));
    assert_eq!((fixture.ledger.letters("demo").len(), fixture.remaining_allowance().await), (100, 60));
}

#[tokio::test(start_paused = true)]
async fn items_that_many_workers_died_with_call_a_person_before_they_are_parked() {
    let manifest = MANIFEST.replace("[retry]", "[retry]\non_lease_expiry = \"park\"");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    let ids = many("i", 40);
    crashed_owner(&fixture, &ids.iter().map(String::as_str).collect::<Vec<_>>(), Duration::from_secs(1)).await;
    sleep(Duration::from_secs(2)).await;
    assert_nothing_died(&fixture, &fixture.process_entries(fixture.entries_of(&ids)).await);
    let reason = fixture.alarm().await.expect("a person is called");
    assert!(reason.contains("on_lease_expiry"), "{reason}");

    fixture.resume(40).await;
    let report = fixture.process_entries(fixture.entries_of(&ids)).await;
    assert_eq!(count(&report, End::DeadLetter), 40, "it is not forgotten that the API may have been called");
    assert!(fixture.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_ad_hoc_fetch_does_not_make_an_uncertain_item_certain() {
    let manifest = MANIFEST.replace("[retry]", "[retry]\non_lease_expiry = \"park\"");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    crashed_owner(&fixture, &["a"], Duration::from_secs(1)).await;
    sleep(Duration::from_secs(2)).await;
    let (item, deadline) =
        (Item::new("a".to_owned(), Params::new()).unwrap(), Instant::now() + Duration::from_secs(60));
    assert!(matches!(fixture.pipeline.fetch_now(item, deadline).await.unwrap(), AdHoc::Failed(_)));
    let report = fixture.process_entries(vec![fixture.entry(0, "a")]).await;
    assert_eq!((count(&report, End::DeadLetter), fixture.api.call_log().times.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lower_max_attempts_calls_a_person_before_it_empties_the_stream() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::Malformed));
    let ids = many("i", 40);
    for (number, id) in ids.iter().enumerate() {
        let identity = Item::new(id.clone(), Params::new()).unwrap().identity(&[]).unwrap();
        let today = fixture.pipeline.manifest().window.day(fixture.clock.now());
        let (owner, sequence, now) = (Owner::from("earlier"), (number as u64).into(), fixture.clock.now());
        for _ in 0..3 {
            let lease = now + Duration::from_secs(60);
            let (provider, identity, sequence, owner) = ("demo", &identity, &sequence, &owner);
            let request = ClaimRequest { provider, identity, sequence, today, since: today, owner, now, lease };
            assert!(matches!(fixture.ledger.claim(request).await.unwrap(), Claim::Granted { .. }));
            let claimed = Claimed { identity: identity.clone(), day: today, sequence: sequence.clone(), lease };
            let release =
                Release { claimed, counted: true, not_before: now, error: "malformed".to_owned(), resume: None };
            fixture.ledger.release("demo", owner, release).await.unwrap();
        }
    }
    let report = fixture.process_entries(fixture.entries_of(&ids)).await;
    assert_eq!((report.stopped, report.ended.len()), (Some(Stopped::BreakerOpen), 0));
    assert!(fixture.ledger.letters("demo").is_empty());
    let asked = fixture.api.call_log().times.len();
    assert!(asked < 20, "each is tried once more before it is given up on, until a person is called: {asked}");
    let reason = fixture.alarm().await.expect("a person is called");
    assert!(reason.contains("used up their attempts"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_given_while_a_batch_runs_is_used_and_not_lost() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::NotFound).after(Duration::from_secs(1)));
    fixture.resume(5).await;
    let ids = many("i", 60);
    let grants = async {
        sleep(Duration::from_millis(2_500)).await;
        fixture.resume(100).await;
    };
    let (report, ()) = tokio::join!(fixture.process_entries(fixture.entries_of(&ids)), grants);
    assert_eq!((count(&report, End::DeadLetter), fixture.alarm().await), (60, None));
    let left = fixture.remaining_allowance().await;
    // Those of the first grant, and those that died before the second one.
    assert!((40..=55).contains(&left), "{left} of 100 are left");
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_never_use_more_than_was_granted() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::NotFound));
    let other = fixture.restart();
    for granted in [1, 30, 3 * GRANT_SHARE + 7] {
        fixture.resume(granted).await;
        fixture.pipeline.failure_monitor().reset();
        other.failure_monitor().reset();
        for pipeline in [&fixture.pipeline, &other] {
            pipeline.control().await.unwrap();
        }
        let hear = async |pipeline: &Arc<Pipeline>| {
            let monitored = join_all((0..200).map(|_| pipeline.record_outcome(DEAD))).await;
            monitored.into_iter().filter(|monitored| monitored.as_ref().unwrap().is_allowed).count()
        };
        let (one, two) = tokio::join!(hear(&fixture.pipeline), hear(&other));
        assert_eq!(one + two, granted as usize, "{one} and {two}");
        assert_eq!(fixture.remaining_allowance().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_batches_at_once_keep_account_of_one_grant() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::NotFound).after(Duration::from_millis(300)));
    let other = fixture.restart();
    fixture.resume(100).await;
    let (ids, others) = (many("i", 40), many("j", 40));
    let entries: Vec<Entry> = others.iter().zip(1_000..).map(|(id, number)| fixture.entry(number, id)).collect();
    let (deadline, never) = (Instant::now() + Duration::from_secs(900), CancellationToken::new());
    let (one, two) =
        tokio::join!(fixture.process_entries(fixture.entries_of(&ids)), other.process(entries, deadline, &never));
    assert_eq!((count(&one, End::DeadLetter), count(&two, End::DeadLetter)), (40, 40), "{one:?} {two:?}");
    assert_eq!((fixture.remaining_allowance().await, fixture.alarm().await), (20, None), "what neither has used");
}

#[tokio::test(start_paused = true)]
async fn an_operators_grant_is_seen_before_a_person_is_called() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::NotFound));
    for _ in 0..9 {
        let monitored = fixture.pipeline.record_outcome(DEAD).await.unwrap();
        assert_eq!((monitored.alarm, monitored.is_allowed), (None, false));
    }
    fixture.resume(1).await;
    assert!(fixture.pipeline.record_outcome(DEAD).await.unwrap().is_allowed, "though nothing was read since");
    assert_eq!(
        fixture.pipeline.record_outcome(DEAD).await.unwrap().alarm,
        Some(Alarm::MassDeadLetters(Reason::NotFound))
    );
}

#[tokio::test(start_paused = true)]
async fn a_share_of_an_earlier_grant_is_not_given_back_to_a_later_one() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::NotFound).after(Duration::from_secs(1)));
    fixture.resume(50).await;
    let revokes = async {
        sleep(Duration::from_millis(1_500)).await;
        fixture.resume(0).await;
    };
    let ids = many("i", 4);
    tokio::join!(fixture.process_entries(fixture.entries_of(&ids)), revokes);
    assert_eq!(fixture.remaining_allowance().await, 0);
}

/// A fetcher whose first fetch would take as long as its component takes to compile.
struct Uncompiled {
    fixture: Arc<Fixture>,
    ready: tokio::sync::OnceCell<()>,
}

impl Uncompiled {
    const COMPILES: Duration = Duration::from_secs(81);

    async fn compile(&self) {
        self.ready.get_or_init(|| sleep(Self::COMPILES)).await;
    }
}

#[async_trait]
impl Fetcher for Uncompiled {
    async fn prepare(&self) {
        self.compile().await;
    }

    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        self.compile().await;
        let taken = self.fixture.ledger.slots_taken("demo", self.fixture.clock.now());
        assert!(!taken.is_empty(), "a request is sent whose slot has run out");
        self.fixture.api.fetch(request, permits).await
    }

    fn digest(&self) -> &str {
        "sha256:uncompiled"
    }
}

#[tokio::test(start_paused = true)]
async fn no_slot_runs_out_while_a_component_is_compiled() {
    let fixture =
        Arc::new(fixture_of(MANIFEST, |request, _| Answer::record(&request.id).after(Duration::from_secs(1))));
    let uncompiled = || Arc::new(Uncompiled { fixture: Arc::clone(&fixture), ready: tokio::sync::OnceCell::new() });
    let item = Item::new("now".to_owned(), Params::new()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let came = fixture.with_fetcher(uncompiled()).fetch_now(item.clone(), deadline).await.unwrap();
    assert!(matches!(came, AdHoc::Record(_)), "{came:?}");
    let soon = Instant::now() + Duration::from_secs(30);
    let came = fixture.with_fetcher(uncompiled()).fetch_now(item, soon).await.unwrap();
    assert!(matches!(came, AdHoc::Refused(Stopped::Deadline)), "{came:?}");

    let (begun, never) = (Instant::now(), CancellationToken::new());
    let pipeline = fixture.with_fetcher(uncompiled());
    let report = pipeline.process(fixture.entries_of(&many("i", 20)), begun + Duration::from_secs(600), &never).await;
    assert_eq!(count(&report, End::Fetched), 20);
    assert_eq!(pipeline.progress().failures().len(), 0, "no fetch times out on its component");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_component_to_be_compiled() {
    let fixture = Arc::new(fixture_of(MANIFEST, |request, _| Answer::record(&request.id)));
    let pipeline = fixture
        .with_fetcher(Arc::new(Uncompiled { fixture: Arc::clone(&fixture), ready: tokio::sync::OnceCell::new() }));
    let (begun, stop) = (Instant::now(), CancellationToken::new());
    let stops = async {
        sleep(Duration::from_secs(3)).await;
        stop.cancel();
    };
    let (report, ()) = tokio::join!(
        pipeline.process(fixture.entries_of(&many("i", 3)), begun + Duration::from_secs(600), &stop),
        stops
    );
    assert_eq!((report.stopped, report.ended.len()), (Some(Stopped::Asked), 0));
    assert!(begun.elapsed() < Duration::from_secs(4));
}
