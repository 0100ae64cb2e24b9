//! Earlier runs that died while a component ran: they are recorded in the ledger. If the component must be the cause,
//! its provider is stopped.

use damper_core::fetcher::Fetcher;
use damper_core::operate;
use damper_plugins::MarkedComponent;

use crate::context::RunContext;
use crate::error::RunError;
use crate::worker::Worker;

/// Records crashes of these providers. Marks of configured providers without a worker are kept for a later run.
///
/// # Errors
/// If the ledger or the mapping fails.
pub async fn record_crashes<'a>(
    run_context: &RunContext,
    workers: &[Worker],
    configured: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), RunError> {
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
