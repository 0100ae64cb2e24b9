//! `damper status`: what the streams have come to, and which providers are stopped.

use clap::Args;
use damper_core::ledger::{Breaker, Ledger};
use damper_local::{Counts, SqliteLedger, SqliteStream};
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

/// Show what the streams have come to, and which providers are stopped
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  damper status\n  damper status --json | jq 'select(.breaker.state == \"open\").provider'"
)]
pub(crate) struct Status {
    /// The providers; default: all that were ever fed
    #[arg(value_name = "PROVIDER")]
    providers: Vec<String>,

    /// One JSON object a line, for each provider
    #[arg(long)]
    json: bool,
}

/// Show the state of all.
///
/// # Errors
/// Where the database fails.
pub(crate) fn run(command: &Status, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let database = context.existing_database(&config)?;
    let (stream, ledger) = (SqliteStream::new(database.clone()), SqliteLedger::new(database));
    let states = context::runtime()?.block_on(async {
        let providers =
            if command.providers.is_empty() { stream.providers().await? } else { command.providers.clone() };
        let mut states = Vec::with_capacity(providers.len());
        for provider in providers {
            let (counts, control) = (stream.counts(&provider).await?, ledger.control(&provider).await?);
            states.push((provider, counts, control.breaker));
        }
        Ok::<_, CliError>(states)
    })?;
    if command.json {
        for (provider, counts, breaker) in &states {
            put_json(&json!({ "provider": provider, "counts": counts_in_json(counts), "breaker": breaker }))?;
        }
        return Ok(Exit::Done);
    }
    let header = ["provider", "fed", "fetched", "skipped", "dead letters", "pending", "state"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(states.iter().map(|(provider, counts, breaker)| row(provider, counts, breaker)));
    put(table(&rows).trim_end())?;
    Ok(Exit::Done)
}

fn row(provider: &str, counts: &Counts, breaker: &Breaker) -> Vec<String> {
    let state = match breaker {
        Breaker::Open { since, by, reason } => format!("stopped since {since:.0} by {by}: {reason}"),
        Breaker::Closed if counts.pending == 0 => "done".to_owned(),
        Breaker::Closed => "ready".to_owned(),
    };
    let numbers = [counts.fed, counts.fetched, counts.skipped, counts.dead_letters, counts.pending];
    let numbers = numbers.iter().map(u64::to_string);
    std::iter::once(provider.to_owned()).chain(numbers).chain(std::iter::once(state)).collect()
}

/// Counts as scripts read them.
pub(crate) fn counts_in_json(counts: &Counts) -> serde_json::Value {
    json!({
        "fed": counts.fed, "fetched": counts.fetched, "skipped": counts.skipped, "dead_letters": counts.dead_letters,
        "pending": counts.pending, "oldest_pending": counts.oldest_pending,
    })
}
