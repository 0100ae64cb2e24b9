//! The rights that `damper` gives up before it runs a component: see `damper-hardening`.

use std::path::Path;

use damper_config::Config;
use damper_hardening::{Hardening, restrict};
use damper_runner::fetching_policy;

use crate::context::Context;
use crate::error::CliError;

/// Gives up what fetching does not need. Called before there are threads.
///
/// # Errors
/// If the environment names no layer that there is.
pub(crate) fn before_fetching(context: &Context, config: &Config, more_folders: &[&Path]) -> Result<(), CliError> {
    let hardening = requested_layers(context)?;
    let settings = &context.settings;
    let own = [settings.cache.as_deref(), settings.own_config.as_deref()].into_iter().flatten();
    let policy = fetching_policy(config, own.chain(more_folders.iter().copied()), &settings.certificates);
    let report = restrict(&policy, hardening);
    for (layer, why) in report.missing() {
        tracing::debug!(%layer, why, "a layer of hardening is missing");
    }
    Ok(())
}

/// The layers that the environment asks for.
///
/// # Errors
/// If it names one that there is not.
pub(crate) fn requested_layers(context: &Context) -> Result<Hardening, CliError> {
    context.settings.hardening.parse().map_err(|error| {
        CliError::input(
            format!("DAMPER_HARDENING cannot be used: {error}"),
            "correct it, or leave it unset for all layers",
        )
    })
}
