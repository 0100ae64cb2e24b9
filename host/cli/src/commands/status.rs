//! `damper status`: what the streams have come to, how hard each API is pressed, and who is stopped and why.

mod state;

use clap::Args;
use damper_local::{Counts, SqliteLedger, SqliteMapping, SqliteStream};
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

use state::{House, State};

/// Show what the streams have come to, how hard each API is pressed, and who is stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper status                       # a line for each provider
  damper status gleif                 # all that is known of one
  damper status --json | jq 'select(.breaker.state == \"open\").provider'")]
pub(crate) struct Status {
    /// The providers, to be shown whole; default: a line for each that was ever fed
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
    let house = House {
        stream: SqliteStream::new(database.clone()),
        ledger: SqliteLedger::new(database.clone()),
        mapping: SqliteMapping::new(database, context.clock),
        clock: context.clock,
        config,
    };
    let states = context::runtime()?.block_on(async {
        let providers =
            if command.providers.is_empty() { house.stream.providers().await? } else { command.providers.clone() };
        let mut states = Vec::with_capacity(providers.len());
        for provider in providers {
            states.push(house.state(&provider).await?);
        }
        Ok::<_, CliError>(states)
    })?;
    if command.json {
        states.iter().try_for_each(|state| put_json(&state.as_json()))?;
    } else if command.providers.is_empty() {
        put(lines(&states).trim_end())?;
    } else {
        let whole: Vec<String> = states.iter().map(|state| table(&state.as_rows())).collect();
        put(whole.join("\n").trim_end())?;
    }
    Ok(Exit::Done)
}

fn lines(states: &[State]) -> String {
    let header = ["provider", "fed", "fetched", "skipped", "dead letters", "pending", "limit", "batch", "state"]
        .map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(header.to_vec()).chain(states.iter().map(State::as_line)).collect();
    table(&rows)
}

/// Counts as scripts read them.
pub(crate) fn counts_in_json(counts: &Counts) -> serde_json::Value {
    json!({
        "fed": counts.fed, "fetched": counts.fetched, "skipped": counts.skipped, "dead_letters": counts.dead_letters,
        "pending": counts.pending, "oldest_pending": counts.oldest_pending,
    })
}
