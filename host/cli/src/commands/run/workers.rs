//! The workers of a run, side by side until all have ended; with `--watch` also the changes of what they run.

use std::collections::BTreeMap;
use std::sync::Arc;

use damper_config::provider::{Bound, Fingerprint};
use damper_plugins::PluginHost;
use damper_runner::{Outcome, RunContext, RunError, Stop, Worker};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Drain;
use super::progress_display::ProgressDisplay;
use super::reloading::{Change, Reloader};
use super::summary::ProviderSummary;
use crate::error::CliError;

/// A worker that has ended.
type Ended = (Arc<Worker>, Outcome<RunError>);

/// A changed component or settings, loaded or not.
struct Loaded {
    provider: String,
    /// The component for people, as it is now.
    component: String,
    taken: Fingerprint,
    /// A worker to start; none: a worker that runs has taken it over.
    result: Result<Option<Worker>, RunError>,
}

/// The workers of a run.
struct Workers<'a> {
    drain: &'a Drain<'a>,
    stop: &'a Stop,
    tasks: JoinSet<Ended>,
    /// Those that run, with the token that stops each.
    running: BTreeMap<String, (Arc<Worker>, CancellationToken)>,
    ended: Vec<(Arc<Worker>, Outcome<CliError>)>,
    display: ProgressDisplay,
}

impl Drain<'_> {
    /// Run workers side by side until all have ended.
    pub(super) async fn run_workers(
        &self,
        stop: &Stop,
        workers: Vec<Worker>,
        host: &PluginHost,
        mut reloader: Option<Reloader<'_>>,
    ) -> Result<Vec<ProviderSummary>, CliError> {
        let workers: Vec<Arc<Worker>> = workers.into_iter().map(Arc::new).collect();
        let display = ProgressDisplay::new(self.context, &workers, self.command.charts.is_some());
        let (tasks, running, ended) = (JoinSet::new(), BTreeMap::new(), Vec::new());
        let mut at_work = Workers { drain: self, stop, tasks, running, ended, display };
        workers.iter().for_each(|worker| at_work.start(worker));
        let mut loading = JoinSet::new();
        while !at_work.tasks.is_empty() || !loading.is_empty() {
            tokio::select! {
                biased;
                Some(task) = at_work.tasks.join_next() => at_work.on_ended(task).await?,
                Some(loaded) = loading.join_next() => {
                    let loaded = loaded.map_err(|error| CliError::internal("load a component", error))?;
                    if let Some(reloader) = &mut reloader {
                        at_work.on_loaded(loaded, reloader);
                    }
                }
                changes = next_changes(&mut reloader), if !stop.token.is_cancelled() => {
                    for change in changes {
                        match change {
                            Change::Remove(provider) => at_work.remove(&provider),
                            Change::Load(bound, taken) => at_work.load(&mut loading, host, *bound, taken),
                        }
                    }
                }
                () = at_work.display.tick() => {}
            }
        }
        at_work.summarize().await
    }
}

/// The next changes; never, where nothing is watched.
async fn next_changes(reloader: &mut Option<Reloader<'_>>) -> Vec<Change> {
    match reloader {
        Some(reloader) => reloader.next_changes().await,
        None => std::future::pending().await,
    }
}

impl Workers<'_> {
    fn start(&mut self, worker: &Arc<Worker>) {
        let (stop, token) = self.stop.child();
        self.tasks.spawn(Arc::clone(worker).run(self.drain.command.watch, stop));
        self.running.insert(worker.name().to_owned(), (Arc::clone(worker), token));
    }

    async fn on_ended(&mut self, task: Result<Ended, JoinError>) -> Result<(), CliError> {
        let (worker, outcome) = task.map_err(|error| CliError::internal("run a provider", error))?;
        let outcome = outcome.map_error(CliError::from);
        if let Some((_, token)) = self.running.remove(worker.name()) {
            token.cancel();
        }
        self.display.on_worker_ended(&worker, &outcome).await;
        self.ended.push((worker, outcome));
        Ok(())
    }

    /// Stops a provider that is not listed any more.
    fn remove(&self, provider: &str) {
        if let Some((_, token)) = self.running.get(provider) {
            self.drain.context.screen.say(format!("{provider}: stopping, damper.toml does not list it any more"));
            token.cancel();
        }
    }

    /// Loads what a provider is to run from now on; the other providers fetch meanwhile.
    fn load(&self, loading: &mut JoinSet<Loaded>, host: &PluginHost, bound: Bound, taken: Fingerprint) {
        let provider = bound.manifest.name.clone();
        let worker = self.running.get(&provider).map(|(worker, _)| Arc::clone(worker));
        for warning in &bound.warnings {
            self.drain.context.screen.warn(warning);
        }
        let component = format!("{} {}, {}", bound.manifest.component, bound.manifest.version, bound.file.digest);
        let (host, run_context) = (host.clone(), self.drain.run_context.clone());
        loading.spawn(async move {
            let result = load(&run_context, &host, worker, bound).await;
            Loaded { provider, component, taken, result }
        });
    }

    /// Uses what was loaded, or says why it cannot be used.
    fn on_loaded(&mut self, loaded: Loaded, reloader: &mut Reloader<'_>) {
        let Loaded { provider, component, taken, result } = loaded;
        reloader.on_loaded(&provider, taken, result.is_ok());
        match result {
            Ok(started) => {
                self.drain
                    .context
                    .screen
                    .say(format!("{provider}: from now on {component}, with its settings as they are now"));
                let Some(worker) = started.map(Arc::new) else { return };
                // Its totals are those of its last worker.
                self.ended.retain(|(ended, _)| ended.name() != provider);
                self.display.add(&worker);
                self.start(&worker);
            }
            Err(error) => reloader.report_refused(&provider, &error.into()),
        }
    }

    async fn summarize(mut self) -> Result<Vec<ProviderSummary>, CliError> {
        if let Some(folder) = &self.drain.command.charts {
            self.display.write_charts(folder).await?;
        }
        let mut lines = Vec::with_capacity(self.ended.len());
        for (worker, outcome) in self.ended {
            let mut line = self.drain.summarize(worker.name(), outcome).await?;
            line.totals = Some(worker.totals(&line.counts));
            lines.push(line);
        }
        Ok(lines)
    }
}

async fn load(
    run_context: &RunContext,
    host: &PluginHost,
    running: Option<Arc<Worker>>,
    bound: Bound,
) -> Result<Option<Worker>, RunError> {
    match running {
        Some(worker) => worker.replace(host, bound).await.map(|()| None),
        None => Worker::load(run_context, host, bound).await.map(Some),
    }
}
