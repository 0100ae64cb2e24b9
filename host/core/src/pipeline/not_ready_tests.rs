//! Items that the API has taken and whose records are not ready yet: orders, and polls of them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::tests::{MANIFEST, count, fails, fixture_on, many};
use super::waiting_tests::fixture;
use super::{AdHoc, due_entries};
use crate::control::item::{OpenedBy, ProviderStop};
use crate::dead_letter::Reason;
use crate::fetcher::FetchRequest;
use crate::item::{Item, Params};
use crate::ledger::Ledger;
use crate::pipeline::report::End;
use crate::record::{Failure, FailureKind};
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::Answer;

/// The API says when to ask again.
fn not_ready(order: &str, seconds: u64) -> Answer {
    let retry_after = Some(Duration::from_secs(seconds));
    let failure = Failure::new(FailureKind::NotReady, "in progress");
    Answer::failure(Failure { retry_after, resume: order.as_bytes().into(), ..failure })
}

/// An API that takes an order and has the record after so many polls. It fails where a poll does not name the order.
fn orders(polls: u32, seconds: u64) -> impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static {
    move |request, before| {
        let order = format!("order of {}", request.id);
        match &request.resume {
            None if before == 0 => not_ready(&order, seconds),
            Some(resume) if *resume == order && before <= polls => not_ready(&order, seconds),
            Some(resume) if *resume == order => Answer::record(&request.id),
            resume => panic!("{resume:?} of {} after {before} calls", request.id),
        }
    }
}

/// It spends no attempt, raises no alarm, and is no failure to limiter and breaker.
#[tokio::test(start_paused = true)]
async fn an_order_is_polled_until_its_record_is_ready() {
    // More polls than attempts.
    let fixture = fixture_on(MemoryLedger::new(), MANIFEST, orders(20, 30));
    let ids = many("i", 40);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!((count(&report, End::Fetched), report.stopped), (40, None));
    let control = fixture.ledger.control("demo").await.unwrap();
    assert_eq!(control.breaker, ProviderStop::Closed);
    assert!(fixture.ledger.letters("demo").is_empty());
    assert_eq!(fixture.pipeline.progress.snapshot().polled, 40 * 21);
    assert!(fixture.pipeline.progress.failures().is_empty());
    assert!(fixture.ledger.rows("demo").values().all(|row| row.attempts == 0 && row.resume.is_none()));
}

