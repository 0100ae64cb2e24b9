//! Ad-hoc fetches against a scripted API, alone and beside batches.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AdHoc;
use super::tests::{Fixture, MANIFEST, count, fails, fixture_of};
use crate::item::{Item, Params};
use crate::operate;
use crate::pipeline::report::{End, Stopped};
use crate::record::FailureKind;
use crate::testing::scripted::Answer;

impl Fixture {
    async fn fetch_now(&self, id: &str) -> AdHoc {
        let item = Item::new(id.to_owned(), Params::new()).unwrap();
        self.pipeline.fetch_now(item, Instant::now() + Duration::from_secs(60)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_comes_back_is_stored_and_is_fetched_once_a_day() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
    let AdHoc::Record(line) = fixture.fetch_now("a").await else { panic!("no record") };
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((&line["id"], &line["body"]["id"]), (&"a".into(), &"a".into()));
    assert_eq!(fixture.stored_ids().await, ["a"]);

    assert!(matches!(fixture.fetch_now("a").await, AdHoc::SettledBefore { end: End::Fetched, .. }));
    let report = fixture.process_entries(vec![fixture.entry(0, "a"), fixture.entry(1, "b")]).await;
    assert_eq!((count(&report, End::Skipped), count(&report, End::Fetched)), (1, 1));
    let again = fixture.fetch_now("b").await;
    assert!(matches!(&again, AdHoc::SettledBefore { by, .. } if by.to_string() == "1"), "{again:?}");
    assert_eq!(fixture.api.call_log().asked["a"], 1);
}

#[tokio::test(start_paused = true)]
async fn beside_a_batch_it_has_the_slot_that_is_left_and_never_one_more() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id).after(Duration::from_millis(700)));
    let entries = (0..400).map(|number| fixture.entry(number, &format!("i{number}"))).collect();
    let ad_hoc = async {
        sleep(Duration::from_secs(30)).await;
        tokio::join!(fixture.fetch_now("x"), fixture.fetch_now("y"), fixture.fetch_now("z"))
    };
    let (report, (x, y, z)) = tokio::join!(fixture.process_entries(entries), ad_hoc);
    assert_eq!(count(&report, End::Fetched), 400);
    let records = [&x, &y, &z].iter().filter(|came| matches!(came, AdHoc::Record(_))).count();
    assert_eq!(records, 1, "{x:?} {y:?} {z:?}");
    assert_eq!(fixture.api.call_log().peak, 4, "three of the batch and one");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_leaves_nothing_behind() {
    let fixture = fixture_of(MANIFEST, |request, before| match (request.id.as_str(), before) {
        ("gone", _) => fails(FailureKind::NotFound),
        ("down", 0) => fails(FailureKind::Unavailable),
        (id, _) => Answer::record(id),
    });
    let gone = fixture.fetch_now("gone").await;
    assert!(matches!(&gone, AdHoc::Failed(failure) if failure.kind == FailureKind::NotFound), "{gone:?}");
    assert!(fixture.ledger.letters("demo").is_empty(), "whoever asked was told");
    let down = fixture.fetch_now("down").await;
    assert!(matches!(&down, AdHoc::Failed(failure) if failure.kind == FailureKind::Unavailable), "{down:?}");
    let report = fixture.process_entries(vec![fixture.entry(0, "down"), fixture.entry(1, "gone")]).await;
    assert_eq!((count(&report, End::Fetched), count(&report, End::DeadLetter)), (1, 1));
    assert_eq!(fixture.stored_ids().await, ["down"]);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_batches_from_the_api_keeps_it_too() {
    let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
    operate::pause(&*fixture.ledger, &*fixture.mapping, "demo", fixture.clock.now(), "lunch").await.unwrap();
    assert_eq!(fixture.fetch_now("a").await, AdHoc::Refused(Stopped::BreakerOpen));
    let closed = fixture_of(&format!("{MANIFEST}\n[window]\nopen = [\"20:00-06:00\"]"), |request, _| {
        Answer::record(&request.id)
    });
    assert_eq!(closed.fetch_now("a").await, AdHoc::Refused(Stopped::WindowClosed));
    assert!(fixture.api.call_log().times.is_empty() && closed.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_quota_covers_it_and_a_short_deadline_sends_nothing() {
    let fixture = fixture_of(&MANIFEST.replace("[limits]", "[limits]\ndaily_quota = 2"), |request, _| {
        Answer::record(&request.id)
    });
    let item = Item::new("a".to_owned(), Params::new()).unwrap();
    let late = fixture.pipeline.fetch_now(item, Instant::now() + Duration::from_secs(3)).await.unwrap();
    assert_eq!(late, AdHoc::Refused(Stopped::Deadline));
    assert!(matches!(fixture.fetch_now("a").await, AdHoc::Record(_)));
    assert!(matches!(fixture.fetch_now("b").await, AdHoc::Record(_)));
    assert_eq!(fixture.fetch_now("c").await, AdHoc::Refused(Stopped::QuotaSpent));
    assert_eq!(fixture.api.call_log().times.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_stops_the_provider_as_in_a_batch() {
    let fixture = fixture_of(MANIFEST, |_, _| fails(FailureKind::Unauthorized));
    for id in ["a", "b", "c"] {
        assert!(matches!(fixture.fetch_now(id).await, AdHoc::Failed(_)));
    }
    assert_eq!(fixture.fetch_now("d").await, AdHoc::Refused(Stopped::BreakerOpen));
}
