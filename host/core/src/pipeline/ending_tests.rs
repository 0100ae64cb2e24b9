//! Calls that end before their batch does: at the deadline, at the window's end, when a stop is asked for, at midnight.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tests::{MANIFEST, count, fixture, fixture_of, many};
use crate::pipeline::report::{End, Stopped};
use crate::testing::scripted::Answer;

#[tokio::test(start_paused = true)]
async fn a_closed_window_fetches_nothing_and_does_not_spin() {
    let manifest = format!("{MANIFEST}\n[window]\nopen = [\"Mon 01:00-02:00\"]");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id));
    let start = Instant::now();
    let report = fixture.process(&["a"]).await;
    assert_eq!(report.stopped, Some(Stopped::WindowClosed));
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    assert!(fixture.api.call_log().times.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_fetch_starts_that_could_run_past_the_windows_end() {
    // It is Sunday, 12:00:00; the window closes at 12:01.
    let manifest = format!("{MANIFEST}\n[window]\nopen = [\"Sun 11:00-12:01\"]");
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_millis(1_500)));
    let start = Instant::now();
    let ids = many("i", 300);
    let report = fixture.process(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(report.first_unfinished.is_some());
    let last = fixture.api.call_log().times.last().unwrap().0;
    assert!(last - start <= Duration::from_secs(58), "{:?}", last - start);
    assert!(last - start > Duration::from_secs(50));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_leaves_room_for_what_is_in_flight() {
    let fixture = fixture(|request, _| Answer::record(&request.id).after(Duration::from_millis(1_900)));
    let deadline = Instant::now() + Duration::from_secs(30);
    let entries = (0..500).map(|number| fixture.entry(number, &format!("i{number}"))).collect();
    let report = fixture.pipeline.process(entries, deadline, &CancellationToken::new()).await;
    assert!(Instant::now() <= deadline);
    assert!(report.first_unfinished.is_some());
    assert_eq!(fixture.stored_ids().await.len(), report.ended.len(), "what was fetched is stored and reported");
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_finishes_what_is_in_flight() {
    let fixture = fixture(|request, _| Answer::record(&request.id).after(Duration::from_secs(1)));
    let stop = CancellationToken::new();
    let entries = (0..100).map(|number| fixture.entry(number, &format!("i{number}"))).collect();
    let deadline = Instant::now() + Duration::from_secs(900);
    let (report, ()) = tokio::join!(fixture.pipeline.process(entries, deadline, &stop), async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        stop.cancel();
    });
    assert_eq!(report.stopped, Some(Stopped::Asked));
    // The limiter begins with one at a time, and finds no more in three answers.
    assert_eq!(count(&report, End::Fetched), 3);
    assert_eq!(fixture.api.call_log().times.len(), 3, "whatever was sent is kept");
    assert_eq!(fixture.stored_ids().await.len(), 3);
    let again = fixture.process(&["i99"]).await;
    assert_eq!(count(&again, End::Fetched), 1, "nothing is left claimed");
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_after_midnight_fetches_nothing_again() {
    let fixture = fixture(|request, _| Answer::record(&request.id));
    let entry = fixture.entry(0, "a");
    fixture.process_entries(vec![entry.clone()]).await;
    tokio::time::sleep(Duration::from_secs(13 * 3600)).await;
    let report = fixture.process_entries(vec![entry]).await;
    assert_eq!(count(&report, End::Fetched), 1);
    assert_eq!(fixture.api.call_log().times.len(), 1);
    let fresh = fixture.process_entries(vec![fixture.entry(7, "a")]).await;
    assert_eq!(count(&fresh, End::Fetched), 1);
    assert_eq!(fixture.api.call_log().times.len(), 2, "an entry of the new day is fetched on the new day");
}
