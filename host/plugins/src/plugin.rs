//! A provider that is ready to fetch: each fetch runs in a fresh instance in a store of its own, which never outlives
//! the call.

mod load_error;
mod outcome;
mod shared_host;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use damper_core::day::Day;
use damper_core::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use damper_core::manifest::{Limits, Manifest};
use damper_core::record::{Failure, FailureKind, Fetched};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::ProviderPre;
use crate::bindings::damper::provider::types;
use crate::call::{GuestCall, LogLine, Output, Times, Usage};
use crate::capture::{CaptureLevel, RequestLogEntry, RequestTrace};
use crate::credentials::Credentials;
use crate::egress::EgressPolicy;
use crate::engine::{ComponentSource, LazyComponent, MarkedComponent, MarkedItem};
use crate::grants::{Grants, Origin};
use crate::http_client::{Connections, HttpClient};
use crate::instance::{CachedValues, ProviderCache, SharedContext, StoreData};
use crate::memory::{BudgetShare, HostMemory, max_call_bytes};
use crate::redaction::Scrubber;
use crate::test_environment::TestEnvironment;
pub use load_error::LoadError;
use outcome::MemoryLimit;
pub(crate) use shared_host::SharedHost;

/// The overhead of handing over a record.
const HOSTCALL_SPARE_BYTES: usize = 64 << 10;
/// The most handles that a guest may hold.
const MAX_HANDLES: usize = 1_000;

/// A provider that is ready to fetch.
///
/// A [`Pipeline`](damper_core::pipeline::Pipeline) uses it as a [`Fetcher`]. This fetch returns a trace, too:
///
/// ```no_run
/// # async fn example(plugin: damper_plugins::Plugin) -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use damper_core::fetcher::{FetchRequest, Permits};
/// # let (day, timeout) = ("2026-11-22".parse()?, Duration::from_secs(30));
/// let request = FetchRequest { id: "42".to_owned(), params: Default::default(), attempt: 1, day, timeout, resume: None };
/// // Up to three requests may be in flight beside the first one.
/// let fetch = plugin.fetch_traced(request, Permits::new(3)).await;
/// match fetch.report.outcome {
///     Ok(record) => println!("{} bytes of {}", record.body.len(), record.content_type),
///     Err(failure) => println!("{failure}"), // for example "not found: no such record (status 404)"
/// }
/// println!("{} requests, {} bytes of memory", fetch.report.requests, fetch.usage.peak_memory_bytes);
/// # Ok(())
/// # }
/// ```
pub struct Plugin {
    host: Arc<SharedHost>,
    component: Arc<LazyComponent>,
    shared: Arc<SharedContext>,
    name: String,
    /// Its mark while it runs.
    marked: MarkedComponent,
    limits: Limits,
    /// The memory of its instances.
    guest_memory: Arc<BudgetShare>,
    /// The memory that the host holds for its calls.
    host_memory: Arc<BudgetShare>,
    /// The part of that for one instance.
    instance_bytes: usize,
}

/// A fetch with everything that it did, for a person to look at.
#[derive(Debug, Clone)]
pub struct TracedFetch {
    /// How it ended.
    pub report: FetchReport,
    /// The requests it sent, each hop of a redirect one of its own, in the order in which they ended.
    pub requests: Vec<RequestTrace>,
    /// The number of requests that are missing there, or not whole, because there were too many or too large ones.
    pub left_out: usize,
    /// The provider's output.
    pub lines: Vec<LogLine>,
    /// The resources that it used.
    pub usage: Usage,
}

impl Plugin {
    pub(crate) fn new(
        host: &Arc<SharedHost>,
        source: ComponentSource,
        manifest: Manifest,
        grants: Grants,
        environment: Option<TestEnvironment>,
    ) -> Result<Self, LoadError> {
        let config = config(&manifest, &grants)?;
        let scrubber = Arc::<Scrubber>::default();
        let (sharing, counting) = (host.token_sharing.as_ref(), &host.key_counting);
        let credentials = Credentials::new(&manifest, &grants, &scrubber, sharing, counting)?;
        let origins = |hosts: &[String]| hosts.iter().map(|host| Origin::https(host)).collect::<Result<Vec<_>, _>>();
        let is_test = environment.is_some();
        let connections = Connections::new(&manifest.limits, &grants, Arc::clone(&host.resolver), environment)?;
        let (name, version) = (manifest.name, manifest.version);
        let agent = format!("damper/{} ({}/{version})", env!("CARGO_PKG_VERSION"), manifest.component);
        let client = HttpClient {
            provider: name.clone(),
            user_agent: agent.parse().unwrap_or(http::HeaderValue::from_static("damper")),
            policy: EgressPolicy::new(origins(&manifest.egress.hosts)?, origins(&grants.hosts)?, grants.private),
            credentials,
            scrubber: Arc::clone(&scrubber),
            connections,
            response_bytes: manifest.limits.response_bytes,
            echoes: AtomicU64::new(0),
        };
        let instance_bytes = source.instance_bytes();
        let component = host.components.add(&manifest.component, source);
        let (guest_memory, host_memory) = (host.guest_memory.share(), host.host_memory.share());
        let cache = ProviderCache::new(Arc::clone(&host_memory));
        let shared = Arc::new(SharedContext { client, cache, config, scrubber, is_test });
        let marked = MarkedComponent::new(&name, component.digest());
        let host = Arc::clone(host);
        let limits = manifest.limits;
        Ok(Self { host, component, shared, name, marked, limits, guest_memory, host_memory, instance_bytes })
    }

