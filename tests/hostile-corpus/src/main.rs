//! `make bench-hostile`: every member of the corpus beside an innocent provider, as a table.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use damper_hostile_corpus::members;
use damper_hostile_corpus::two_provider_run::{MEMORY_MIB, Programs, TwoProviderRun};

/// Run each member of the hostile corpus beside a well-behaved provider, and print its effect on that provider.
#[derive(Debug, Parser)]
struct Args {
    /// The program `damper`
    #[arg(long)]
    damper: PathBuf,
    /// The folder with hostile.wasm and demo.wasm
    #[arg(long)]
    components: PathBuf,
    /// The number of items of the well-behaved provider
    #[arg(long, default_value_t = 1_000)]
    items: u32,
    /// Only members whose name contains this
    #[arg(long)]
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cache = tempfile::tempdir()?;
    let programs = Programs {
        damper: std::path::absolute(args.damper)?,
        components: std::path::absolute(args.components)?,
        cache: cache.path().to_path_buf(),
    };
    // The first run compiles the innocent component, the second measures it alone.
    let _ = TwoProviderRun::new(&programs, None, args.items).run();
    let alone = TwoProviderRun::new(&programs, None, args.items).run();
    println!("Each member beside an innocent provider with {} items, `damper run` with {MEMORY_MIB} MiB.", args.items);
    println!();
    println!(
        "| member | ends | innocent fetched | its throughput, of that alone | it waited | peak memory | of a child | whole run |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut worst = f64::INFINITY;
    for member in members().into_iter().filter(|member| wanted(member.name)) {
        let outcome = TwoProviderRun::new(&programs, Some(&member), args.items).run();
        let ratio =
            alone.innocent_took.as_secs_f64() / outcome.innocent_took.max(Duration::from_millis(1)).as_secs_f64();
        worst = worst.min(ratio);
        let hostile = &outcome.hostile;
        let ends = match (hostile.outcome.as_str(), hostile.fetched, hostile.dead_letters) {
            ("failed", ..) => "not loaded",
            (_, 1, _) => "a record",
            (_, _, 1) => "a dead letter",
            (outcome, ..) => outcome,
        };
        println!(
            "| {} | {ends} | {} | {ratio:.2} | {} ms | {} MiB | {} MiB | {} ms |",
            member.name,
            outcome.innocent.fetched,
            outcome.innocent_waited.as_millis(),
            outcome.peak_kib >> 10,
            outcome.child_peak_kib >> 10,
            outcome.took.as_millis(),
        );
    }
    println!("\nThe least throughput beside a member: {worst:.2} of that alone.");
    Ok(())
}
