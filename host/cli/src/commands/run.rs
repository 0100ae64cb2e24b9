//! `damper run`: drain the streams to the sink, all providers side by side.

mod chart_recorder;
mod progress_display;
mod reloading;
mod summary;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use damper_config::Config;
use damper_config::lock::Candidate;
use damper_config::provider::{self, Bound, check_name};
use damper_local::Database;
use damper_plugins::{HostOptions, PluginHost};
use damper_runner::{Outcome, RunContext, Stop, Worker, record_crashes};
use tokio::sync::Notify;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::harden;
use crate::lock;
use crate::signals;

use reloading::Reloader;
use summary::ProviderSummary;

/// The most fetches at a time, over all providers: each holds memory for an instance.
const MAX_IN_FLIGHT: u32 = 1_000;
/// Room for fetches in a run that watches, at least.
const LEAST_WATCHING: u32 = 64;

/// Fetch the fed items into the output folder, each once a day
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper run                     # all pending items
  damper run gleif sec-edgar
  damper run --watch             # also items that are fed later, until Ctrl-C
  damper run gleif --charts .    # also draws a chart, gleif.svg

Ctrl-C and SIGTERM stop cleanly: fetches in flight are finished and stored. A second signal stops at
once; the next run then repeats the fetches that were in flight. Items that wait for their next
attempt do not delay others. If only such items are left, a run waits up to five minutes for the
next one, else it ends with exit code 6. With --watch it fetches them when they are due. Records are
stored in the output folder as PROVIDER/DAY/OWNER/CHUNK.ndjson; `damper export PROVIDER` prints them
as one stream.

With --watch, a replaced component and changed settings of damper.toml are used from the next batch
on; the batch in progress is ended as at a clean stop. What cannot be used is reported, and the
earlier component and settings stay in force. Providers that are added are started, those that are
removed are stopped. SIGHUP reads all again at once; if a terminal was closed, it stops the run.")]
pub(crate) struct Run {
    /// The providers; default: all with pending items
    #[arg(value_name = "PROVIDER")]
    providers: Vec<String>,

    /// Keep running, and fetch items that are fed later
    #[arg(long)]
    watch: bool,

    /// Write a chart of each provider's run into this folder, as PROVIDER.svg: limit, in flight, responses, latency,
    /// batch size
    #[arg(long, value_name = "FOLDER")]
    charts: Option<PathBuf>,

    /// The summary as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// A provider before it runs.
enum ProviderPlan {
    /// Nothing is pending, and nobody asked for it by name.
    Idle,
    /// It can run.
    Ready(Box<Bound>),
    /// It cannot.
    Failed(CliError),
}

/// Lets a provider hold the bytes of its component together with the providers of the same component.
fn share_component(bound: &mut Bound, others: &[Bound]) {
    if let Some(other) = others.iter().find(|other| other.file.digest == bound.file.digest) {
        bound.file.bytes = other.file.bytes.clone();
    }
}

/// Run providers.
///
/// # Errors
/// If no provider can run at all. Failures of single providers are in the summary and decide the exit code.
pub(crate) fn run(command: &Run, context: &Context) -> Result<Exit, CliError> {
    command.providers.iter().try_for_each(|name| check_name(name))?;
    let config = context.data_config()?;
    // Before anything is fetched: a chart that cannot be written is no reason to lose the summary.
    if let Some(folder) = &command.charts {
        std::fs::create_dir_all(folder).map_err(CliError::file("make the folder for charts", folder))?;
    }
    harden::before_fetching(context, &config, &command.charts.as_deref().into_iter().collect::<Vec<_>>())?;
    let runtime = context::runtime()?;
    let exit = runtime.block_on(async {
        let drain = Drain::open(command, context, &config)?;
        let reload = command.watch.then(Arc::<Notify>::default);
        let stop = signals::listen(&context.screen, reload.clone())?;
        let lines = drain.run(&stop, reload).await?;
        summary::show(&lines, &config, command.json)
    });
    // A component that is still compiled keeps nobody waiting: its process ends with this one.
    runtime.shutdown_background();
    exit
}

/// One `damper run`.
struct Drain<'a> {
    command: &'a Run,
    context: &'a Context,
    config: &'a Config,
    run_context: RunContext,
}

impl<'a> Drain<'a> {
    fn open(command: &'a Run, context: &'a Context, config: &'a Config) -> Result<Self, CliError> {
        let database =
            if command.watch { Database::open(&config.database)? } else { context.existing_database(config)? };
        let warn = |warning: String| context.screen.warn(warning);
        let run_context = RunContext::open(config, database, context.clock.clone(), warn)?;
        Ok(Self { command, context, config, run_context })
    }