    /// The component's mark while it runs, see [`CrashMarks`](crate::CrashMarks).
    #[must_use]
    pub fn marked_component(&self) -> MarkedComponent {
        self.marked
    }

    /// Compiles the component now, or reads it compiled, rather than with the first fetch.
    ///
    /// # Errors
    /// If the component cannot run here; each fetch would fail as `broken` with the same message.
    pub async fn prepare(&self) -> Result<(), Failure> {
        let prepared = self.component.get_or_prepare(&self.host.components).await;
        prepared.map(drop).map_err(|why| Failure::new(FailureKind::Broken, why))
    }

    /// Fetches one record and returns a trace of everything that the provider did.
    pub async fn fetch_traced(&self, request: FetchRequest, permits: Permits) -> TracedFetch {
        self.fetch_with_capture(CaptureLevel::Trace, request, permits).await
    }

    async fn fetch_with_capture(
        &self,
        capture_level: CaptureLevel,
        request: FetchRequest,
        permits: Permits,
    ) -> TracedFetch {
        let call = self.new_call(&request, permits, capture_level);
        let (report, log_entries, left_out) = self.run(&call, request).await;
        let requests = log_entries.into_iter().map(|entry| entry.into_trace(&self.shared.scrubber)).collect();
        TracedFetch { report, requests, left_out, lines: call.output.take_lines(), usage: call.usage() }
    }

    /// Fetches one record and keeps every exchange whole, without secrets: for a case, or to examine a failure.
    pub async fn fetch_recorded(&self, request: FetchRequest, permits: Permits) -> TracedFetch {
        self.fetch_with_capture(CaptureLevel::Whole, request, permits).await
    }

    /// The values that the provider's calls have cached.
    #[must_use]
    pub fn cached_values(&self) -> CachedValues {
        self.shared.cache.values(tokio::time::Instant::now())
    }

    /// Stores values that the calls of another plugin have cached.
    pub fn restore_cache(&self, values: &CachedValues) {
        self.shared.cache.restore(values, tokio::time::Instant::now());
    }

    fn new_call(&self, request: &FetchRequest, permits: Permits, capture_level: CaptureLevel) -> Arc<GuestCall> {
        let output = Output::new(&self.name, &request.id, capture_level != CaptureLevel::Bundle);
        let times = Times { timeout: request.timeout, longest_response: self.limits.fetch_timeout };
        let memory = HostMemory::new(Arc::clone(&self.host_memory), self.limits.response_bytes);
        GuestCall::new(output, permits, times, capture_level, memory)
    }

