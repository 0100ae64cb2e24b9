//! Prints every figure that docs/CONTROL.md holds Damper to, beside the peers' figures in the same run.
//!
//! `make bench-control`, or `cargo run --release -p damper-sim --example bench-control -- [SEEDS [WORD]]`; ten seeds
//! where nothing is said, and with a word those sections alone whose title has it.

use std::error::Error;
use std::path::Path;

use damper_sim::algorithm::Algorithm;
use damper_sim::bench::{self, Bench};
use damper_sim::scenario::Scenario;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(10), |count| count.parse())?;
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let bench = Bench {
        thirteen: Scenario::read_all(folder)?,
        more: Scenario::read_all(&folder.join("more"))?,
        algorithms: Algorithm::COMPARED.to_vec(),
        seeds: (1..=count).collect(),
    };
    let word = std::env::args().nth(2).unwrap_or_default();
    for section in bench::SECTIONS.into_iter().filter(|section| section.title.contains(&word)) {
        println!("{}\n{}\n", section.title, "=".repeat(section.title.len()));
        println!("{}", (section.run)(&bench)?);
    }
    Ok(())
}
