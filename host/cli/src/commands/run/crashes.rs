//! Earlier runs that died while a component ran: they are recorded in the ledger. If the component must be the cause, its
//! provider is stopped.

use std::path::{Path, PathBuf};

use damper_core::fetcher::Fetcher;
use damper_core::operate;
use damper_plugins::{CrashMarks, MarkedComponent};

use crate::context::Context;
use crate::error::CliError;

use super::RunContext;
use super::worker::Worker;

/// Reads what earlier runs on this database left behind, and marks this one.
pub(super) fn open_marks(context: &Context, database: &Path) -> CrashMarks {
    let folder = folder(database);
    CrashMarks::open(&folder, |error| {
        let folder = folder.display();
        context.screen.warn(format!("execution marks cannot be written to {folder}: {error}; if this run crashes, the component that ran is not known"));
    })
}

/// Records crashes of these providers. Marks of configured providers without a worker are kept for a later run.
pub(super) async fn record_crashes<'a>(
    run_context: &RunContext,
    workers: &[Worker],
    configured: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), CliError> {
    for worker in workers {
        let plugin = worker.plugin();
        for crash in run_context.crash_marks.find_crashes(plugin.marked_component(), plugin.digest()) {
            let (name, process) = (worker.name(), &crash.process);
            tracing::warn!(provider = name, process, "an earlier run crashed while the component ran");
            let now = run_context.clock.now();
            operate::record_crash(&*run_context.ledger, &run_context.mapping, name, now, &crash).await?;
        }
    }
    let has_worker = |name: &str| workers.iter().any(|worker| worker.name() == name);
    let waits = |component: MarkedComponent| configured.clone().any(|name| component.is_of(name) && !has_worker(name));
    run_context.crash_marks.forget(|component| !waits(component));
    Ok(())
}

/// Beside the database, under its name.
fn folder(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-marks");
    PathBuf::from(name)
}
