//! Several processes want more slots than there are: all get their share, and the API never gets more requests than the
//! cap.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::tests::{Fixture, MANIFEST, count, fixture_on};
use crate::ledger::Ledger;
use crate::mapping::{Mapping, MappingChange};
use crate::pipeline::report::End;
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::Answer;

const BATCH: u64 = 10;
/// Two hours.
const LONG: Duration = Duration::from_secs(7_200);

fn fixture(ledger: MemoryLedger, cap: u32, fetch_timeout: &str, takes: Duration) -> Fixture {
    let manifest = MANIFEST
        .replace("max_concurrency = 4", &format!("max_concurrency = {cap}"))
        .replace("fetch_timeout = \"2s\"", &format!("fetch_timeout = \"{fetch_timeout}\""));
    let manifest = format!("{manifest}[pace]\nstart_batch = {BATCH}\nmax_batch = {BATCH}\n");
    fixture_on(ledger, &manifest, move |request, _| Answer::record(&request.id).after(takes))
}

impl Fixture {
    /// Deliver full batches to a process, one after another, until `until`. Returns how many records it fetched.
    async fn deliver_until(&self, pipeline: &Arc<Pipeline>, shard: u64, until: Instant) -> usize {
        let (mut next, mut fetched) = (shard * 1_000_000, 0);
        let mut left = Vec::new();
        while Instant::now() < until {
            while left.len() < BATCH as usize {
                left.push(self.entry(next, &format!("i{next:08}")));
                next += 1;
            }
            let (deadline, never) = (Instant::now() + Duration::from_secs(900), CancellationToken::new());
            let report = pipeline.process(left.clone(), deadline, &never).await;
            fetched += count(&report, End::Fetched);
            left.retain(|entry| !report.ended.iter().any(|(sequence, _)| *sequence == entry.sequence));
        }
        fetched
    }
}

async fn shards_of_a_cap_of_one(ledger: MemoryLedger) -> Vec<usize> {
    let fixture = fixture(ledger, 1, "20s", Duration::from_secs(1));
    let change = MappingChange { batch_size: Some(BATCH as u32), enabled: None };
    fixture.mapping.apply("demo", change).await.unwrap();
    let others = [fixture.restarted_as(2), fixture.restarted_as(3)];
    let until = Instant::now() + LONG;
    let (one, two, three) = tokio::join!(
        fixture.deliver_until(&fixture.pipeline, 1, until),
        fixture.deliver_until(&others[0], 2, until),
        fixture.deliver_until(&others[1], 3, until),
    );
    assert_eq!(fixture.api.call_log().peak, 1, "the cap holds over all");
    vec![one, two, three]
}

fn assert_fair(fetched: &[usize], least_in_all: usize) {
    let sum: usize = fetched.iter().sum();
    assert!(sum >= least_in_all, "changing turns costs little: {fetched:?}");
    let fair = sum / fetched.len();
    assert!(fetched.iter().all(|mine| *mine * 2 >= fair && *mine <= fair * 2), "{fetched:?}");
}

#[tokio::test(start_paused = true)]
async fn with_a_cap_of_one_each_shard_has_its_turn() {
    let fetched = shards_of_a_cap_of_one(MemoryLedger::default()).await;
    assert_fair(&fetched, 6_000);
}

#[tokio::test(start_paused = true)]
async fn with_a_cap_of_one_each_shard_has_its_turn_though_slots_are_kept() {
    let fetched = shards_of_a_cap_of_one(MemoryLedger::thrifty(Duration::from_secs(30))).await;
    assert_fair(&fetched, 6_000);
}

#[tokio::test(start_paused = true)]
async fn slots_whose_requests_run_on_are_given_to_nobody() {
    let fixture = fixture(MemoryLedger::default(), 5, "40s", Duration::from_secs(30));
    let other = fixture.restart();
    let until = Instant::now() + Duration::from_secs(300);
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fixture.deliver_until(&other, 2, until).await
    };
    let (one, two) = tokio::join!(fixture.deliver_until(&fixture.pipeline, 1, until), later);
    assert!(one > 0 && two > 0, "{one} and {two}");
    assert!(fixture.api.call_log().peak <= 5, "{} in flight at once", fixture.api.call_log().peak);
    let now = fixture.clock.now();
    let taken: u32 = fixture.ledger.slots_taken("demo", now).values().sum();
    assert_eq!((taken, fixture.ledger.write_interval()), (0, Duration::ZERO), "all are back");
}
