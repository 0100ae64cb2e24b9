//! Runs the cases of one provider in parallel.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use damper_core::fetcher::{FetchRequest, Permits};
use damper_core::manifest::Manifest;
use damper_core::record::{Failure, FailureKind, Fetched};
use damper_plugins::compiler::Compiler;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Origin};
use damper_plugins::{
    Cache, CachedValues, HostError, HostOptions, LoadError, Plugin, PluginHost, TestEnvironment, TestEnvironmentError,
    TracedFetch,
};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use tokio::sync::Notify;
use url::Url;

use crate::case::{Call, Case, Order};
use crate::compare;
use crate::network::{Authority, AuthorityError, Responder, Server};
use crate::report::{CaseReport, Figures, Problem, RunReport};
use crate::script::Script;
use crate::secrets::CaseSecrets;

/// The most cases at a time.
pub(crate) const AT_A_TIME: usize = 16;
/// The timeout of a response without an end, for each started MiB of the component: interpreted components are larger
/// and slower.
const PATIENCE: Duration = Duration::from_millis(250);

/// A case runner that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseRunnerError {
    /// The engine does not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no certificate for the network.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The network does not start.
    #[error("the test network cannot be started: {0}")]
    Network(#[from] io::Error),
    /// The network cannot be used.
    #[error(transparent)]
    TestEnvironment(#[from] TestEnvironmentError),
    /// The provider does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs the cases of one provider.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::path::Path;
/// use damper_plugins::component_file::ComponentFile;
/// use damper_workbench::{Case, CaseRunner};
///
/// let file = ComponentFile::read(Path::new("gleif.wasm"))?;
/// let cases = Case::read_folder(Path::new("cases")).map_err(|errors| format!("{errors:?}"))?;
/// let report = CaseRunner::new(file, None)?.run(&cases).await;
/// for case in report.cases.iter().filter(|case| !case.has_passed()) {
///     println!("{}: {:?}, after {} requests", case.name, case.problems, case.figures.requests);
/// }
/// assert_eq!(report.failure_count(), 0);
/// # Ok(())
/// # }
/// ```
pub struct CaseRunner {
    pub(crate) file: ComponentFile,
    pub(crate) secrets: CaseSecrets,
    host: PluginHost,
    metered: PluginHost,
    /// One plugin of each host. It keeps the compiled component loaded for the plugins of single calls.
    prepared: Vec<Plugin>,
    authority: Arc<Authority>,
}

/// The results of a case's calls, up to the first that was not as expected.
struct CaseRun {
    /// Of the last call; none if an earlier one was not as expected.
    outcome: Option<Result<Fetched, Failure>>,
    /// Of all together.
    figures: Figures,
    log: Vec<String>,
    problems: Vec<Problem>,
}

/// The resume state and the cache that a call leaves for the next call of its item.
#[derive(Debug, Clone)]
pub(crate) struct CallState {
    resume: Option<Bytes>,
    cache: CachedValues,
}

impl CallState {
    /// Before the first call of a case.
    pub(crate) fn before(case: &Case) -> Self {
        let texts = case.cache.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        Self { resume: case.item.resume.clone(), cache: CachedValues::of_texts(texts) }
    }

    /// After a call with this outcome, which left this cache.
    pub(crate) fn after(self, outcome: &Result<Fetched, Failure>, cache: CachedValues) -> Self {
        let resume = match outcome {
            Err(failure) if failure.kind == FailureKind::NotReady => Some(failure.resume.clone().into()),
            Ok(_) | Err(_) => self.resume,
        };
        Self { resume, cache }
    }

    /// The same, for an item that was not ordered yet.
    pub(crate) fn without_resume(self) -> Self {
        Self { resume: None, ..self }
    }

    /// Whether an earlier call of the item was not ready.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resume.is_some()
    }
}

/// The manifest and settings of a provider for one call.
pub(crate) struct ProviderSetup<'a> {
    pub(crate) manifest: Manifest,
    pub(crate) config: &'a BTreeMap<String, String>,
}

/// A finished call, with the server that answered it.
pub(crate) struct FinishedCall<D> {
    /// None if the call was stopped before its end.
    pub(crate) fetch: Option<TracedFetch>,
    pub(crate) duration: Duration,
    pub(crate) server: Server<D>,
    /// The provider's cache after the call.
    pub(crate) cache: CachedValues,
}

/// A call to make.
pub(crate) struct ProviderCall {
    pub(crate) request: FetchRequest,
    /// The provider's cache before the call.
    pub(crate) cache: CachedValues,
    /// How many requests may run beside the first.
    pub(crate) beside: u32,
}

impl CaseRunner {
    /// A case runner for a provider. Compiled components are cached in `cache`.
    ///
    /// # Errors
    /// If the engine or the network cannot be set up, or the provider asks for something that this version does not
    /// support.
    pub fn new(file: ComponentFile, cache: Option<Cache>) -> Result<Self, CaseRunnerError> {
        Self::with_compiler(Compiler::default(), file, cache)
    }

