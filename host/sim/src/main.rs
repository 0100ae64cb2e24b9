//! `damper-sim`: the swarm on the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use damper_sim::swarm::sweep::{describe_run, explain, sweep};
use damper_sim::swarm::{Case, Violation, run};

/// Damper in virtual time
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run whole clusters under random faults, one per seed, and check Damper's invariants
    Swarm(Swarm),
}

#[derive(Debug, clap::Args)]
struct Swarm {
    /// The number of seeds to run
    #[arg(long, default_value_t = 200, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Run only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: print every event of the run, before the case is shrunk
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Stop at the first seed that violates an invariant
    #[arg(long, conflicts_with = "seed")]
    first: bool,
    /// The number of failing seeds whose smallest case is printed
    #[arg(long, default_value_t = 3)]
    explain: usize,
}

fn main() -> ExitCode {
    let Arguments { command: Command::Swarm(swarm) } = Arguments::parse();
    match swarm.seed {
        Some(seed) => run_one(seed, &swarm),
        None => run_many(&swarm),
    }
}

fn run_one(seed: u64, swarm: &Swarm) -> ExitCode {
    let case = Case::draw(seed);
    if swarm.trace {
        print!("{}", describe_run(&case));
    }
    match run(&case, false).map(|outcome| outcome.violation) {
        Ok(None) => {
            println!("seed {seed}: every invariant holds");
            ExitCode::SUCCESS
        }
        Ok(Some(violation)) => {
            println!("seed {seed}: {violation}");
            if !swarm.trace {
                print!("{}", explain(seed, &violation));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_many(swarm: &Swarm) -> ExitCode {
    let tell = |seed: u64, violation: &Violation| println!("seed {seed}: {violation}");
    let found = sweep(swarm.from, swarm.seeds, swarm.first, tell);
    println!(
        "{} seeds, {} port calls, {} requests: {} violated an invariant",
        found.seeds,
        found.calls,
        found.requests,
        found.failures.len()
    );
    for (seed, violation) in found.failures.iter().take(swarm.explain) {
        println!("\n{}", explain(*seed, violation));
    }
    if found.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
