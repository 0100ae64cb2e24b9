//! The whole local pipeline (SQLite ledger and stream, NDJSON sink, component) beside a bare loop of the same HTTP
//! client, against an API that answers at once. The benchmark measures the cost of a record at a given concurrency: the
//! limiter lets so many in flight from the start, as the bare loop does, and does not probe the API's capacity.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use damper_core::clock::WallClock;
use damper_core::item::Item;
use damper_core::manifest::Manifest;
use damper_core::pipeline::{Pipeline, Stores};
use damper_core::random::RandomSource;
use damper_local::{Database, SqliteLedger, SqliteMapping, SqliteStream, folder};
use damper_plugins::Plugin;
use damper_sim::peers::fixed::Fixed;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::inputs::{Bench, bare_client, median};

const IN_FLIGHT: u32 = 64;
const RECORDS: u32 = 20_000;
const BATCH: u32 = 10_000;
const ROUNDS: usize = 3;

/// Print the table.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let api = Api::start(&bench.demo_api, 0)?;
    let client = bare_client(IN_FLIGHT as usize)?;
    let (manifest, plugin) = bench.plugin("demo", IN_FLIGHT, Some(&api.origin)).await?;
    let plugin = Arc::new(plugin);
    bare_rate(&client, &api.origin).await?;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_rate(&client, &api.origin).await?);
        whole.push(pipeline_rate(&manifest, &plugin).await?);
    }
    let ratio = bare.iter().zip(&whole).map(|(bare, whole)| whole / bare).collect();
    println!("An API that answers at once, {IN_FLIGHT} in flight, {ROUNDS} rounds of {RECORDS} in turn");
    println!();
    println!("| | records/s | of the bare loop | wanted |");
    println!("| --- | --- | --- | --- |");
    println!("| bare loop, same client | {:.0} | | |", median(bare));
    println!("| whole pipeline | {:.0} | {:.2} | 0.5 |", median(whole), median(ratio));
    println!();
    Ok(())
}

async fn bare_rate(client: &reqwest::Client, origin: &str) -> anyhow::Result<f64> {
    let next = Arc::new(AtomicU32::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (client, next, origin) = (client.clone(), Arc::clone(&next), origin.to_owned());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= RECORDS {
                        return anyhow::Ok(());
                    }
                    let answer = client.get(format!("{origin}/records/account-{number:05}")).send().await?;
                    answer.error_for_status()?.bytes().await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(f64::from(RECORDS) / begun.elapsed().as_secs_f64())
}

async fn pipeline_rate(manifest: &Manifest, plugin: &Arc<Plugin>) -> anyhow::Result<f64> {
    let place = tempfile::tempdir()?;
    let (stores, stream) = open(place.path(), manifest, RECORDS).await?;
    let pipeline = Pipeline::with_limiter(manifest.clone(), plugin.clone(), stores, Box::new(Fixed::new(IN_FLIGHT)));
    // In a task, as `damper run` has it: from outside of the workers every start of a try would go through their shared
    // queue.
    tokio::spawn(work_off(pipeline, stream, manifest.name.clone())).await?
}

async fn work_off(pipeline: Arc<Pipeline>, stream: SqliteStream, provider: String) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut left = RECORDS;
    while left > 0 {
        let entries = stream.next_batch(&provider, BATCH).await?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
        let report = pipeline.process(entries, deadline, &CancellationToken::new()).await;
        ensure!(report.first_unfinished.is_none(), "the pipeline stopped: {:?}", report.stopped);
        stream.finish_batch(&provider, "bench", &report).await?;
        left -= u32::try_from(report.ended.len())?;
    }
    Ok(f64::from(RECORDS) / begun.elapsed().as_secs_f64())
}

/// A database with so many entries, and a folder for the sink.
pub(crate) async fn open(place: &Path, manifest: &Manifest, records: u32) -> anyhow::Result<(Stores, SqliteStream)> {
    let database = Database::open(place.join("damper.db"))?;
    let clock = WallClock::System;
    let mapping = SqliteMapping::new(database.clone(), clock.clone());
    mapping.ensure(&manifest.name, manifest.pace.start_batch).await?;
    let stream = SqliteStream::new(database.clone());
    let payloads = (0..records)
        .map(|number| Ok(Item::new(format!("account-{number:05}"), [].into())?.to_payload()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    stream.feed(&manifest.name, payloads, clock.now()).await?;
    let now = clock.now();
    stream.hold(&manifest.name, "bench", now, now + Duration::from_secs(3600)).await?;
    let sink = Arc::new(folder::open(&place.join("out"))?);
    let (ledger, mapping) = (Arc::new(SqliteLedger::new(database)), Arc::new(mapping));
    let compression = damper_core::sink::Compression::None;
    Ok((Stores { ledger, sink, compression, mapping, clock, random: RandomSource::System }, stream))
}