/// Not even for a short wait: the next poll may be not ready, too, and the batches behind would wait for all of them.
#[tokio::test(start_paused = true)]
async fn an_order_holds_no_batch() {
    let fixture = fixture(|request, before| match request.id.as_str() {
        "locked" => not_ready("7", 2),
        _ => orders(1, 2)(request, before),
    });
    let start = Instant::now();
    let report = fixture.process(&["locked", "a"]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((report.waiting.len(), report.ended.len(), report.stopped), (2, 0, None));
    for _ in 0..2 {
        sleep(Duration::from_secs(3)).await;
        fixture.process(&["locked", "a"]).await;
    }
    assert_eq!(fixture.stored_ids().await, ["a"], "the other one holds up nobody");
}

/// A batch that ends without an item costs writes and a minute: it waits a little for the item, and no longer.
#[tokio::test(start_paused = true)]
async fn a_batch_that_parks_waits_a_little_and_once() {
    let ledger = || MemoryLedger::new().parking();
    let quick = fixture_on(ledger(), MANIFEST, orders(2, 3));
    assert_eq!(count(&quick.process(&["a", "b"]).await, End::Fetched), 2);

    let slow = fixture_on(ledger(), MANIFEST, orders(u32::MAX, 3));
    let start = Instant::now();
    let report = slow.process(&["a", "b"]).await;
    assert_eq!((report.parked.len(), report.first_unfinished), (2, None));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_due_comes_before_fresh_orders() {
    let answer = orders(0, 5);
    let fixture = fixture(move |request, before| answer(request, before).after(Duration::from_secs(1)));
    let ids = many("i", 60);
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let log = fixture.api.call_log();
    let calls_of_first: Vec<_> = log.times.iter().filter(|(_, id)| id == "i000").map(|(at, _)| *at).collect();
    let between = calls_of_first[1] - calls_of_first[0];
    // The order takes 1 s, and its poll is due 5 s later.
    assert!(between <= Duration::from_secs(10), "{between:?}");
}

/// A batch may take many minutes, and the API said when to ask again.
#[tokio::test(start_paused = true)]
async fn a_poll_that_was_left_by_an_earlier_batch_joins_the_batch_in_progress() {
    let fixture = fixture(|request, before| match request.id.as_str() {
        "ordered" => orders(0, 5)(request, before),
        id => Answer::record(id).after(Duration::from_secs(5)),
    });
    let left = fixture.process(&["ordered"]).await;
    assert_eq!(left.waiting.len(), 1);
    let start = Instant::now();
    let ids = many("i", 100);
    let fresh = ids.iter().zip(1..).map(|(id, number)| fixture.entry(number, id)).collect();
    let (sender, due) = due_entries();
    let stop = Default::default();
    let handing_in = async {
        sleep(Duration::from_secs(6)).await;
        assert!(sender.has_room());
        sender.try_send(vec![fixture.entry(0, "ordered")]).unwrap();
    };
    let processing = fixture.pipeline.process_with_due(fresh, due, in_a_quarter_hour(), &stop);
    let (report, ()) = tokio::join!(processing, handing_in);
    assert_eq!((count(&report, End::Fetched), report.first_unfinished), (101, None));
    assert!(start.elapsed() > Duration::from_secs(60), "the batch itself took {:?}", start.elapsed());
    let log = fixture.api.call_log();
    let last = log.times.iter().filter(|(_, id)| id == "ordered").map(|(at, _)| *at).next_back().unwrap();
    let late = last.saturating_duration_since(start);
    assert!(late <= Duration::from_secs(12), "polled only after {late:?}");
}

/// An order that is never ready would else be handed in for ever.
#[tokio::test(start_paused = true)]
async fn due_entries_do_not_make_a_batch_last_for_ever() {
    let fixture = fixture(|request, _| match request.id.as_str() {
        "locked" => not_ready("7", 1),
        id => Answer::record(id).after(Duration::from_secs(1)),
    });
    let (sender, due) = due_entries();
    let handing_in = async {
        let mut number = 100;
        loop {
            sleep(Duration::from_millis(100)).await;
            number += 1;
            let _ = sender.try_send(vec![fixture.entry(number, "locked")]);
        }
    };
    let (fresh, stop) =
        ((1..=3).map(|number| fixture.entry(number, &format!("i{number}"))).collect(), Default::default());
    let start = Instant::now();
    let report = tokio::select! {
        report = fixture.pipeline.process_with_due(fresh, due, in_a_quarter_hour(), &stop) => report,
        () = handing_in => unreachable!(),
    };
    assert_eq!(count(&report, End::Fetched), 3);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(!sender.has_room(), "the poller sees that the batch is over");
}

/// Also where an earlier batch placed the order, and its first poll in this one fails: it does not go behind all the
/// fresh orders of this batch.
#[tokio::test(start_paused = true)]
async fn a_poll_that_failed_comes_again_before_fresh_orders() {
    let answer = orders(0, 2);
    let fixture = fixture(move |request, before| match (request.id.as_str(), before) {
        ("a", 0) => not_ready("order of a", 2),
        ("a", 1) => fails(FailureKind::Unavailable),
        ("a", _) => Answer::record("a"),
        _ => answer(request, before).after(Duration::from_secs(1)),
    });
    fixture.process(&["a"]).await;
    sleep(Duration::from_secs(2)).await;
    let fresh = many("i", 200);
    let ids: Vec<&str> = std::iter::once("a").chain(fresh.iter().map(String::as_str)).collect();
    fixture.process(&ids).await;
    let log = fixture.api.call_log();
    let calls: Vec<&str> = log.times.iter().map(|(_, id)| id.as_str()).collect();
    let polls: Vec<usize> = (0..calls.len()).filter(|index| calls[*index] == "a").collect();
    assert_eq!(polls.len(), 3, "{calls:?}");
    assert!(polls[2] - polls[1] < 60, "behind {} others", polls[2] - polls[1]);
}

/// To the millisecond: rounded up to a second, each poll would come half a second late.
#[tokio::test(start_paused = true)]
async fn an_order_that_is_set_aside_is_due_when_the_api_says() {
    let fixture = fixture(|request, _| {
        let retry_after = Some(Duration::from_millis(1_250));
        let failure = Failure::new(FailureKind::NotReady, "in progress");
        Answer::failure(Failure { retry_after, resume: request.id.as_bytes().into(), ..failure })
    });
    let due = fixture.clock.now() + Duration::from_millis(1_250);
    let report = fixture.process(&["a"]).await;
    assert_eq!(report.waiting.iter().map(|waiting| waiting.until).collect::<Vec<_>>(), [due]);
}

/// The order is in the ledger: another process polls it, also after a poll failed.
#[tokio::test(start_paused = true)]
async fn another_process_goes_on_with_the_order() {
    let fixture = fixture(|request, before| match before {
        1 => fails(FailureKind::Unavailable),
        0 => not_ready("order of a", 60),
        _ => orders(0, 0)(request, before),
    });
    fixture.process(&["a"]).await;
    let other = fixture.restart();
    sleep(Duration::from_secs(61)).await;
    let report = other.process(vec![fixture.entry(0, "a")], in_a_quarter_hour(), &Default::default()).await;
    assert_eq!(count(&report, End::Fetched), 1);
}

fn in_a_quarter_hour() -> Instant {
    Instant::now() + Duration::from_secs(900)
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_never_ready_becomes_a_dead_letter() {
    let manifest = MANIFEST.replace("[retry]", "[retry]\nmax_polls = 3");
    let fixture = fixture_on(MemoryLedger::new(), &manifest, orders(u32::MAX, 30));
    let report = fixture.process(&["a"]).await;
    assert_eq!(count(&report, End::DeadLetter), 1);
    let letters = fixture.ledger.letters("demo");
    assert_eq!(letters[0].reason, Reason::NeverReady);
    assert!(letters[0].bundle.is_some(), "its last exchanges");
    assert_eq!(fixture.api.call_log().asked["a"], 4, "the order and three polls, of which the last was too many");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_do_not_hide_behind_polls() {
    // Four polls to each dead letter: a moved path has to raise the alarm nevertheless.
    let fixture = fixture_on(MemoryLedger::new(), MANIFEST, |request, before| match before {
        0..4 => not_ready(&request.id, 1),
        _ => fails(FailureKind::NotFound),
    });
    let ids = many("i", 200);
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let breaker = fixture.ledger.control("demo").await.unwrap().breaker;
    assert!(matches!(breaker, ProviderStop::Open { by: OpenedBy::Config, .. }), "{breaker:?}");
    assert!(fixture.ledger.letters("demo").len() < 20);
}

/// While only orders were accepted, a 503 now and then is the item's own affair: it is retried quickly.
#[tokio::test(start_paused = true)]
async fn an_accepted_order_shows_that_the_api_works() {
    let fixture = fixture(|request, before| match (request.id.as_str(), before) {
        ("i039", 0) => fails(FailureKind::Unavailable),
        _ => not_ready(&request.id, 3_600),
    });
    let ids = many("i", 40);
    let start = Instant::now();
    fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(fixture.api.call_log().asked["i039"], 2);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_ad_hoc_fetch_says_when_to_ask_again_and_goes_on() {
    let fixture = fixture(orders(0, 30));
    let fetch = || {
        let item = Item::new("a".to_owned(), Params::new()).unwrap();
        fixture.pipeline.fetch_now(item, Instant::now() + Duration::from_secs(60))
    };
    let due = fixture.clock.now() + Duration::from_secs(30);
    assert_eq!(fetch().await.unwrap(), AdHoc::NotReady(due));
    assert_eq!(fetch().await.unwrap(), AdHoc::NotBefore(due));
    sleep(Duration::from_secs(30)).await;
    assert!(matches!(fetch().await.unwrap(), AdHoc::Record(_)));
}
