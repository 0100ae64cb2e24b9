//! `damper resume`: close a provider's breaker after the mend.

use clap::Args;
use damper_core::ledger::{Breaker, Control, Ledger};
use damper_local::SqliteLedger;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::provider::check_name;
use crate::screen::{printable, put};

/// Close a provider's breaker: what stopped it is mended
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper resume gleif
  damper resume gleif --allow-dead-letters 500   # those ids are gone for good: do not stop for them")]
pub(crate) struct Resume {
    /// The provider's name
    provider: String,

    /// So many more items may become dead letters before that stops the provider again
    #[arg(long, value_name = "N")]
    allow_dead_letters: Option<u32>,
}

/// Close a breaker.
///
/// # Errors
/// Where the database fails.
pub(crate) fn run(command: &Resume, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let config = context.config()?;
    let ledger = SqliteLedger::new(context.existing_database(&config)?);
    let before = context::runtime()?.block_on(close(&ledger, command))?;
    match before.breaker {
        Breaker::Closed => put(format!("{} was not stopped", command.provider))?,
        Breaker::Open { since, by, reason } => put(format!(
            "{} goes on; it was stopped since {since:.0} by {by}: {}",
            command.provider,
            printable(&reason)
        ))?,
    }
    if let Some(allowed) = command.allow_dead_letters {
        put(format!("{allowed} more dead letters are allowed before it stops for them"))?;
    }
    Ok(Exit::Done)
}

/// Close the breaker, as often as somebody else is quicker. Answers what was there before.
async fn close(ledger: &SqliteLedger, command: &Resume) -> Result<Control, CliError> {
    loop {
        let before = ledger.control(&command.provider).await?;
        let after = Control {
            breaker: Breaker::Closed,
            dead_letters_allowed: command.allow_dead_letters.unwrap_or(before.dead_letters_allowed),
            ..before.clone()
        };
        if after == before || ledger.update_control(&command.provider, &after).await? {
            return Ok(before);
        }
    }
}
