//! `damper pause`: stop a provider until `damper resume`.

use clap::Args;
use damper_core::ledger::{Breaker, Ledger};
use damper_core::operate;
use damper_local::{SqliteLedger, SqliteMapping, SqliteStream};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::provider::check_name;
use crate::screen::{printable, put};

/// Stop a provider until it is resumed; nothing that runs by itself undoes it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper pause gleif
  damper pause gleif --reason \"they asked us to wait until Monday\"

A `damper run` that is under way starts nothing more within ten seconds; what is in flight ends and is
stored. `damper resume gleif` goes on where it stopped.")]
pub(crate) struct Pause {
    /// The provider's name
    provider: String,

    /// Why, for whoever looks at `damper status`
    #[arg(long, value_name = "TEXT", default_value = "paused")]
    reason: String,
}

/// Pause a provider.
///
/// # Errors
/// Where the database fails.
pub(crate) fn run(command: &Pause, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let config = context.config()?;
    let database = context.existing_database(&config)?;
    let (ledger, stream) = (SqliteLedger::new(database.clone()), SqliteStream::new(database.clone()));
    let mapping = SqliteMapping::new(database, context.clock).with_lag(config.mapping.lag);
    let before = context::runtime()?.block_on(async {
        let is_known =
            config.providers.contains_key(&command.provider) || stream.providers().await?.contains(&command.provider);
        if !is_known {
            return Err(CliError::input(
                format!("{} was never fed and is not in damper.toml", command.provider),
                "check the name; `damper status` lists the providers",
            ));
        }
        let (ledger, now) = (&ledger as &dyn Ledger, context.clock.now());
        Ok(operate::pause(ledger, &mapping, &command.provider, now, &command.reason).await?)
    })?;
    let was_stopped = before.needs_operator();
    match before.breaker {
        Breaker::Open { since, by, reason } if was_stopped => {
            put(format!("{} is stopped already, since {since:.0} by {by}: {}", command.provider, printable(&reason)))?
        }
        _ => put(format!("{} is paused; `damper resume {}` goes on", command.provider, command.provider))?,
    }
    Ok(Exit::Done)
}
