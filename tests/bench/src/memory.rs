//! Resident memory for each fetch in flight, at a thousand in flight: the whole pipeline, and bare requests beside it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use damper_core::pipeline::Pipeline;
use damper_sim::peers::fixed::Fixed;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::inputs::{Bench, bare_client};
use crate::throughput::open;

const IN_FLIGHT: u32 = 1_000;
const LATENCY_MS: u32 = 20_000;
/// Records fetched before: the limiter starts low with an API that has not answered yet.
const FIRST: u32 = 50;

/// The measured side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Requests of the bare client.
    Bare,
    /// Fetches through the whole pipeline.
    Pipeline,
}

/// Print the table. Each side runs in a process of its own, so that neither finds the other's memory.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for side in ["bare", "pipeline"] {
        let api = Api::start(&bench.demo_api, 0)?;
        let output = Command::new(std::env::current_exe()?)
            .args(["--components".as_ref(), bench.components.as_os_str(), "memory-of".as_ref()])
            .args([side, &api.origin])
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        figures.push(String::from_utf8(output.stdout)?.trim().parse::<f64>()?);
    }
    println!("Resident memory for each of {IN_FLIGHT} fetches in flight");
    println!();
    println!("| | KiB/fetch | wanted |");
    println!("| --- | --- | --- |");
    for (name, figure) in ["bare request, same client", "whole pipeline"].iter().zip(&figures) {
        println!("| {name} | {figure:.1} | {} |", if name.starts_with("whole") { "100" } else { "" });
    }
    println!();
    Ok(())
}

/// Measure one side and print its figure, in KiB.
pub(crate) async fn one(bench: &Bench, side: Side, origin: &str) -> anyhow::Result<()> {
    let before;
    match side {
        Side::Bare => {
            let client = bare_client(IN_FLIGHT as usize)?;
            slow_down(origin).await?;
            before = resident_kib()?;
            for number in 0..IN_FLIGHT {
                let request = client.get(format!("{origin}/records/account-{number:05}"));
                tokio::spawn(async move { request.send().await?.bytes().await });
            }
        }
        Side::Pipeline => {
            let (manifest, plugin) = bench.plugin("demo", IN_FLIGHT, Some(origin)).await?;
            let place = tempfile::tempdir()?;
            let (stores, stream) = open(place.path(), &manifest, FIRST + IN_FLIGHT).await?;
            let limiter = Box::new(Fixed::new(IN_FLIGHT));
            let pipeline = Pipeline::with_limiter(manifest.clone(), Arc::new(plugin), stores, limiter);
            let mut first = stream.next_batch(&manifest.name, FIRST + IN_FLIGHT).await?;
            let entries = first.split_off(FIRST as usize);
            let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
            pipeline.process(first, deadline, &CancellationToken::new()).await;
            slow_down(origin).await?;
            before = resident_kib()?;
            tokio::spawn(async move {
                let _place = place;
                pipeline.process(entries, deadline, &CancellationToken::new()).await
            });
        }
    }
    all_in_flight(origin).await?;
    println!("{:.2}", (resident_kib()? - before) / f64::from(IN_FLIGHT));
    // Requests in flight need not end.
    std::process::exit(0);
}

/// From here on the API takes its time.
async fn slow_down(origin: &str) -> anyhow::Result<()> {
    let settings = serde_json::json!({ "latency": { "median_ms": LATENCY_MS } }).to_string();
    bare_client(1)?.put(format!("{origin}/control")).body(settings).send().await?.error_for_status()?;
    Ok(())
}

/// Wait until the API holds them all.
async fn all_in_flight(origin: &str) -> anyhow::Result<()> {
    let client = bare_client(1)?;
    for _ in 0..600 {
        let stats = client.get(format!("{origin}/stats")).send().await?.bytes().await?;
        let stats: serde_json::Value = serde_json::from_slice(&stats)?;
        if stats.get("in_flight").and_then(serde_json::Value::as_u64) >= Some(u64::from(IN_FLIGHT)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("{IN_FLIGHT} requests never were in flight at once: `ulimit -n` must allow as many connections")
}

fn resident_kib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("VmRSS")?.parse()?)
}
