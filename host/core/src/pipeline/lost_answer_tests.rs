//! A ledger that writes the control item and loses the answer: nothing of the quota is spent twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tests::{Fixture, MANIFEST, fixture_of};
use super::{Pipeline, Stores};
use crate::item::Entry;
use crate::ledger::Ledger;
use crate::ledger::tests::{Fate, LosesAnswers};
use crate::random::RandomSource;
use crate::sink::Compression;
use crate::testing::scripted::Answer;

const QUOTA: u64 = 60;

/// A process that loses answers.
fn process_that_loses(fixture: &Fixture, fates: &[Fate]) -> Arc<Pipeline> {
    let stores = Stores {
        ledger: Arc::new(LosesAnswers::new(fixture.ledger.clone(), fates.repeat(100), Fate::Answered)),
        sink: Arc::new(object_store::memory::InMemory::new()),
        compression: Compression::None,
        mapping: fixture.mapping.clone(),
        clock: fixture.clock.clone(),
        random: RandomSource::from_seed(3),
    };
    Pipeline::new(fixture.pipeline.manifest().clone(), fixture.api.clone(), stores)
}

/// How many requests are sent for 100 items in batches of five, and how many are counted, under these fates in turn.
async fn requests_under(fates: &[Fate]) -> (u64, u64) {
    let manifest = MANIFEST.replace("[limits]", &format!("[limits]\ndaily_quota = {QUOTA}"));
    let fixture = fixture_of(&manifest, |request, _| Answer::record(&request.id).after(Duration::from_millis(50)));
    let process = process_that_loses(&fixture, fates);
    let entries: Vec<Entry> = (0..100).map(|number| fixture.entry(number, &format!("i{number:03}"))).collect();
    for batch in entries.chunks(5) {
        process.process(batch.to_vec(), Instant::now() + Duration::from_secs(900), &CancellationToken::new()).await;
    }
    let sent = fixture.api.call_log().times.len();
    (sent as u64, fixture.ledger.control("demo").await.unwrap().usage.requests)
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_kept_and_used_up_though_the_answer_of_each_write_is_lost() {
    for fate in [Fate::Repeated, Fate::RepeatedAfter(3), Fate::DoneAndFailed] {
        assert_eq!(requests_under(&[fate]).await, (QUOTA, QUOTA), "{fate:?}");
        // The share is set aside as usual, and the rest of it is given back with a lost response.
        assert_eq!(requests_under(&[Fate::Answered, fate]).await, (QUOTA, QUOTA), "every second: {fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_look_up_counts_as_spent() {
    for fates in [[Fate::Answered, Fate::DoneAndUnknown], [Fate::DoneAndUnknown, Fate::Answered]] {
        let (sent, counted) = requests_under(&fates).await;
        assert!(sent <= counted && counted <= QUOTA, "{fates:?}: {sent} sent, {counted} counted");
    }
}
