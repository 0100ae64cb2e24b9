//! Earlier runs that died while a component ran: recorded in the ledger, which stops a provider that must be taken for the cause.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use damper_core::control::crashes::Crash;
use damper_core::fetcher::Fetcher;
use damper_core::operate;
use damper_plugins::{AbandonedMarks, ExecutionMarks, read_abandoned_marks};

use crate::context::Context;
use crate::error::CliError;

use super::RunContext;
use super::worker::Worker;

/// The marks of this run, and those of runs that died.
pub(super) struct Crashes {
    /// None: they cannot be kept, which was said.
    pub(super) marks: Option<Arc<ExecutionMarks>>,
    left: Vec<AbandonedMarks>,
}

impl Crashes {
    /// Reads what earlier runs on this database left behind, and marks this one.
    pub(super) fn open(context: &Context, database: &Path) -> Self {
        let folder = folder(database);
        let left = read_abandoned_marks(&folder)
            .inspect_err(|error| tracing::debug!(%error, "the marks of earlier runs were not read"))
            .unwrap_or_default();
        let marks = ExecutionMarks::create(&folder).inspect_err(|error| {
            let folder = folder.display();
            context.screen.warn(format!("if this run dies, nobody can tell which component ran: {folder}: {error}"));
        });
        Self { marks: marks.ok().map(Arc::new), left }
    }

    /// Records crashes of these providers. Marks of providers that have no worker now are kept for a run that has.
    pub(super) async fn record(
        &self,
        run_context: &RunContext,
        workers: &[Worker],
        configured: impl Iterator<Item = &String> + Clone,
    ) -> Result<(), CliError> {
        for left in &self.left {
            for worker in workers {
                let ran = left.running.iter().find(|running| running.component == worker.plugin().marked_component());
                let Some(running) = ran else { continue };
                let crash = Crash {
                    process: left.process.clone(),
                    component: worker.plugin().digest().to_owned(),
                    item: running.item.name(),
                };
                tracing::warn!(
                    provider = worker.name(),
                    process = left.process,
                    "an earlier run died while the component ran"
                );
                let now = run_context.clock.now();
                operate::record_crash(&*run_context.ledger, &run_context.mapping, worker.name(), now, &crash).await?;
            }
            let has_no_worker = |name: &String| {
                workers.iter().all(|worker| worker.name() != name)
                    && left.running.iter().any(|running| running.component.is_of(name))
            };
            if !configured.clone().any(has_no_worker)
                && let Err(error) = left.forget()
            {
                tracing::debug!(process = left.process, %error, "the marks of an earlier run were not removed");
            }
        }
        Ok(())
    }
}

/// Beside the database, under its name.
fn folder(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-marks");
    PathBuf::from(name)
}