    /// The same, with another compiler, for example one in a process of its own.
    ///
    /// # Errors
    /// As [`CaseRunner::new`].
    pub fn with_compiler(
        compiler: Compiler,
        file: ComponentFile,
        cache: Option<Cache>,
    ) -> Result<Self, CaseRunnerError> {
        let max_in_flight = AT_A_TIME as u32;
        let options = HostOptions { cache, max_in_flight, compiler, ..HostOptions::default() };
        let (host, metered) = (PluginHost::new(options.clone())?, PluginHost::with_metering(options)?);
        // These plugins fetch nothing, so they need no settings.
        let mut bare = file.manifest.clone();
        bare.config.clear();
        let prepared = [&host, &metered].map(|host| host.load(&file, bare.clone(), Grants::default()));
        Ok(Self {
            secrets: CaseSecrets::new(&file.manifest)?,
            prepared: prepared.into_iter().collect::<Result<_, _>>()?,
            file,
            host,
            metered,
            authority: Arc::new(Authority::new()?),
        })
    }

    /// Compiles the component if that was not done before. If it fails, the calls report the error.
    pub async fn prepare(&self) {
        join_all(self.prepared.iter().map(Plugin::prepare)).await;
    }

    /// Runs cases side by side. Each is run twice: as in production, and once more to count its instructions.
    pub async fn run(&self, cases: &[Case]) -> RunReport {
        let begun = Instant::now();
        // Once, not at each first call.
        self.prepare().await;
        let reports = stream::iter(cases.iter().map(|case| self.run_case(case))).buffered(AT_A_TIME).collect().await;
        RunReport {
            provider: self.file.manifest.name.clone(),
            version: self.file.manifest.version.clone(),
            digest: self.file.digest.clone(),
            cases: reports,
            duration: begun.elapsed(),
        }
    }

    async fn run_case(&self, case: &Case) -> CaseReport {
        let measured = async {
            // A call that ends only by its timeout has no count of instructions.
            if case.is_endless() { None } else { self.make_calls(&self.metered, case).await.ok() }
        };
        let (performed, measured) = tokio::join!(self.make_calls(&self.host, case), measured);
        let mut report = CaseReport {
            name: case.name.clone(),
            path: case.path.clone(),
            problems: Vec::new(),
            outcome: None,
            figures: Figures::default(),
            shares: Figures::default().shares(&self.file.manifest.limits),
            notes: Vec::new(),
            log: Vec::new(),
        };
        match performed {
            Err(error) => report.problems.push(Problem::new(format!("the provider does not load: {error}"))),
            Ok(CaseRun { outcome, figures, log, problems }) => {
                let instructions = measured.and_then(|measured| measured.figures.instructions);
                report.figures = Figures { instructions, ..figures };
                report.shares = report.figures.shares(&self.file.manifest.limits);
                report.notes = report.figures.notes(&self.file.manifest.limits);
                report.log = log;
                report.outcome = outcome;
                report.problems = problems;
            }
        }
        report
    }

    /// Makes the calls of a case, each with its script, up to the first that is not as expected.
    async fn make_calls(&self, host: &PluginHost, case: &Case) -> Result<CaseRun, CaseRunnerError> {
        let mut state = CallState::before(case);
        let (mut figures, mut log) = (None, Vec::new());
        for (index, call) in case.before.iter().enumerate() {
            let (run, cache) = self.make_call(host, case, call, &state).await?;
            figures = Some(run.figures.after(figures));
            log.extend(run.log);
            if !run.problems.is_empty() {
                let place =
                    |problem: Problem| Problem { what: format!("call {}: {}", index + 1, problem.what), ..problem };
                let problems = run.problems.into_iter().map(place).collect();
                return Ok(CaseRun { outcome: None, problems, figures: figures.unwrap_or_default(), log });
            }
            if let Some(outcome) = &run.outcome {
                state = state.after(outcome, cache);
            }
        }
        let (run, _) = self.make_call(host, case, &case.last, &state).await?;
        log.extend(run.log);
        Ok(CaseRun { figures: run.figures.after(figures), log, ..run })
    }

    async fn make_call(
        &self,
        host: &PluginHost,
        case: &Case,
        call: &Call,
        state: &CallState,
    ) -> Result<(CaseRun, CachedValues), CaseRunnerError> {
        let script = Script::new(call, case.order, self.secrets.clone());
        let setup = ProviderSetup { manifest: self.file.manifest.clone(), config: &case.config };
        let provider_call = self.provider_call(case, call, state);
        let FinishedCall { fetch, duration, server, cache } =
            self.call_provider(host, setup, script, provider_call, &Notify::new()).await?;
        let fetch = fetch.ok_or_else(|| io::Error::other("the call was stopped"))?;
        let script = server.responder();
        let mut problems = script.problems();
        if !script.is_derailed() {
            problems.extend(compare::problems(&call.expect, &fetch.report.outcome));
        }
        let figures = Figures { instructions: fetch.usage.instructions, ..figures(&fetch, duration) };
        let log = fetch.lines.into_iter().map(|line| line.json).collect();
        Ok((CaseRun { outcome: Some(fetch.report.outcome), figures, log, problems }, cache))
    }

