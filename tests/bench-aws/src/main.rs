//! The cost of Damper's function in Lambda, measured on the `bootstrap` and the zip that `damper package` has made:
//! under the Runtime API and the event source mapping of `tests/kit/event-source`, beside a bare function and the
//! article's design.
//!
//!     make bench-aws
//!
//! Each part prints a table; docs/BENCHMARKS.md says how to read it.

mod cold_start;
mod cost;
mod inputs;
mod memory;
mod package;
mod process;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::inputs::Bench;
use crate::package::Packaged;

/// Measure the function. `make bench-aws` builds what this needs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The zip that `damper package` wrote for this machine's architecture.
    #[arg(long, value_name = "FILE")]
    zip: PathBuf,
    /// The folder with the programs `bare` and `article`.
    #[arg(long, value_name = "DIR")]
    functions: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// One benchmark; default: all of them.
#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// The zip's size.
    Package,
    /// From the process's start to the first fetch.
    ColdStart,
    /// Resident memory of a warm function with fifty providers.
    Memory,
    /// A million records, beside the article's design.
    Cost {
        /// The number of records to measure with.
        #[arg(long, default_value_t = 1_000)]
        records: usize,
    },
}

const DEFAULT_RECORDS: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { zip, functions, part } = Arguments::parse();
    // A second call finds the provider of the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bench = Bench { packaged: Packaged::unpack(&zip)?, functions };
    match part {
        Some(Part::Package) => bench.packaged.print(),
        Some(Part::ColdStart) => cold_start::run(&bench).await,
        Some(Part::Memory) => memory::run(&bench).await,
        Some(Part::Cost { records }) => cost::run(&bench, records).await,
        None => {
            bench.packaged.print()?;
            cold_start::run(&bench).await?;
            memory::run(&bench).await?;
            cost::run(&bench, DEFAULT_RECORDS).await
        }
    }
}
