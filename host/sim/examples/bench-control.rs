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
    let mut alone = limiters_alone(&scenarios, &Algorithm::COMPARED, &seeds);
    println!("{}", alone.report());
    let shared: Vec<_> = scenarios.iter().filter(|scenario| scenario.clients > 1).collect();
    alone.rows.retain(|row| shared.iter().any(|scenario| scenario.name == row.scenario));
    println!("Jain's index of the clients' goodput: mean / least fair seed\n\n{}", alone.fairness());
    println!("{}", limiters_alone(&more, &Algorithm::COMPARED, &seeds).report());
    Ok(())
}