    /// A call of a case, after the calls that left this state.
    pub(crate) fn provider_call(&self, case: &Case, call: &Call, state: &CallState) -> ProviderCall {
        let limits = &self.file.manifest.limits;
        let timeout = limits.fetch_timeout;
        let timeout = if call.is_endless() { timeout.min(self.patience()) } else { timeout };
        let request = FetchRequest {
            id: case.item.id.clone(),
            params: case.item.params.clone(),
            attempt: case.item.attempt,
            day: case.item.day,
            timeout,
            resume: state.resume.clone(),
        };
        // In order is one after another.
        let beside = if case.order == Order::InOrder { 0 } else { limits.max_concurrency.get() - 1 };
        ProviderCall { request, cache: state.cache.clone(), beside }
    }

    /// The timeout of a response without an end.
    pub(crate) fn patience(&self) -> Duration {
        PATIENCE * u32::try_from(1 + (self.file.bytes.len() >> 20)).unwrap_or(u32::MAX)
    }

    /// Calls the provider against a server that the responder answers for, to the call's end or until `enough` is
    /// notified.
    pub(crate) async fn call_provider<D: Responder>(
        &self,
        host: &PluginHost,
        setup: ProviderSetup<'_>,
        responder: D,
        call: ProviderCall,
        enough: &Notify,
    ) -> Result<FinishedCall<D>, CaseRunnerError> {
        let server = Server::start(responder, Arc::clone(&self.authority)).await?;
        let world = TestEnvironment::new(server.address(), self.authority.certificate())?;
        let plugin = self.plugin(host, setup, world)?;
        plugin.restore_cache(&call.cache);
        // Compile before the measured call. If that fails, the call reports the error.
        let _ = plugin.prepare().await;
        let begun = Instant::now();
        let fetch = tokio::select! {
            fetch = plugin.fetch_traced(call.request, Permits::new(call.beside)) => Some(fetch),
            () = enough.notified() => None,
        };
        Ok(FinishedCall { fetch, duration: begun.elapsed(), server, cache: plugin.cached_values() })
    }

    fn plugin(&self, host: &PluginHost, setup: ProviderSetup<'_>, world: TestEnvironment) -> Result<Plugin, LoadError> {
        let ProviderSetup { manifest, config } = setup;
        let private = private_origins(&self.file.manifest, config);
        // A secret may go to the manifest's own hosts, and to those that the settings name.
        let receivers = self.file.manifest.egress.hosts.iter().cloned();
        let receivers: Vec<String> = receivers.chain(private.iter().map(ToString::to_string)).collect();
        let grants = Grants {
            hosts: manifest.egress.hosts.clone(),
            secrets: self.secrets.bindings(&receivers),
            private: private.into_iter().collect(),
            config: config.clone(),
            proxy: None,
        };
        host.load_for_test(&self.file, manifest, grants, world)
    }

    /// The host with the options of production.
    pub(crate) fn host(&self) -> &PluginHost {
        &self.host
    }
}

/// The origins that settings name and that a manifest's hosts do not cover, as an operator would grant them by name: a
/// local API's base URL.
fn private_origins(manifest: &Manifest, config: &BTreeMap<String, String>) -> BTreeSet<Origin> {
    let covered = |origin: &Origin| {
        let is_plain_https = origin.is_https() && origin.port() == 443;
        is_plain_https && manifest.egress.hosts.iter().any(|host| host == origin.host())
    };
    let settings = manifest.config.iter().filter(|(key, _)| !config.contains_key(*key)).chain(config);
    let origins = settings.filter_map(|(_, value)| Origin::of(&Url::parse(value).ok()?));
    origins.filter(|origin| !covered(origin)).collect()
}

/// The figures of a call, without its instructions.
pub(crate) fn figures(fetch: &TracedFetch, duration: Duration) -> Figures {
    let received = |trace: &damper_plugins::RequestTrace| trace.response_bytes as u64;
    Figures {
        duration_ms: duration.as_secs_f64() * 1_000.0,
        computed_ms: fetch.usage.computed.as_secs_f64() * 1_000.0,
        slept_ms: fetch.usage.slept.as_secs_f64() * 1_000.0,
        instructions: None,
        peak_memory_bytes: fetch.usage.peak_memory_bytes,
        requests: fetch.report.requests,
        sent_bytes: fetch.requests.iter().map(|trace| trace.request_bytes as u64).sum(),
        received_bytes: fetch.requests.iter().map(received).sum(),
        largest_response_bytes: fetch.requests.iter().map(received).max().unwrap_or_default(),
    }
}
