//! Ad-hoc fetches against a scripted API, alone and beside batches.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AdHoc;
use super::tests::{House, MANIFEST, count, fails, house_of};
use crate::item::{Item, Params};
use crate::operate;
use crate::pipeline::report::{End, Stopped};
use crate::record::FailureKind;
use crate::testing::scripted::Answer;

impl House {
    async fn fetch_now(&self, id: &str) -> AdHoc {
        let item = Item::new(id.to_owned(), Params::new()).unwrap();
        self.pipeline.fetch_now(item, Instant::now() + Duration::from_secs(60)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_comes_back_is_stored_and_is_fetched_once_a_day() {
    let house = house_of(MANIFEST, |request, _| Answer::record(&request.id));
    let AdHoc::Record(line) = house.fetch_now("a").await else { panic!("no record") };
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((&line["id"], &line["body"]["id"]), (&"a".into(), &"a".into()));
    assert_eq!(house.stored().await, ["a"]);

    assert!(matches!(house.fetch_now("a").await, AdHoc::SettledBefore { end: End::Fetched, .. }));
    let report = house.process_entries(vec![house.entry(0, "a"), house.entry(1, "b")]).await;
    assert_eq!((count(&report, End::Skipped), count(&report, End::Fetched)), (1, 1));
    let again = house.fetch_now("b").await;
    assert!(matches!(&again, AdHoc::SettledBefore { by, .. } if by.to_string() == "1"), "{again:?}");
    assert_eq!(house.api.seen().asked["a"], 1);
}

#[tokio::test(start_paused = true)]
async fn beside_a_batch_it_has_the_slot_that_is_left_and_never_one_more() {
    let house = house_of(MANIFEST, |request, _| Answer::record(&request.id).after(Duration::from_millis(700)));
    let entries = (0..400).map(|number| house.entry(number, &format!("i{number}"))).collect();
    let ad_hoc = async {
        sleep(Duration::from_secs(30)).await;
        tokio::join!(house.fetch_now("x"), house.fetch_now("y"), house.fetch_now("z"))
    };
    let (report, (x, y, z)) = tokio::join!(house.process_entries(entries), ad_hoc);
    assert_eq!(count(&report, End::Fetched), 400);
    let records = [&x, &y, &z].iter().filter(|came| matches!(came, AdHoc::Record(_))).count();
    assert_eq!(records, 1, "{x:?} {y:?} {z:?}");
    assert_eq!(house.api.seen().peak, 4, "three of the batch and one");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_leaves_nothing_behind() {
    let house = house_of(MANIFEST, |request, before| match (request.id.as_str(), before) {
        ("gone", _) => fails(FailureKind::NotFound),
        ("down", 0) => fails(FailureKind::Unavailable),
        (id, _) => Answer::record(id),
    });
    let gone = house.fetch_now("gone").await;
    assert!(matches!(&gone, AdHoc::Failed(failure) if failure.kind == FailureKind::NotFound), "{gone:?}");
    assert!(house.ledger.letters("demo").is_empty(), "whoever asked was told");
    let down = house.fetch_now("down").await;
    assert!(matches!(&down, AdHoc::Failed(failure) if failure.kind == FailureKind::Unavailable), "{down:?}");
    let report = house.process_entries(vec![house.entry(0, "down"), house.entry(1, "gone")]).await;
    assert_eq!((count(&report, End::Fetched), count(&report, End::DeadLetter)), (1, 1));
    assert_eq!(house.stored().await, ["down"]);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_batches_from_the_api_keeps_it_too() {
    let house = house_of(MANIFEST, |request, _| Answer::record(&request.id));
    operate::pause(&*house.ledger, &*house.mapping, "demo", house.clock.now(), "lunch").await.unwrap();
    assert_eq!(house.fetch_now("a").await, AdHoc::Refused(Stopped::BreakerOpen));
    let closed =
        house_of(&format!("{MANIFEST}\n[window]\nopen = [\"20:00-06:00\"]"), |request, _| Answer::record(&request.id));
    assert_eq!(closed.fetch_now("a").await, AdHoc::Refused(Stopped::WindowClosed));
    assert!(house.api.seen().times.is_empty() && closed.api.seen().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_quota_covers_it_and_a_short_deadline_sends_nothing() {
    let house =
        house_of(&MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 2"), |request, _| Answer::record(&request.id));
    let item = Item::new("a".to_owned(), Params::new()).unwrap();
    let late = house.pipeline.fetch_now(item, Instant::now() + Duration::from_secs(3)).await.unwrap();
    assert_eq!(late, AdHoc::Refused(Stopped::Deadline));
    assert!(matches!(house.fetch_now("a").await, AdHoc::Record(_)));
    assert!(matches!(house.fetch_now("b").await, AdHoc::Record(_)));
    assert_eq!(house.fetch_now("c").await, AdHoc::Refused(Stopped::QuotaSpent));
    assert_eq!(house.api.seen().times.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_stops_the_provider_as_in_a_batch() {
    let house = house_of(MANIFEST, |_, _| fails(FailureKind::Unauthorized));
    for id in ["a", "b", "c"] {
        assert!(matches!(house.fetch_now(id).await, AdHoc::Failed(_)));
    }
    assert_eq!(house.fetch_now("d").await, AdHoc::Refused(Stopped::BreakerOpen));
}
