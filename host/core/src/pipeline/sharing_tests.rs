//! Several processes want more slots than there are: all get their share, and the API never gets more requests than the cap.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::tests::{House, MANIFEST, count, house_on};
use crate::ledger::Ledger;
use crate::mapping::{Mapping, MappingChange};
use crate::pipeline::report::End;
use crate::testing::memory::MemoryLedger;
use crate::testing::scripted::Answer;

const BATCH: u64 = 10;
/// Two hours.
const LONG: Duration = Duration::from_secs(7_200);

fn house(ledger: MemoryLedger, cap: u32, fetch_timeout: &str, takes: Duration) -> House {
    let manifest = MANIFEST
        .replace("max_concurrency = 4", &format!("max_concurrency = {cap}"))
        .replace("fetch_timeout = \"2s\"", &format!("fetch_timeout = \"{fetch_timeout}\""));
    let manifest = format!("{manifest}[pace]\nstart_batch = {BATCH}\nmax_batch = {BATCH}\n");
    house_on(ledger, &manifest, move |request, _| Answer::record(&request.id).after(takes))
}

impl House {
    /// Deliver full batches to a process, one after another, until `until`. Answers how many records it fetched.
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
    let house = house(ledger, 1, "20s", Duration::from_secs(1));
    let change = MappingChange { batch_size: Some(BATCH as u32), enabled: None };
    house.mapping.apply("demo", change).await.unwrap();
    let others = [house.restarted_as(2), house.restarted_as(3)];
    let until = Instant::now() + LONG;
    let (one, two, three) = tokio::join!(
        house.deliver_until(&house.pipeline, 1, until),
        house.deliver_until(&others[0], 2, until),
        house.deliver_until(&others[1], 3, until),
    );
    assert_eq!(house.api.seen().peak, 1, "the cap holds over all");
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
    let house = house(MemoryLedger::default(), 5, "40s", Duration::from_secs(30));
    let other = house.restarted();
    let until = Instant::now() + Duration::from_secs(300);
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.deliver_until(&other, 2, until).await
    };
    let (one, two) = tokio::join!(house.deliver_until(&house.pipeline, 1, until), later);
    assert!(one > 0 && two > 0, "{one} and {two}");
    assert!(house.api.seen().peak <= 5, "{} in flight at once", house.api.seen().peak);
    let now = house.clock.now();
    let taken: u32 = house.ledger.slots_taken("demo", now).values().sum();
    assert_eq!((taken, house.ledger.write_interval()), (0, Duration::ZERO), "all are back");
}
