//! The rights that `damper` gives up before it runs a component: see `damper-hardening`.

use std::path::{Path, PathBuf};

use damper_config::Config;
use damper_config::provider;
use damper_hardening::{Hardening, Policy, restrict};

use crate::context::Context;
use crate::error::CliError;

/// Gives up what fetching does not need. Called before there are threads.
///
/// # Errors
/// If the environment names no layer that there is.
pub(crate) fn before_fetching(context: &Context, config: &Config, more_folders: &[&Path]) -> Result<(), CliError> {
    let hardening = requested_layers(context)?;
    let report = restrict(&policy(context, config, more_folders), hardening);
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

/// The files that fetching needs: the folders of the database, the output, damper.toml, the caches and charts to write to; those of
/// components, secrets and certificates to read.
fn policy(context: &Context, config: &Config, more_folders: &[&Path]) -> Policy {
    let mut policy = Policy::for_fetching();
    let settings = &context.settings;
    let own = [settings.cache.as_deref(), settings.own_config.as_deref()].into_iter().flatten();
    for folder in [config.output.as_path()].into_iter().chain(own).chain(more_folders.iter().copied()) {
        policy.writable.push(nearest(folder));
    }
    // damper.lock lies beside damper.toml.
    policy.writable.extend([parent_folder(&config.database), openable_folder(&config.folder)]);
    policy.writable.push(std::env::temp_dir());
    policy.readable.push(openable_folder(&config.components));
    policy.readable.extend(settings.certificates.iter().cloned());
    // Folders rather than files: a component or a secret is replaced by a new file of the same name.
    for (name, provider) in &config.providers {
        policy.readable.extend(provider::find(config, name).ok().map(|file| parent_folder(&file)));
        let files = provider.credentials.values().filter_map(|credential| credential.file.as_ref());
        policy.readable.extend(files.map(|file| parent_folder(&config.folder.join(file))));
    }
    policy
}

/// The folder, or if it does not exist yet the nearest one above it: only a folder that is there can be named.
fn nearest(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(folder).to_owned()
}

/// The folder of a file.
fn parent_folder(file: &Path) -> PathBuf {
    openable_folder(file.parent().unwrap_or(Path::new("")))
}

/// A folder as it can be opened: the working folder where it is empty.
fn openable_folder(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}
