//! A component beside native code, where the API takes 5 ms: what is lost of the throughput.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use damper_core::fetcher::{Fetcher, Permits};

use crate::api::Api;
use crate::engine::request;
use crate::inputs::{Bench, bare_client, median};

const IN_FLIGHT: u32 = 16;
const FETCHES_EACH: u32 = 400;
const ROUNDS: usize = 5;

/// Print the table.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let api = Api::start(&bench.demo_api, 5)?;
    let client = bare_client(IN_FLIGHT as usize)?;
    let (_, plugin) = bench.plugin("demo", IN_FLIGHT, Some(&api.origin)).await?;
    let plugin = Arc::new(plugin);
    let (mut native, mut component) = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        native.push(native_rate(&client, &api.origin).await?);
        component.push(component_rate(&plugin).await?);
    }
    // The first round warms connections up.
    native.remove(0);
    component.remove(0);
    let lost = native.iter().zip(&component).map(|(native, component)| 100.0 * (1.0 - component / native)).collect();
    println!("An API that takes 5 ms, {IN_FLIGHT} in flight, {ROUNDS} rounds in turn");
    println!();
    println!("| | fetches/s | lost | wanted |");
    println!("| --- | --- | --- | --- |");
    println!("| native client | {:.0} | | |", median(native));
    println!("| component | {:.0} | {:.1}% | under 5% |", median(component), median(lost));
    println!();
    Ok(())
}

async fn native_rate(client: &reqwest::Client, origin: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let (client, url) = (client.clone(), format!("{origin}/records/native-{task}"));
            tokio::spawn(async move {
                for _ in 0..FETCHES_EACH {
                    client.get(&url).send().await?.error_for_status()?.bytes().await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(f64::from(IN_FLIGHT * FETCHES_EACH) / begun.elapsed().as_secs_f64())
}

async fn component_rate(plugin: &Arc<damper_plugins::Plugin>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let permits = Permits::new(IN_FLIGHT);
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let (plugin, permits) = (Arc::clone(plugin), permits.clone());
            tokio::spawn(async move {
                for _ in 0..FETCHES_EACH {
                    let report = plugin.fetch(request(&format!("component-{task}")), permits.clone()).await;
                    ensure!(report.outcome.is_ok(), "the component failed: {:?}", report.outcome);
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(f64::from(IN_FLIGHT * FETCHES_EACH) / begun.elapsed().as_secs_f64())
}
