//! The cost of a component: a fresh instance, a call that does no I/O, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
use damper_plugins::Plugin;

use crate::inputs::{Bench, median};

const FETCHES: u32 = 20_000;
const ROUNDS: usize = 5;

/// Print the table.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let (_, plugin) = bench.plugin("hostile", 8, None).await?;
    let plugin = Arc::new(plugin);
    fetch_many(&plugin, 1_000).await?;
    let (mut alone, mut both) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(per_fetch(&plugin, 1).await?);
        both.push(per_fetch(&plugin, 2).await?);
    }
    println!("A fetch through a component that does no I/O (fresh instance, call, drop), {ROUNDS} rounds of {FETCHES}");
    println!();
    println!("| tasks | median us/fetch | best | worst | wanted |");
    println!("| --- | --- | --- | --- | --- |");
    for (tasks, figures) in [("1", alone), ("2", both)] {
        let best = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let worst = figures.iter().copied().fold(0.0, f64::max);
        println!("| {tasks} | {:.1} | {best:.1} | {worst:.1} | 50 |", median(figures));
    }
    println!();
    Ok(())
}

/// Microseconds of wall time for a fetch, on each of `tasks` tasks.
async fn per_fetch(plugin: &Arc<Plugin>, tasks: u32) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let each = FETCHES / tasks;
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let plugin = Arc::clone(plugin);
            tokio::spawn(async move { fetch_many(&plugin, each).await })
        })
        .collect();
    for task in running {
        task.await??;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(each))
}

async fn fetch_many(plugin: &Plugin, count: u32) -> anyhow::Result<()> {
    let permits = Permits::new(8);
    for _ in 0..count {
        let report = plugin.fetch(request("ok"), permits.clone()).await;
        ensure!(report.outcome.is_ok(), "the component failed: {:?}", report.outcome);
    }
    Ok(())
}

/// A request for this id.
pub(crate) fn request(id: &str) -> FetchRequest {
    FetchRequest {
        id: id.to_owned(),
        params: BTreeMap::new(),
        attempt: 1,
        day: damper_core::control::window::Window::always_utc().day(damper_core::clock::WallClock::System.now()),
        timeout: Duration::from_secs(60),
        resume: None,
    }
}
