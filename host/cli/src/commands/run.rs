//! `damper run`: drain the streams to the sink, all providers side by side.

mod chart_recorder;
mod crashes;
mod progress_display;
mod summary;
mod tally;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use damper_config::Config;
use damper_config::lock::Candidate;
use damper_config::provider::{self, Bound, check_name};
use damper_core::clock::WallClock;
use damper_core::fetcher::Fetcher;
use damper_core::ledger::{Control, Ledger, ProviderStop};
use damper_core::mapping::Mapping;
use damper_core::pipeline::{Pipeline, Stores};
use damper_core::random::RandomSource;
use damper_local::{Database, SqliteLedger, SqliteMapping, SqliteStream, folder};
use damper_plugins::{CrashMarks, HostOptions, PluginHost};
use tokio::task::JoinSet;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::harden;
use crate::lock;
use crate::signals::{self, Stop};

use crashes::{open_marks, record_crashes};
use progress_display::ProgressDisplay;
use summary::{Outcome, ProviderSummary};
use worker::Worker;

/// The most fetches at a time, over all providers: each holds memory for an instance.
const MAX_IN_FLIGHT: u32 = 1_000;

/// Drain the streams to the output folder: fetch what was fed, once a day
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper run                     # whatever is pending
  damper run gleif sec-edgar
  damper run --watch             # and what is fed later, until Ctrl-C
  damper run gleif --charts .    # and a picture of it, gleif.svg

Ctrl-C and SIGTERM stop cleanly: what is in flight is finished and stored. A second one stops at
once; then what was in flight is fetched again by the next run. Items that wait for their next
attempt hold up no others; where only such are left a run waits up to five minutes for the next,
else it ends with exit code 6. With --watch it fetches them when they are due. Records lie in the
output folder as PROVIDER/DAY/OWNER/CHUNK.ndjson; `damper export PROVIDER` prints them as one
stream.")]
pub(crate) struct Run {
    /// The providers; default: all that have something pending
    #[arg(value_name = "PROVIDER")]
    providers: Vec<String>,

    /// Keep running for what is fed later
    #[arg(long)]
    watch: bool,

    /// Write a chart of each provider's run into this folder, as PROVIDER.svg: limit, in flight, answers, latency, batch size
    #[arg(long, value_name = "FOLDER")]
    charts: Option<PathBuf>,

    /// The summary as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The parts that all providers of a run share.
#[derive(Clone)]
struct RunContext {
    database: Database,
    stream: SqliteStream,
    ledger: Arc<SqliteLedger>,
    mapping: SqliteMapping,
    stores: Stores,
    clock: WallClock,
    /// How often the governor looks at a mapping that is off.
    tick: Duration,
    crash_marks: Arc<CrashMarks>,
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
        let run_context = RunContext::open(command, context, &config)?;
        let stop = signals::listen(&context.screen)?;
        let lines = run_context.drain(command, context, &config, &stop).await?;
        summary::show(&lines, &config, command.json)
    });
    // A component that is still compiled keeps nobody waiting: its process ends with this one.
    runtime.shutdown_background();
    exit
}

impl RunContext {
    fn open(command: &Run, context: &Context, config: &Config) -> Result<Self, CliError> {
        let database =
            if command.watch { Database::open(&config.database)? } else { context.existing_database(config)? };
        let sink = folder::open(&config.output)?;
        let leftovers = folder::clean(&config.output, context.clock.now());
        tracing::debug!(leftovers, "looked for temporary files of runs that were killed");
        let ledger = Arc::new(SqliteLedger::new(database.clone()));
        let mapping = SqliteMapping::new(database.clone(), context.clock.clone()).with_lag(config.mapping.lag);
        let stores = Stores {
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            sink: Arc::new(sink),
            compression: config.compression,
            mapping: Arc::new(mapping.clone()) as Arc<dyn Mapping>,
            clock: context.clock.clone(),
            random: RandomSource::System,
        };
        let (stream, clock, tick) = (SqliteStream::new(database.clone()), context.clock.clone(), config.mapping.tick);
        let crash_marks = Arc::new(open_marks(context, &config.database));
        Ok(Self { stream, ledger, mapping, stores, clock, tick, crash_marks, database })
    }

