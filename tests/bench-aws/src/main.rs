//! The cost of Damper's function in Lambda, measured on the `bootstrap` and the zip that `damper package` has made:
//! under the Runtime API and the event source mapping of `tests/event-source`, beside a bare function and the article's
//! design.
//!
//!     make bench-aws
//!
//! Each part prints a table; docs/BENCHMARKS.md says how to read it.

mod cold_start;
mod cost;
mod memory;
mod package;
mod process;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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

/// The inputs of all benchmarks.
struct Bench {
    packaged: Packaged,
    functions: PathBuf,
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

impl Bench {
    /// The program that is packaged.
    fn bootstrap(&self) -> PathBuf {
        self.packaged.folder.path().join("bootstrap")
    }

    /// One of the functions that ours is measured beside.
    fn function(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.functions.join(name);
        anyhow::ensure!(path.is_file(), "{} is missing: run `make bench-aws`, which builds it", path.display());
        Ok(path)
    }
}

/// The middle of some figures, and those at a quarter and at three.
fn quartiles(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (figures.len().saturating_sub(1) as f64 * share).round() as usize;
        figures.get(place).copied().unwrap_or(f64::NAN)
    };
    [at(0.25), at(0.5), at(0.75)]
}