    /// Run all that are to run, to their end.
    async fn run(&self, stop: &Stop, reload: Option<Arc<Notify>>) -> Result<Vec<ProviderSummary>, CliError> {
        let mut lines = Vec::new();
        let mut ready = Vec::new();
        // Before anything is read: a change from now on is found.
        let mut reloader = reload.map(|asked| Reloader::new(self.context, self.config, &self.command.providers, asked));
        for name in self.provider_names().await? {
            match self.plan(&name).await? {
                ProviderPlan::Ready(mut bound) => {
                    share_component(&mut bound, &ready);
                    ready.push(*bound);
                }
                ProviderPlan::Idle => lines.push(self.summarize(&name, Outcome::Done).await?),
                ProviderPlan::Failed(error) => {
                    self.context.screen.error(&error);
                    lines.push(self.summarize(&name, Outcome::Failed(error)).await?);
                }
            }
        }
        let ready = self.enforce_lock(ready, &mut lines).await?;
        let Some(host) = self.host(&ready)? else {
            lines.sort_by(|one, other| one.provider.cmp(&other.provider));
            return Ok(lines);
        };
        let (workers, mut rest) = self.load_workers(&host, ready).await?;
        let (workers, stopped) = self.skip_stopped(workers).await?;
        lines.append(&mut rest);
        lines.extend(stopped);
        if let Some(reloader) = &mut reloader {
            workers.iter().for_each(|worker| reloader.on_started(worker.name()));
        }
        lines.extend(self.run_workers(stop, workers, &host, reloader).await?);
        lines.sort_by(|one, other| one.provider.cmp(&other.provider));
        Ok(lines)
    }

    /// The named providers, else all that there are.
    async fn provider_names(&self) -> Result<Vec<String>, CliError> {
        let mut names = self.command.providers.clone();
        if names.is_empty() {
            names = self.run_context.providers().await?;
            if self.command.watch {
                names.extend(self.config.providers.keys().cloned());
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn plan(&self, name: &str) -> Result<ProviderPlan, CliError> {
        let is_wanted = self.command.watch || self.command.providers.iter().any(|wanted| wanted == name);
        if !is_wanted && self.run_context.counts(name).await?.pending == 0 {
            return Ok(ProviderPlan::Idle);
        }
        Ok(match provider::open(self.config, name) {
            Ok(bound) => ProviderPlan::Ready(Box::new(bound)),
            Err(error) => ProviderPlan::Failed(error.into()),
        })
    }

    /// Leave out providers that ask for more than damper.lock pins; they are reported and become lines of the summary.
    async fn enforce_lock(&self, ready: Vec<Bound>, lines: &mut Vec<ProviderSummary>) -> Result<Vec<Bound>, CliError> {
        let candidate = |bound: &Bound| Candidate::new(self.config, &bound.manifest.name, &bound.file, &bound.grants);
        let candidates: Vec<Candidate> = ready.iter().map(candidate).collect();
        let answers = lock::enforce(self.context, self.config, &candidates)?;
        let mut pinned = Vec::with_capacity(ready.len());
        for (bound, answer) in ready.into_iter().zip(answers) {
            match answer {
                Ok(()) => pinned.push(bound),
                Err(error) => {
                    let error = CliError::from(error);
                    self.context.screen.error(&error);
                    lines.push(self.summarize(&bound.manifest.name, Outcome::Failed(error)).await?);
                }
            }
        }
        Ok(pinned)
    }

    /// The host of the components. None: there is nothing to run.
    fn host(&self, ready: &[Bound]) -> Result<Option<PluginHost>, CliError> {
        if ready.is_empty() {
            return Ok(None);
        }
        let caps = ready.iter().map(|bound| bound.manifest.limits.max_concurrency.get());
        let mut max_in_flight = caps.fold(0_u32, u32::saturating_add);
        if self.command.watch {
            // Providers that are added later have room, too.
            max_in_flight = max_in_flight.saturating_mul(2).max(LEAST_WATCHING);
        }
        let execution_marks = self.run_context.execution_marks();
        let token_sharing = Some(self.run_context.token_sharing());
        let key_counting = Some(self.run_context.key_counting());
        let options = self.context.host_options(max_in_flight.clamp(1, MAX_IN_FLIGHT))?;
        Ok(Some(PluginHost::new(HostOptions { execution_marks, token_sharing, key_counting, ..options })?))
    }

    /// Bind components to their settings. A component that cannot be bound is reported and returned as a line of the
    /// summary.
    async fn load_workers(
        &self,
        host: &PluginHost,
        ready: Vec<Bound>,
    ) -> Result<(Vec<Worker>, Vec<ProviderSummary>), CliError> {
        let (mut workers, mut failed) = (Vec::new(), Vec::new());
        for bound in ready {
            let name = bound.manifest.name.clone();
            for warning in &bound.warnings {
                self.context.screen.warn(warning);
            }
            match Worker::load(&self.run_context, host, bound).await {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    let error = CliError::from(error);
                    self.context.screen.error(&error);
                    failed.push(self.summarize(&name, Outcome::Failed(error)).await?);
                }
            }
        }
        record_crashes(&self.run_context, &workers, self.config.providers.keys()).await?;
        Ok((workers, failed))
    }

    /// Leave out providers whose breaker is open, unless we watch: then they wait for `damper resume`.
    async fn skip_stopped(&self, workers: Vec<Worker>) -> Result<(Vec<Worker>, Vec<ProviderSummary>), CliError> {
        let (mut past, mut stopped) = (Vec::new(), Vec::new());
        for worker in workers {
            match worker.find_stop_error().await? {
                Some(error) => {
                    let error = CliError::from(error);
                    self.context.screen.error(&error);
                    if self.command.watch {
                        worker.mark_breaker_reported();
                        past.push(worker);
                    } else {
                        stopped.push(self.summarize(worker.name(), Outcome::Stopped(error)).await?);
                    }
                }
                None => past.push(worker),
            }
        }
        Ok((past, stopped))
    }

    async fn summarize(&self, name: &str, outcome: Outcome<CliError>) -> Result<ProviderSummary, CliError> {
        let counts = self.run_context.counts(name).await?;
        Ok(ProviderSummary { provider: name.to_owned(), outcome, counts, totals: None })
    }
}
