//! `damper pause`: stop a provider until `damper resume`.

use clap::Args;
use damper_config::provider::check_name;
use damper_core::ledger::{Control, ProviderStop};
use damper_core::operate;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{printable, put};

/// Stop a provider until `damper resume`; nothing resumes it automatically
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper pause gleif
  damper pause gleif --reason \"they asked us to wait until Monday\"
  damper pause gleif --aws

A running `damper run` starts no more fetches within ten seconds; fetches in flight are finished and
stored. `damper resume gleif` continues from there. In AWS, a running invocation does the same, and
the mapping is disabled.")]
pub(crate) struct Pause {
    /// The provider's name
    provider: String,

    /// The reason, which `damper status` shows
    #[arg(long, value_name = "TEXT", default_value = "paused")]
    reason: String,

    #[command(flatten)]
    backend: BackendArgs,
}

/// Pause a provider.
///
/// # Errors
/// If the provider is not known, or the ledger or the mapping fails.
pub(crate) fn run(command: &Pause, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let before =
        context::runtime()?.block_on(pause(command, context)).map_err(|error| command.backend.explain(error))?;
    let (provider, was_stopped) = (&command.provider, before.needs_operator());
    match before.breaker {
        ProviderStop::Open { since, by, reason } if was_stopped => {
            put(format!("{provider} is already stopped, since {since:.0} by {by}: {}", printable(&reason)))?
        }
        _ => put(format!("{provider} is paused; `damper resume {provider}{}` ends the pause", command.backend.flag()))?,
    }
    Ok(Exit::Done)
}

async fn pause(command: &Pause, context: &Context) -> Result<Control, CliError> {
    let (config, provider) = (context.data_config()?, &command.provider);
    let backend = command.backend.open(context, &config).await?;
    command.backend.check_exists(&*backend, &config, provider).await?;
    Ok(operate::pause(backend.ledger(), backend.mapping(), provider, context.clock.now(), &command.reason).await?)
}
