//! Items that wait for long, and what becomes of the rest of their batch.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tests::{Fixture, MANIFEST, count, fails, fixture_on, many};
use crate::control::item::{Control, OpenedBy, ParkedHint, ProviderStop};
use crate::fetcher::FetchRequest;
use crate::item::{Entry, SequenceNumber};
use crate::ledger::{Ledger, Parked};
use crate::pipeline::parking::MOST_PARKED;
use crate::pipeline::report::{End, Report, Stopped};
use crate::record::{Failure, FailureKind};
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::Answer;

/// A failure of the item alone that asks for a wait.
fn locked_answer(seconds: u64) -> Answer {
    let kind = FailureKind::Other("locked".to_owned());
    Answer::failure(Failure { retry_after: Some(Duration::from_secs(seconds)), ..Failure::new(kind, "locked") })
}

pub(super) fn fixture(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> Fixture {
    fixture_on(MemoryLedger::new().reporting_waits(), MANIFEST, script)
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_for_long_holds_back_nothing_else() {
    let fixture = fixture(|request, before| match (request.id.as_str(), before) {
        ("locked", 0) => locked_answer(30),
        (id, _) => Answer::record(id).after(Duration::from_millis(20)),
    });
    let (start, now) = (Instant::now(), fixture.clock.now());
    let report = fixture.process(&["locked", "a", "b", "locked"]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((count(&report, End::Fetched), report.stopped), (2, None));
    assert_eq!(report.first_unfinished, Some(SequenceNumber::from(0)));
    let waiting: Vec<_> = report.waiting.iter().map(|waiting| waiting.sequence.to_string()).collect();
    assert_eq!(waiting, ["0", "3"], "each entry of the item");
    for waiting in &report.waiting {
        let seconds = waiting.until.duration_since(now).as_secs();
        assert!((30..=31).contains(&seconds), "{seconds}");
    }
    assert_eq!(fixture.stored_ids().await, ["a", "b"]);

    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = fixture.process(&["locked", "a", "b", "locked"]).await;
    assert_eq!((count(&report, End::Fetched), count(&report, End::Skipped), report.waiting.len()), (3, 1, 0));
    assert_eq!(fixture.stored_ids().await, ["a", "b", "locked"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_ledger_is_passed_over_without_a_wait() {
    let fixture =
        fixture(|request, _| if request.id == "locked" { locked_answer(60) } else { Answer::record(&request.id) });
    fixture.process(&["locked"]).await;
    let start = Instant::now();
    let report = fixture.process(&["locked"]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((report.waiting.len(), report.ended.len()), (1, 0));
    assert_eq!(fixture.api.call_log().times.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_waited_out() {
    let fixture = fixture(|request, before| if before == 0 { locked_answer(9) } else { Answer::record(&request.id) });
    let start = Instant::now();
    let report = fixture.process(&["a"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (1, 0));
    assert_eq!(start.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_pass_over_nothing_is_held() {
    let script =
        |request: &FetchRequest, before| if before == 0 { locked_answer(30) } else { Answer::record(&request.id) };
    let fixture = fixture_on(MemoryLedger::new(), MANIFEST, script);
    let report = fixture.process(&["a"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (1, 0));
}

/// Each item then waits for a minute; they are not what is amiss.
#[tokio::test(start_paused = true)]
async fn an_outage_sets_no_item_aside() {
    let back = Instant::now() + Duration::from_secs(300);
    let fixture =
        fixture(
            move |request, _| {
                if Instant::now() < back { fails(FailureKind::Unavailable) } else { Answer::record(&request.id) }
            },
        );
    let report = fixture.process(&["a", "b", "c"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_throttles_holds_back_its_own_items_alone() {
    let begin = Instant::now();
    let script = move |request: &FetchRequest, _| {
        let until = Duration::from_secs(60).saturating_sub(begin.elapsed());
        if request.id.starts_with("token") && !until.is_zero() {
            let throttled = Failure::new(FailureKind::Throttled, "no token");
            return Answer::failure(Failure { retry_after: Some(until), is_of_token_endpoint: true, ..throttled });
        }
        Answer::record(&request.id).after(Duration::from_millis(20))
    };
    let fixture = fixture(script);
    let ids = [many("token", 3), many("other", 40)].concat();
    let before = fixture.pipeline.limiter_snapshot();
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "nothing else waits: {:?}", begin.elapsed());
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (40, 3));
    let after = fixture.pipeline.limiter_snapshot();
    assert!(after.limit >= before.limit && after.gate.is_none(), "{after:?}");
    tokio::time::sleep(Duration::from_secs(61)).await;
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (43, 0));
}

/// A shard as Kinesis' mapping delivers it: in order, from the checkpoint on, in batches of ten.
struct Shard {
    entries: Vec<Entry>,
    ended: BTreeMap<SequenceNumber, End>,
}

impl Shard {
    fn new(fixture: &Fixture, ids: &[&str]) -> Self {
        let entries = ids.iter().enumerate().map(|(number, id)| fixture.entry(number as u64, id)).collect();
        Self { entries, ended: BTreeMap::new() }
    }

    /// Deliver until the stream is done with every entry.
    async fn drain(&mut self, fixture: &Fixture) {
        while !self.entries.is_empty() {
            let batch: Vec<Entry> = self.entries.iter().take(10).cloned().collect();
            let report = fixture.process_entries(batch.clone()).await;
            let first = report.first_unfinished.as_ref();
            let done = batch.iter().position(|entry| Some(&entry.sequence) == first).unwrap_or(batch.len());
            self.entries.drain(..done);
            self.take_in(report);
        }
    }

    fn take_in(&mut self, report: Report) {
        self.ended.extend(report.ended.into_iter().chain(report.taken_up));
    }
}

fn parking_fixture(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> Fixture {
    fixture_on(MemoryLedger::new().parking(), MANIFEST, script)
}

fn locked_once(request: &FetchRequest, before: u32) -> Answer {
    match (request.id.as_str(), before) {
        ("locked", 0) => locked_answer(30),
        (id, _) => Answer::record(id).after(Duration::from_millis(20)),
    }
}

async fn tick(fixture: &Fixture) -> Report {
    let deadline = Instant::now() + Duration::from_secs(900);
    fixture.pipeline.process_parked(deadline, &CancellationToken::new()).await.unwrap()
}

async fn hint(fixture: &Fixture) -> (u64, bool) {
    let parked = fixture.ledger.control("demo").await.unwrap().parked;
    (parked.count, parked.next_due.is_some())
}

#[tokio::test(start_paused = true)]
async fn in_a_shard_an_item_that_waits_is_parked_and_the_checkpoint_moves_on() {
    let fixture = parking_fixture(locked_once);
    let mut ids = vec!["locked".to_owned()];
    ids.extend(many("i", 73));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let start = Instant::now();
    let mut shard = Shard::new(&fixture, &ids);
    shard.drain(&fixture).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!((shard.ended.len(), fixture.stored_ids().await.len()), (73, 73));
    assert_eq!(hint(&fixture).await, (1, true), "fed = ended and parked");

    let early = tick(&fixture).await;
    assert_eq!((early.taken_up.len(), fixture.ledger.parked_entries("demo").len()), (0, 1));
    tokio::time::sleep(Duration::from_secs(31)).await;
    shard.take_in(tick(&fixture).await);
    assert_eq!(shard.ended.get(&SequenceNumber::from(0)), Some(&End::Fetched));
    assert_eq!((shard.ended.len(), fixture.stored_ids().await.len()), (74, 74));
    assert!(fixture.ledger.parked_entries("demo").is_empty());
    assert_eq!(hint(&fixture).await, (0, false));
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_takes_up_what_is_due() {
    let fixture = parking_fixture(locked_once);
    let report = fixture.process(&["locked"]).await;
    assert_eq!((report.first_unfinished, report.parked.len(), report.ended.len()), (None, 1, 0));
    let report = fixture.process_entries(vec![fixture.entry(1, "a")]).await;
    assert_eq!(report.taken_up, [], "not due yet");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = fixture.process_entries(vec![fixture.entry(2, "b")]).await;
    assert_eq!(report.taken_up, [(SequenceNumber::from(0), End::Fetched)]);
    assert_eq!(report.ended, [(SequenceNumber::from(2), End::Fetched)], "the stream hears of its own");
    assert_eq!(hint(&fixture).await, (0, false));
    assert_eq!(fixture.stored_ids().await, ["a", "b", "locked"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_once_more_is_parked_until_the_later_time() {
    let fixture =
        parking_fixture(|request, before| if before < 2 { locked_answer(30) } else { Answer::record(&request.id) });
    fixture.process(&["locked"]).await;
    let first = fixture.ledger.parked_entries("demo");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = tick(&fixture).await;
    assert_eq!((report.taken_up.len(), report.parked.len()), (0, 1));
    let second = fixture.ledger.parked_entries("demo");
    assert_eq!((first.len(), second.len(), hint(&fixture).await), (1, 1, (1, true)));
    assert!(second[0].1 > first[0].1, "{first:?}, {second:?}");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(tick(&fixture).await.taken_up, [(SequenceNumber::from(0), End::Fetched)]);
}

/// The call that parked it did not live to say so to the stream.
#[tokio::test(start_paused = true)]
async fn an_entry_that_is_parked_and_delivered_again_is_one() {
    let fixture = parking_fixture(locked_once);
    fixture.process(&["locked"]).await;
    let report = fixture.process(&["locked"]).await;
    assert_eq!((report.first_unfinished, report.parked.len()), (None, 1));
    assert_eq!((fixture.ledger.parked_entries("demo").len(), hint(&fixture).await), (1, (1, true)));

    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = fixture.process(&["locked"]).await;
    assert_eq!(report.ended, [(SequenceNumber::from(0), End::Fetched)]);
    assert_eq!((report.taken_up.len(), fixture.ledger.parked_entries("demo").len()), (0, 0));
    assert_eq!(fixture.stored_ids().await, ["locked"]);
}

/// The call that ended it did not live to forget it.
#[tokio::test(start_paused = true)]
async fn what_is_done_and_parked_still_is_forgotten() {
    let fixture = parking_fixture(|request, _| Answer::record(&request.id));
    fixture.process(&["a"]).await;
    let (entry, due) = (fixture.entry(0, "a"), fixture.clock.now());
    fixture.ledger.park("demo", &[Parked { entry, due }]).await.unwrap();
    assert_eq!(tick(&fixture).await.taken_up, [(SequenceNumber::from(0), End::Fetched)]);
    assert_eq!((fixture.api.call_log().times.len(), fixture.ledger.parked_entries("demo").len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_up_while_a_gate_is_closed() {
    let fixture = parking_fixture(locked_once);
    fixture.process(&["locked"]).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let control = fixture.ledger.control("demo").await.unwrap();
    let breaker =
        ProviderStop::Open { since: fixture.clock.now(), by: OpenedBy::Operator, reason: "a test".to_owned() };
    fixture.ledger.update_control("demo", &Control { breaker, ..control }).await.unwrap();
    let start = Instant::now();
    assert_eq!(tick(&fixture).await.stopped, Some(Stopped::BreakerOpen));
    assert_eq!((start.elapsed(), fixture.api.call_log().times.len()), (Duration::ZERO, 1));
    assert_eq!(fixture.ledger.parked_entries("demo").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_held_while_too_many_are_parked() {
    let fixture = parking_fixture(locked_once);
    let control = fixture.ledger.control("demo").await.unwrap();
    let parked = ParkedHint { count: MOST_PARKED, next_due: Some(fixture.clock.now() + Duration::from_secs(3_600)) };
    fixture.ledger.update_control("demo", &Control { parked, ..control }).await.unwrap();
    let report = fixture.process(&["locked"]).await;
    assert_eq!((count(&report, End::Fetched), report.parked.len()), (1, 0));
    // The hint was wrong, and a tick sees it.
    tick(&fixture).await;
    assert_eq!(hint(&fixture).await, (0, false));
}
