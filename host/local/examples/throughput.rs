//! Measures the cost of a record in the ledger: claims at a given concurrency, finishes by chunks, each durable.
//!
//!     cargo run --release -p damper-local --example throughput -- [RECORDS] [CONCURRENCY] [FOLDER]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement, not a part of the program")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::item::{Identity, Params, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Ledger, Owner};
use damper_local::{Database, SqliteLedger, SqliteStream};
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;

/// Records of one chunk, as the pipeline flushes them.
const CHUNK: usize = 500;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let records: usize = arguments.next().map_or(20_000, |text| text.parse().unwrap());
    let concurrency: usize = arguments.next().map_or(64, |text| text.parse().unwrap());
    let root = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(root).unwrap();
    let database = Database::open(folder.path().join("damper.db")).unwrap();

    let stream = SqliteStream::new(database.clone());
    let payloads: Vec<_> = (0..records).map(|id| Bytes::from(format!("{{\"id\":\"{id}\"}}"))).collect();
    let meter = Meter::start();
    for chunk in payloads.chunks(5_000) {
        stream.feed("demo", chunk.to_vec(), Timestamp::now()).await.unwrap();
    }
    meter.print("feed", records);

    let ledger = Arc::new(SqliteLedger::new(database));
    let owner = Owner::unique(Timestamp::now());
    let items: Vec<Claimed> = (0..records).map(item).collect();
    let meter = Meter::start();
    for chunk in items.chunks(CHUNK) {
        stream::iter(chunk).for_each_concurrent(concurrency, |item| claim(&ledger, &owner, item)).await;
        let ends = chunk.iter().cloned().map(Finish::Fetched).collect();
        ledger.finish("demo", &owner, ends).await.unwrap();
    }
    meter.print("claim + finish", records);
}

fn item(number: usize) -> Claimed {
    // Spread over the table as real identifiers are.
    let id = format!("{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Claimed {
        identity: Identity::of(&id, &Params::new(), &[]).unwrap(),
        day: day(),
        sequence: SequenceNumber::from(number as u64),
        lease: Timestamp::now() + Duration::from_secs(60),
    }
}

fn day() -> Day {
    "2026-11-22".parse().unwrap()
}

async fn claim(ledger: &SqliteLedger, owner: &Owner, item: &Claimed) {
    let now = Timestamp::now();
    let request = ClaimRequest {
        provider: "demo",
        identity: &item.identity,
        sequence: &item.sequence,
        today: item.day,
        since: item.day,
        owner,
        now,
        lease: item.lease,
    };
    assert!(matches!(ledger.claim(request).await.unwrap(), Claim::Granted { attempt: 1, .. }));
}

struct Meter {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn print(&self, what: &str, records: usize) {
        let (wall, cpu) = (self.wall.elapsed(), cpu() - self.cpu);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
        println!("{what}: {records} records, {:.1} us of time and {:.1} us of CPU each", each(wall), each(cpu));
    }
}

/// CPU time of this process, in ticks of 10 ms (Linux).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    Duration::from_millis(fields.get(11..13).map_or(0, |ticks| ticks.iter().sum::<u64>()) * 10)
}
