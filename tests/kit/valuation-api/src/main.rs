//! `make bench-orders`: `damper run` and a bare client against the API of valuations, without and with random faults.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use damper_valuation_api::book::Book;
use damper_valuation_api::damper_run::{DamperRun, Programs, Summary};
use damper_valuation_api::{Settings, ValuationApi, bare, policies};

/// Measure orders and polls: `damper run` beside a bare client, without and with random faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `damper`
    #[arg(long, default_value = "target/quick/damper")]
    damper: PathBuf,
    /// The component of tests/fixtures/providers/valuation
    #[arg(long, default_value = "target/components/valuation.wasm")]
    component: PathBuf,
    /// How many policies
    #[arg(long, default_value_t = 500)]
    policies: usize,
    /// The seeds of the API's random numbers; with several, a table for each
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    seeds: Vec<u64>,
    /// Runs damper alone, without the bare client
    #[arg(long)]
    no_bare: bool,
}

/// As many requests at a time as the provider's manifest allows.
const IN_FLIGHT: usize = 4;

/// A run, measured.
struct Row {
    name: &'static str,
    documents: String,
    book: Book,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // A second call finds the provider of the first, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let programs = Programs { damper: arguments.damper, component: arguments.component };
    let policies = policies::list(arguments.policies);
    for seed in &arguments.seeds {
        let calm = Settings::calm(*seed, policies.len() - 1);
        let chaos = calm.clone().with_chaos();
        let mut rows = Vec::new();
        if !arguments.no_bare {
            rows.push(run_bare("bare client, calm", &calm, &policies)?);
            rows.push(run_bare("bare client, chaos", &chaos, &policies)?);
        }
        rows.push(run_damper("damper run, calm", &calm, &programs, &policies)?);
        rows.push(run_damper("damper run, chaos", &chaos, &programs, &policies)?);
        println!("{} policies, {IN_FLIGHT} in flight, seed {seed}; chaos: 3% 503, 2% 429 with 2 s\n", policies.len());
        print_table(&rows);
    }
    Ok(())
}

fn run_bare(name: &'static str, settings: &Settings, policies: &[String]) -> anyhow::Result<Row> {
    let api = ValuationApi::start(settings.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let documents = runtime.block_on(bare::run(&api.origin(), policies, IN_FLIGHT))?;
    Ok(Row { name, documents: documents.to_string(), book: api.book() })
}

fn run_damper(
    name: &'static str,
    settings: &Settings,
    programs: &Programs,
    policies: &[String],
) -> anyhow::Result<Row> {
    let api = ValuationApi::start(settings.clone())?;
    let run = DamperRun::new(programs, &api.origin(), policies)?;
    let summary = Summary::parse(&run.build_command().output()?)?;
    eprint!("{}", summary.log);
    let documents = format!("{} + {}", summary.fetched, summary.dead_letters);
    Ok(Row { name, documents, book: api.book() })
}

fn print_table(rows: &[Row]) {
    println!(
        "| | records + unknown | requests | needed | per needed | s | times calm | 503 | 429 | early | late s, median (95%) | most in flight | locked s |"
    );
    println!("|{}", " --- |".repeat(13));
    let mut calm = f64::NAN;
    for Row { name, documents, book } in rows {
        let (requests, needed) = (book.requests(), book.requests_needed());
        let seconds = book.others_took().map_or(f64::NAN, |took| took.as_secs_f64());
        if name.ends_with("calm") {
            calm = seconds;
        }
        let status = |status: u16| book.by_status.get(&status).copied().unwrap_or_default();
        let early: usize = book.policies.values().map(|history| history.early.len()).sum();
        println!(
            "| {name} | {documents} | {requests} | {needed} | {:.3} | {seconds:.1} | {:.2} | {} | {} | {early} | {:.2} ({:.2}) | {} | {} |",
            requests as f64 / needed as f64,
            seconds / calm,
            status(503),
            status(429),
            quantile(&book.late(), 0.5).as_secs_f64(),
            quantile(&book.late(), 0.95).as_secs_f64(),
            book.peak_in_flight,
            book.locked_took().map_or("-".to_owned(), |took| format!("{:.1}", took.as_secs_f64())),
        );
    }
    println!();
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or_default()
}
