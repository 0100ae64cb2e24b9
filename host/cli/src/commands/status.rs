//! `damper status`: what the streams have come to, how hard each API is pressed, and who is stopped and why.

mod state;

use clap::Args;
use damper_config::provider;
use damper_core::admin::status::ProviderState;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

use state::{as_line, as_rows};

/// Show each stream's counts, each API's limit and batch size, and which providers are stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper status                       # a line for each provider
  damper status gleif                 # all details of one provider
  damper status --aws                 # those whose streams are mapped to the function
  damper status --json | jq 'select(.breaker.state == \"open\").provider'

AWS keeps no per-stream outcome counts: fed, fetched, skipped and pending are not known, and dead
letters are those that are stored and not redriven. The dashboard shows the rest.")]
pub(crate) struct Status {
    /// The providers to show in detail; default: one line for each provider that was ever fed
    #[arg(value_name = "PROVIDER")]
    providers: Vec<String>,

    /// One JSON object per line, for each provider
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: BackendArgs,
}

/// Show the state of all.
///
/// # Errors
/// If a named provider is not known, or the ledger or the mapping fails.
pub(crate) fn run(command: &Status, context: &Context) -> Result<Exit, CliError> {
    let states =
        context::runtime()?.block_on(read_states(command, context)).map_err(|error| command.backend.explain(error))?;
    if command.json {
        states.iter().try_for_each(|state| put_json(&state.as_json()))?;
    } else if command.providers.is_empty() {
        put(status_table(&states).trim_end())?;
    } else {
        let whole: Vec<String> = states.iter().map(|state| table(&as_rows(state))).collect();
        put(whole.join("\n").trim_end())?;
    }
    Ok(Exit::Done)
}

async fn read_states(command: &Status, context: &Context) -> Result<Vec<ProviderState>, CliError> {
    let config = context.data_config()?;
    let backend = command.backend.open(context, &config).await?;
    let providers = match &command.providers {
        named if named.is_empty() => command.backend.providers(&*backend, &config).await?,
        named => {
            for name in named {
                command.backend.check_exists_here(&*backend, &config, name).await?;
            }
            named.clone()
        }
    };
    let mut states = Vec::with_capacity(providers.len());
    for provider in providers {
        let manifest = provider::manifest(&config, &provider).map_err(|error| error.to_string());
        states.push(ProviderState::read(&*backend, &provider, manifest, context.clock.now()).await?);
    }
    Ok(states)
}

fn status_table(states: &[ProviderState]) -> String {
    let header = ["provider", "fed", "fetched", "skipped", "dead letters", "pending", "limit", "batch", "state"]
        .map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(header.to_vec()).chain(states.iter().map(as_line)).collect();
    table(&rows)
}