    /// Runs a call to its end or its timeout. Returns the report, the request log, and the number of requests that are
    /// missing in the log.
    async fn run(&self, call: &Arc<GuestCall>, request: FetchRequest) -> (FetchReport, Vec<RequestLogEntry>, usize) {
        let timeout = request.timeout;
        let marks = self.host.execution_marks.as_ref();
        let marks = marks.map(|marks| (marks, MarkedItem::new(&(&request.id, &request.params))));
        let outcome = {
            let mut guest = pin!(self.call_guest(call, request));
            // Its output is written whenever it yields, and never while it runs.
            let guest = pin!(poll_fn(|context| {
                let begun = call.on_guest_poll();
                let polled = guest.as_mut().poll(context);
                call.on_guest_poll_end(begun, polled.is_pending());
                call.output.flush(&self.shared.scrubber);
                polled
            }));
            let mut driven = pin!(call.driver.drive(guest));
            let driven = poll_fn(|context| {
                let _marked = marks.map(|(marks, item)| marks.mark(self.marked, item));
                driven.as_mut().poll(context)
            });
            let ended = tokio::time::timeout(timeout, driven).await;
            // At the timeout the instance is dropped with its store, wherever it is.
            ended.unwrap_or_else(|_| Err(outcome::timeout_failure(call, timeout)))
        };
        call.output.finish(&self.shared.scrubber);
        let summary = call.take_summary();
        let outcome = match summary.failure {
            // This failure counts, even if the guest returns another outcome.
            Some(failure) if failure.kind == FailureKind::Broken || outcome.is_err() => Err(failure),
            // A record counts, although a credential failed.
            Some(_) => outcome,
            None if summary.is_out_of_quota && outcome.is_err() => {
                Err(Failure::new(FailureKind::OutOfQuota, "the day's quota of requests is spent"))
            }
            None => outcome,
        };
        if outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Unauthorized) {
            self.shared.cache.clear();
        }
        let report = FetchReport {
            outcome,
            requests: summary.requests,
            unanswered_since: summary.unanswered_since,
            exchanges: Vec::new(),
        };
        (report, summary.log_entries, summary.left_out)
    }

    /// One call in a fresh instance.
    async fn call_guest(&self, call: &Arc<GuestCall>, request: FetchRequest) -> Result<Fetched, Failure> {
        let broken = |why| Failure::new(FailureKind::Broken, why);
        let component = self.component.get_or_prepare(&self.host.components).await.map_err(broken)?;
        let permit = self.host.components.acquire_instance(component).await;
        let _permit = permit.ok_or_else(|| broken("the plugin host has ended".to_owned()))?;
        call.reserve_instance(self.instance_bytes).await?;
        let mut store = self.new_store(call, component, request.day);
        let instance = match component.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err(outcome::start_failure(call, &self.memory_limit(), &error)),
        };
        call.on_guest_start();
        let returned = instance.call_fetch_record(&mut store, &guest_request(request)).await;
        if let Some(left) = store.get_fuel().ok().filter(|_| self.host.components.counts_instructions()) {
            call.record_instructions(u64::MAX - left);
        }
        match returned {
            Ok(Ok(fetched)) => {
                // The guest's memory is freed before its record waits for anything.
                drop(store);
                outcome::check_record(call, fetched, &self.limits, &self.shared.scrubber).await
            }
            Ok(Err(failure)) => Err(outcome::convert_failure(failure, &self.shared.scrubber)),
            Err(error) => Err(outcome::trap_failure(call, &self.memory_limit(), &self.shared.scrubber, &error)),
        }
    }

    /// The memory that an instance may have.
    fn memory_limit(&self) -> MemoryLimit {
        let manifest = usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX);
        let process = self.guest_memory.largest();
        if manifest <= process { MemoryLimit::Manifest(manifest) } else { MemoryLimit::Process(process) }
    }

    fn new_store(&self, call: &Arc<GuestCall>, component: &ProviderPre<StoreData>, day: Day) -> Store<StoreData> {
        let memory_bytes = self.memory_limit().bytes();
        let guest_memory = Arc::clone(&self.guest_memory);
        let state = StoreData::new(Arc::clone(&self.shared), Arc::clone(call), memory_bytes, guest_memory, day);
        let mut store = Store::new(component.engine(), state);
        store.limiter_async(|state| state);
        store.set_max_component_handles(MAX_HANDLES);
        // The most that a guest hands over at a time: the smaller limit of its memory and the host's. A record that is
        // too large is then reported as such, and lists that point to the same bytes again and again are not copied
        // forever.
        let host_bytes = max_call_bytes(&self.host_memory, self.limits.response_bytes);
        store.set_hostcall_fuel(memory_bytes.min(host_bytes).saturating_add(HOSTCALL_SPARE_BYTES));
        if self.host.components.counts_instructions() {
            // Only an engine without metering refuses fuel.
            let _ = store.set_fuel(u64::MAX);
        }
        store.set_epoch_deadline(1);
        // A guest that computes yields at each tick; the timeout around the call ends it.
        store.epoch_deadline_callback(|store| {
            store.data().call.on_epoch_tick();
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }
}

#[async_trait]
impl Fetcher for Plugin {
    async fn prepare(&self) {
        if let Err(failure) = Self::prepare(self).await {
            tracing::debug!(provider = self.name, %failure, "the component could not be prepared; each fetch fails with the reason");
        }
    }

    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        let call = self.new_call(&request, permits, CaptureLevel::Bundle);
        let (report, log_entries, _) = self.run(&call, request).await;
        if report.outcome.is_ok() {
            return report;
        }
        let exchange = |entry: RequestLogEntry| entry.into_trace(&self.shared.scrubber).into_exchange();
        FetchReport { exchanges: log_entries.into_iter().filter_map(exchange).collect(), ..report }
    }

    async fn return_unsent(&self) {
        self.shared.client.credentials.return_unsent().await;
    }

    fn digest(&self) -> &str {
        self.component.digest()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("digest", &self.digest()).finish_non_exhaustive()
    }
}

/// The settings that the component may read: the operator's, else the manifest's defaults.
fn config(manifest: &Manifest, grants: &Grants) -> Result<std::collections::BTreeMap<String, String>, LoadError> {
    let provider = &manifest.name;
    if let Some(key) = grants.config.keys().find(|key| !manifest.config.contains_key(*key)) {
        let known: Vec<&str> = manifest.config.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(LoadError::ConfigUnknown { provider: provider.clone(), key: key.clone(), known });
    }
    let mut config = manifest.config.clone();
    config.extend(grants.config.clone());
    match config.iter().find(|(_, value)| value.is_empty()) {
        Some((key, _)) => Err(LoadError::ConfigMissing { provider: provider.clone(), key: key.clone() }),
        None => Ok(config),
    }
}

fn guest_request(request: FetchRequest) -> types::FetchRequest {
    types::FetchRequest {
        id: request.id,
        params: request.params.into_iter().collect(),
        attempt: request.attempt,
        day: request.day.to_string(),
        deadline_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
        resume: request.resume.map(Into::into),
        extras: Vec::new(),
    }
}
