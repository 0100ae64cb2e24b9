//! Damper's benchmarks. Each prints a table with the peer or the bare loop measured in the same run; see docs/BENCHMARKS.md.
//!
//!     make bench

mod api;
mod compile;
mod engine;
mod memory;
mod throughput;
mod wait;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Origin};
use damper_plugins::{HostOptions, Plugin, PluginHost};

/// Measure Damper. `make bench` builds what this needs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with demo.wasm and hostile.wasm.
    #[arg(long, default_value = "target/components")]
    components: PathBuf,
    /// The program of the demo API.
    #[arg(long, default_value = "target/release/demo-api")]
    demo_api: PathBuf,
    /// The program `damper`, which compiles components.
    #[arg(long, default_value = "target/release/damper")]
    damper: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// One benchmark; default: all of them.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// A fetch through a component that does no I/O.
    Engine,
    /// Compiling a component in a process of its own.
    Compile,
    /// A component beside native code, where the API takes 5 ms.
    Wait,
    /// The whole local pipeline beside a bare loop of the same client.
    Throughput,
    /// Resident memory for each fetch in flight.
    Memory,
    /// One side of the memory benchmark, in a process of its own.
    #[command(hide = true)]
    MemoryOf {
        /// Which side.
        side: memory::Side,
        /// The API's origin.
        origin: String,
    },
}

/// The inputs of all benchmarks.
#[derive(Debug, Clone)]
struct Bench {
    components: PathBuf,
    demo_api: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { components, demo_api, damper, part } = Arguments::parse();
    // A second call finds the provider of the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bench = Bench { components, demo_api };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match part {
            Some(Part::Engine) => engine::run(&bench).await,
            Some(Part::Compile) => compile::run(&bench, &damper).await,
            Some(Part::Wait) => wait::run(&bench).await,
            Some(Part::Throughput) => throughput::run(&bench).await,
            Some(Part::Memory) => memory::run(&bench).await,
            Some(Part::MemoryOf { side, origin }) => memory::one(&bench, side, &origin).await,
            None => {
                engine::run(&bench).await?;
                compile::run(&bench, &damper).await?;
                wait::run(&bench).await?;
                throughput::run(&bench).await?;
                memory::run(&bench).await
            }
        }
    })
}

impl Bench {
    /// A component of the components' folder, loaded and compiled, for so many fetches at a time.
    async fn plugin(&self, name: &str, in_flight: u32, origin: Option<&str>) -> anyhow::Result<(Manifest, Plugin)> {
        let path = self.components.join(format!("{name}.wasm"));
        let file = ComponentFile::read(&path).with_context(|| format!("{}: run `make components`", path.display()))?;
        let mut manifest = file.manifest.clone();
        manifest.limits.max_concurrency = NonZeroU32::new(in_flight + 1).context("more than none in flight")?;
        manifest.limits.fetch_timeout = Duration::from_secs(60);
        manifest.pace.start_batch = 10_000;
        let mut grants = Grants { hosts: manifest.egress.hosts.clone(), ..Grants::default() };
        if let Some(origin) = origin {
            grants.private = vec![origin.parse::<Origin>()?];
            grants.config.insert("base_url".to_owned(), origin.to_owned());
        }
        let host = PluginHost::new(HostOptions { max_in_flight: in_flight + 1, ..HostOptions::default() })?;
        let plugin = host.load(&file, manifest.clone(), grants)?;
        plugin.prepare().await.map_err(|failure| anyhow::anyhow!("{}: {failure}", path.display()))?;
        Ok((manifest, plugin))
    }
}

/// The bare client: set up like the plugins' own.
fn bare_client(in_flight: usize) -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(in_flight).tcp_nodelay(true).build()?)
}

/// The middle of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Whether a file is there; says what to do if not.
fn require_file(path: &Path) -> anyhow::Result<&Path> {
    anyhow::ensure!(path.exists(), "{} is missing: run `make bench`, which builds it", path.display());
    Ok(path)
}
