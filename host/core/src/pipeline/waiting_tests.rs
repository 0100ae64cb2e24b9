//! Items that wait for long, and what becomes of the rest of their batch.

use std::time::Duration;

use tokio::time::Instant;

use super::tests::{House, MANIFEST, count, fails, house_on};
use crate::fetcher::FetchRequest;
use crate::item::SequenceNumber;
use crate::pipeline::report::{End, Report};
use crate::record::{Failure, FailureKind};
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::Answer;

/// A failure of the item alone that asks for a wait.
fn locked(seconds: u64) -> Answer {
    let kind = FailureKind::Other("locked".to_owned());
    Answer::failure(Failure { retry_after: Some(Duration::from_secs(seconds)), ..Failure::new(kind, "locked") })
}

fn house(script: impl Fn(&FetchRequest, u32) -> Answer + Send + Sync + 'static) -> House {
    house_on(MemoryLedger::new().reporting_waits(), MANIFEST, script)
}

async fn process(house: &House, ids: &[&str]) -> Report {
    house.process_entries(ids.iter().enumerate().map(|(number, id)| house.entry(number as u64, id)).collect()).await
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_for_long_holds_back_nothing_else() {
    let house = house(|request, before| match (request.id.as_str(), before) {
        ("locked", 0) => locked(30),
        (id, _) => Answer::record(id).after(Duration::from_millis(20)),
    });
    let (start, now) = (Instant::now(), house.clock.now());
    let report = process(&house, &["locked", "a", "b", "locked"]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((count(&report, End::Fetched), report.stopped), (2, None));
    assert_eq!(report.first_unfinished, Some(SequenceNumber::from(0)));
    let waiting: Vec<_> = report.waiting.iter().map(|waiting| waiting.sequence.to_string()).collect();
    assert_eq!(waiting, ["0", "3"], "each entry of the item");
    for waiting in &report.waiting {
        let seconds = waiting.until.duration_since(now).as_secs();
        assert!((30..=31).contains(&seconds), "{seconds}");
    }
    assert_eq!(house.stored().await, ["a", "b"]);

    tokio::time::sleep(Duration::from_secs(31)).await;
    let report = process(&house, &["locked", "a", "b", "locked"]).await;
    assert_eq!((count(&report, End::Fetched), count(&report, End::Skipped), report.waiting.len()), (3, 1, 0));
    assert_eq!(house.stored().await, ["a", "b", "locked"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_ledger_is_passed_over_without_a_wait() {
    let house = house(|request, _| if request.id == "locked" { locked(60) } else { Answer::record(&request.id) });
    process(&house, &["locked"]).await;
    let start = Instant::now();
    let report = process(&house, &["locked"]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((report.waiting.len(), report.ended.len()), (1, 0));
    assert_eq!(house.api.seen().times.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_waited_out() {
    let house = house(|request, before| if before == 0 { locked(9) } else { Answer::record(&request.id) });
    let start = Instant::now();
    let report = process(&house, &["a"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (1, 0));
    assert_eq!(start.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_pass_over_nothing_is_held() {
    let script = |request: &FetchRequest, before| if before == 0 { locked(30) } else { Answer::record(&request.id) };
    let house = house_on(MemoryLedger::new(), MANIFEST, script);
    let report = process(&house, &["a"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (1, 0));
}

/// Each item then waits for a minute; they are not what is amiss.
#[tokio::test(start_paused = true)]
async fn an_outage_sets_no_item_aside() {
    let back = Instant::now() + Duration::from_secs(300);
    let house =
        house(
            move |request, _| {
                if Instant::now() < back { fails(FailureKind::Unavailable) } else { Answer::record(&request.id) }
            },
        );
    let report = process(&house, &["a", "b", "c"]).await;
    assert_eq!((count(&report, End::Fetched), report.waiting.len()), (3, 0));
}