    /// Run all that are to run, to their end.
    async fn drain(
        &self,
        command: &Run,
        context: &Context,
        config: &Config,
        stop: &Stop,
    ) -> Result<Vec<ProviderSummary>, CliError> {
        let mut lines = Vec::new();
        let mut ready = Vec::new();
        for name in self.provider_names(command, config).await? {
            match self.plan(command, config, &name).await? {
                ProviderPlan::Ready(bound) => ready.push(*bound),
                ProviderPlan::Idle => lines.push(self.summarize(&name, Outcome::Done).await?),
                ProviderPlan::Failed(error) => {
                    context.screen.error(&error);
                    lines.push(self.summarize(&name, Outcome::Failed(error)).await?);
                }
            }
        }
        let ready = self.enforce_lock(context, config, ready, &mut lines).await?;
        let (workers, mut rest) = self.load_workers(context, config, ready).await?;
        let (workers, stopped) = self.skip_stopped(command, context, workers).await?;
        lines.append(&mut rest);
        lines.extend(stopped);
        lines.extend(self.run_workers(command, context, stop, workers).await?);
        lines.sort_by(|one, other| one.provider.cmp(&other.provider));
        Ok(lines)
    }

    /// The named providers, else all that there are.
    async fn provider_names(&self, command: &Run, config: &Config) -> Result<Vec<String>, CliError> {
        let mut names = command.providers.clone();
        if names.is_empty() {
            names = self.stream.providers().await?;
            if command.watch {
                names.extend(config.providers.keys().cloned());
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn plan(&self, command: &Run, config: &Config, name: &str) -> Result<ProviderPlan, CliError> {
        let is_wanted = command.watch || command.providers.iter().any(|wanted| wanted == name);
        if !is_wanted && self.stream.counts(name).await?.pending == 0 {
            return Ok(ProviderPlan::Idle);
        }
        Ok(match provider::open(config, name) {
            Ok(bound) => ProviderPlan::Ready(Box::new(bound)),
            Err(error) => ProviderPlan::Failed(error.into()),
        })
    }

    /// Leave out providers that ask for more than damper.lock pins; they are reported and become lines of the summary.
    async fn enforce_lock(
        &self,
        context: &Context,
        config: &Config,
        ready: Vec<Bound>,
        lines: &mut Vec<ProviderSummary>,
    ) -> Result<Vec<Bound>, CliError> {
        let candidates: Vec<Candidate> =
            ready.iter().map(|bound| Candidate::new(config, &bound.file, &bound.grants)).collect();
        let answers = lock::enforce(context, config, &candidates)?;
        let mut pinned = Vec::with_capacity(ready.len());
        for (bound, answer) in ready.into_iter().zip(answers) {
            match answer {
                Ok(()) => pinned.push(bound),
                Err(error) => {
                    let error = CliError::from(error);
                    context.screen.error(&error);
                    lines.push(self.summarize(&bound.manifest.name, Outcome::Failed(error)).await?);
                }
            }
        }
        Ok(pinned)
    }

    /// Bind components to their settings. A component that cannot be bound is reported and returned as a line of the summary.
    async fn load_workers(
        &self,
        context: &Context,
        config: &Config,
        ready: Vec<Bound>,
    ) -> Result<(Vec<Worker>, Vec<ProviderSummary>), CliError> {
        let (mut workers, mut failed) = (Vec::new(), Vec::new());
        if ready.is_empty() {
            return Ok((workers, failed));
        }
        let caps = ready.iter().map(|bound| bound.manifest.limits.max_concurrency.get());
        let max_in_flight = caps.fold(0_u32, u32::saturating_add).clamp(1, MAX_IN_FLIGHT);
        let execution_marks = self.crash_marks.own();
        let host = PluginHost::new(HostOptions { execution_marks, ..context.host_options(max_in_flight)? })?;
        for bound in ready {
            let name = bound.manifest.name.clone();
            for warning in &bound.warnings {
                context.screen.warn(warning);
            }
            match self.build_worker(&host, bound).await {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    context.screen.error(&error);
                    failed.push(self.summarize(&name, Outcome::Failed(error)).await?);
                }
            }
        }
        record_crashes(self, &workers, config.providers.keys()).await?;
        Ok((workers, failed))
    }

    async fn build_worker(&self, host: &PluginHost, bound: Bound) -> Result<Worker, CliError> {
        let Bound { file, manifest, grants, .. } = bound;
        let name = manifest.name.clone();
        let load_error = |message| CliError::Load { provider: name.clone(), message };
        let plugin = host.load(&file, manifest.clone(), grants).map_err(|error| load_error(error.to_string()))?;
        let plugin = Arc::new(plugin);
        self.mapping.ensure(&name, manifest.pace.start_batch).await?;
        let before = self.stream.counts(&name).await?;
        let pipeline = Pipeline::new(manifest, Arc::clone(&plugin) as Arc<dyn Fetcher>, self.stores.clone());
        Ok(Worker::new(pipeline, plugin, self.clone(), before))
    }

    /// Leave out providers whose breaker is open, unless we watch: then they wait for `damper resume`.
    async fn skip_stopped(
        &self,
        command: &Run,
        context: &Context,
        workers: Vec<Worker>,
    ) -> Result<(Vec<Worker>, Vec<ProviderSummary>), CliError> {
        let (mut past, mut stopped) = (Vec::new(), Vec::new());
        for worker in workers {
            match self.find_stop_error(worker.name()).await? {
                Some(error) => {
                    context.screen.error(&error);
                    if command.watch {
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

    /// Run workers side by side until all have ended.
    async fn run_workers(
        &self,
        command: &Run,
        context: &Context,
        stop: &Stop,
        workers: Vec<Worker>,
    ) -> Result<Vec<ProviderSummary>, CliError> {
        let workers: Vec<Arc<Worker>> = workers.into_iter().map(Arc::new).collect();
        let mut tasks = JoinSet::new();
        for worker in &workers {
            tasks.spawn(Arc::clone(worker).run(command.watch, stop.clone()));
        }
        let mut display = ProgressDisplay::new(context, &workers, command.charts.is_some());
        let mut ended = Vec::new();
        while !tasks.is_empty() {
            tokio::select! {
                biased;
                Some(task) = tasks.join_next() => {
                    let (worker, outcome) = task.map_err(|error| CliError::unexpected("run a provider", error))?;
                    display.on_worker_ended(&worker, &outcome).await;
                    ended.push((worker, outcome));
                }
                () = display.tick() => {}
            }
        }
        if let Some(folder) = &command.charts {
            display.write_charts(folder).await?;
        }
        let mut lines = Vec::with_capacity(ended.len());
        for (worker, outcome) in ended {
            let mut line = self.summarize(worker.name(), outcome).await?;
            line.totals = Some(worker.totals(&line.counts));
            lines.push(line);
        }
        Ok(lines)
    }

    /// The error to report if a provider needs an operator.
    async fn find_stop_error(&self, name: &str) -> Result<Option<CliError>, CliError> {
        let control = self.control(name).await?;
        let needs_operator = control.needs_operator();
        Ok(match control.breaker {
            ProviderStop::Open { since, by, reason } if needs_operator => {
                Some(CliError::Stopped { provider: name.to_owned(), since, by, reason })
            }
            ProviderStop::Open { .. } | ProviderStop::Closed => None,
        })
    }

    /// A provider's control item.
    async fn control(&self, name: &str) -> Result<Control, CliError> {
        Ok(self.ledger.control(name).await?)
    }

    async fn summarize(&self, name: &str, outcome: Outcome) -> Result<ProviderSummary, CliError> {
        let counts = self.stream.counts(name).await?;
        Ok(ProviderSummary { provider: name.to_owned(), outcome, counts, totals: None })
    }
}
