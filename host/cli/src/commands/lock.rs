//! `damper lock`: what providers ask for beyond what damper.lock pins, and the operator's word on it.

use std::path::PathBuf;

use clap::Args;
use damper_config::Config;
use damper_config::config::ComponentLocation;
use damper_config::lock::{Candidate, Lock, LockFile, Verdict, WriteOutcome};
use damper_config::provider;
use damper_toolchain::{Project, locate_component};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{put, table};

/// Show which hosts providers ask for beyond those pinned in damper.lock, and accept them
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper lock                    # pins new providers, and shows those that ask for more
  damper lock --accept gleif     # accepts what gleif asks for now
  damper lock --accept           # accepts what all providers ask for

With `hosts = \"manifest\"` a component's manifest decides which hosts it may reach and which of them
receive its credentials. damper.lock, beside damper.toml, pins them at the first use. A build that
asks for more is refused until it is accepted. A build that asks for less replaces the pin.
The exit code is 4 while a provider asks for more than is pinned.")]
pub(crate) struct LockCommand {
    /// Accept what these providers ask for now; without names: all providers
    #[arg(long, value_name = "PROVIDER", num_args = 0..)]
    accept: Option<Vec<String>>,
}

/// Show, pin and accept.
///
/// # Errors
/// If there is no damper.toml, or damper.lock cannot be used. A provider that cannot be looked at is told, and the exit
/// says so.
pub(crate) fn run(command: &LockCommand, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let Some(file) = LockFile::of(&config) else {
        let hint = "run this where a damper.toml is found, or name one with --config";
        return Err(CliError::input("there is no damper.toml, so there is nothing to pin", hint));
    };
    let named = command.accept.as_deref().unwrap_or_default();
    let names: Vec<String> = if named.is_empty() { config.providers.keys().cloned().collect() } else { named.to_vec() };
    let (mut candidates, mut is_whole) = (Vec::new(), true);
    for name in &names {
        match candidate(&config, name, context) {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => {
                context.screen.error(&error);
                is_whole = false;
            }
        }
    }
    let mut rows = Vec::new();
    let written = file.update(|lock| {
        rows.extend(candidates.iter().map(|candidate| settle(lock, candidate, command.accept.is_some())));
        if command.accept.is_some() && named.is_empty() {
            lock.providers.retain(|name, _| config.providers.contains_key(name));
        }
    })?;
    if let WriteOutcome::Unwritable(error) = written {
        return Err(CliError::file("write", file.path())(error));
    }
    let told: Vec<Vec<String>> = rows.iter().map(|(name, what, _)| vec![name.clone(), what.clone()]).collect();
    if !told.is_empty() {
        put(table(&told).trim_end())?;
    }
    let waits = rows.iter().any(|(_, _, waits)| *waits);
    Ok(if is_whole && !waits { Exit::Done } else { Exit::BadInput })
}

/// A provider as it is built now: its component, or what was built last where damper.toml names a crate.
fn candidate(config: &Config, name: &str, context: &Context) -> Result<Candidate, CliError> {
    let folder = match config.component(name) {
        ComponentLocation::Named(path) => Some(path).filter(|path| path.is_dir()),
        ComponentLocation::Searched(_) => None,
    };
    let locate = |folder: PathBuf| locate_component(&Project::read(&folder)?, &context.for_builds().environment);
    let built = folder.map(locate).transpose()?;
    Ok(provider::candidate(config, name, built)?)
}

/// Pins a provider as far as that is allowed. Returns its name, the result, and whether it waits to be accepted.
fn settle(lock: &mut Lock, candidate: &Candidate, accepts: bool) -> (String, String, bool) {
    let verdict = lock.judge(candidate);
    let (what, waits) = match &verdict {
        Verdict::New => ("pinned".to_owned(), false),
        Verdict::Unchanged => ("unchanged".to_owned(), false),
        Verdict::Changed => ("the build or the settings changed; they do not ask for more".to_owned(), false),
        Verdict::Refused(growth) if accepts => (format!("accepted: {growth}"), false),
        Verdict::Refused(growth) => (format!("asks for more: {growth}"), true),
    };
    if !waits {
        lock.pin(candidate);
    }
    (candidate.provider.clone(), what, waits)
}
