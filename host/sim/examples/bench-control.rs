//! Prints every figure that docs/CONTROL.md holds Damper to, beside the peers' figures in the same run.
//!
//! `cargo run --release -p damper-sim --example bench-control`, or `make bench-control`.

use std::path::Path;

use damper_sim::algorithm::Algorithm;
use damper_sim::compare::limiters_alone;
use damper_sim::scenario::{Scenario, ScenarioError};

fn main() -> Result<(), ScenarioError> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let scenarios = Scenario::read_all(folder)?;
    let more = Scenario::read_all(&folder.join("more"))?;
    let seeds: Vec<u64> = (1..=10).collect();
    println!("{}", limiters_alone(&scenarios, &Algorithm::COMPARED, &seeds).report());
    println!("{}", limiters_alone(&more, &Algorithm::COMPARED, &seeds).report());
    Ok(())
}
