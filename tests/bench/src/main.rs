//! Damper's benchmarks. Each prints a table with the peer or the bare loop measured in the same run; see
//! docs/BENCHMARKS.md.
//!
//!     make bench

mod api;
mod compile;
mod engine;
mod inputs;
mod memory;
mod throughput;
mod wait;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::inputs::Bench;

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
