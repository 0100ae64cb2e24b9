//! `damper resume`: let a provider go on, after a pause or after the mend.

use clap::Args;
use damper_config::provider::check_name;
use damper_core::ledger::{Control, OpenedBy, ProviderStop};
use damper_core::operate;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, put};

/// Resume a provider after a pause, or after the cause of its stop is fixed
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper resume gleif
  damper resume gleif --allow-dead-letters 500   # those ids no longer exist: do not stop for them
  damper resume gleif --aws")]
pub(crate) struct Resume {
    /// The provider's name
    provider: String,

    /// The number of further dead letters that are allowed before the provider stops again
    #[arg(long, value_name = "N")]
    allow_dead_letters: Option<u32>,

    #[command(flatten)]
    backend: BackendArgs,
}

/// Close a breaker.
///
/// # Errors
/// If the provider is not known, or the ledger or the mapping fails.
pub(crate) fn run(command: &Resume, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let before =
        context::runtime()?.block_on(resume(command, context)).map_err(|error| command.backend.explain(error))?;
    match (before.breaker, before.governor.disabled) {
        (ProviderStop::Open { since, by: OpenedBy::Breaker, reason }, _) => put(format!(
            "{} is tried again now; it has been failing since {since:.0}: {}",
            command.provider,
            printable(&reason)
        ))?,
        (ProviderStop::Open { since, by, reason }, _) => put(format!(
            "{} is resumed; it was stopped since {since:.0} by {by}: {}",
            command.provider,
            printable(&reason)
        ))?,
        (ProviderStop::Closed, Some(disabled)) => put(format!(
            "{} is resumed; its mapping was disabled since {:.0} by {}",
            command.provider, disabled.since, disabled.by
        ))?,
        (ProviderStop::Closed, None) => put(format!("{} was not stopped", command.provider))?,
    }
    if let Some(allowed) = command.allow_dead_letters {
        put(format!("{allowed} more dead letters are allowed before it stops again"))?;
    }
    Ok(Exit::Done)
}

async fn resume(command: &Resume, context: &Context) -> Result<Control, CliError> {
    let config = context.data_config()?;
    let backend = command.backend.open(context, &config).await?;
    command.backend.check_exists_here(&*backend, &config, &command.provider).await?;
    let (now, allowed) = (context.clock.now(), command.allow_dead_letters);
    Ok(operate::resume(backend.ledger(), backend.mapping(), &command.provider, now, allowed).await?)
}
