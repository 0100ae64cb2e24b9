//! One process: pipelines of all providers, pollers for all shards, ticks and ad-hoc fetches. It dies and is started
//! again.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use damper_core::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use damper_core::item::{Entry, Item, Params, SequenceNumber};
use damper_core::manifest::Manifest;
use damper_core::mapping::Mapping;
use damper_core::pipeline::report::{Report, Stopped};
use damper_core::pipeline::{DueSender, Pipeline, Stores, due_entries};
use damper_core::random::RandomSource;
use damper_core::record::{Failure, FailureKind, Fetched};
use damper_core::sink::Compression;
use damper_core::testing::faults::{Fault, FaultyLedger, FaultyMapping, FaultySink, Operation, Port, ProcessControl};
use futures::FutureExt;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::locks::lock;
use crate::swarm::api::{Reply, Request};
use crate::swarm::case::Theme;
use crate::swarm::invariants::Invariant;
use crate::swarm::shared::{Provider, Shared, instant};
use crate::swarm::store::RecordKey;
use crate::swarm::stream::LeasedShard;

/// How long until a poller looks again for entries, for a free stream and for an enabled mapping.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long it waits before it delivers again after a batch of which nothing ended.
const REDELIVER_AFTER: Duration = Duration::from_secs(1);
/// How long it takes in the cloud until the next invocation has begun.
const NEXT_INVOCATION: Duration = Duration::from_millis(50);
/// How long a local poller's lease of the stream lasts.
const LEASE: Duration = Duration::from_secs(6);
/// How long after the faults what is left waits for the next day.
const CALM_AFTER: Duration = Duration::from_secs(1_800);
const VERY_CALM_AFTER: Duration = Duration::from_secs(3 * 3_600);
/// How long a process takes to start again.
const RESTART: Duration = Duration::from_secs(3);

/// Run a process, and start it again whenever it has died.
pub(super) async fn supervise(shared: Arc<Shared>, process: usize) {
    for life in 0_u64.. {
        let port = Port::new(process, &shared.injector);
        let control = Arc::clone(port.control());
        let holder = process as u64 + 1_000 * life;
        let mut body = JoinSet::new();
        body.spawn(live(Arc::clone(&shared), port, holder));
        tokio::select! {
            biased;
            () = wait_for_death(&shared, process) => {}
            () = control.wait_for_kill() => {}
            () = run_freezes(&shared, process, &control) => {}
            _ = body.join_next() => {}
        }
        body.shutdown().await;
        shared.injector.trace(|| format!("process {process} has died"));
        shared.crashes.fetch_add(1, Ordering::Relaxed);
        if shared.case.setup.is_cloud {
            // An invocation that failed is known to have failed; a local poller's lease has to run out.
            let shards = shared.providers.iter().flat_map(|provider| &provider.shards).enumerate();
            shards.for_each(|(number, shard)| lock(shard).free(holder + 100 * number as u64));
        }
        sleep(RESTART).await;
    }
}

/// Returns when the plan lets the process die.
async fn wait_for_death(shared: &Shared, process: usize) {
    let now = shared.now();
    let deaths = shared.case.plan.faults.iter().filter_map(|fault| match fault {
        Fault::Death { process: whose, at } if *whose == process => Some(*at),
        _ => None,
    });
    // A new manifest begins with new processes.
    let deployments = shared.providers.iter().filter_map(|provider| provider.setup.moves_west);
    match deaths.chain(deployments).filter(|at| *at > now).min() {
        Some(at) => sleep_until(instant(shared, at)).await,
        None => std::future::pending().await,
    }
}

/// Freezes the process whenever the plan says so; never returns.
async fn run_freezes(shared: &Shared, process: usize, control: &Arc<ProcessControl>) {
    let now = shared.now();
    let mut freezes: Vec<(Duration, Duration)> = shared
        .case
        .plan
        .faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Freeze { process: whose, at, length } if *whose == process && *at > now => Some((*at, *length)),
            _ => None,
        })
        .collect();
    freezes.sort_unstable();
    for (at, length) in freezes {
        sleep_until(instant(shared, at)).await;
        shared.injector.trace(|| format!("process {process} freezes for {length:?}"));
        control.freeze(length);
    }
    std::future::pending().await
}

/// One life of a process.
async fn live(shared: Arc<Shared>, port: Port, holder: u64) {
    let mut tasks = JoinSet::new();
    let mut number = 0;
    for (provider, its) in shared.providers.iter().enumerate() {
        let worker = Worker::new(&shared, (provider, its), &port, holder);
        for shard in 0..its.shards.len() {
            // If shards have to share, each is delivered to a sandbox of its own, as in the cloud; else one sandbox is
            // enough for all.
            let is_apart = shared.case.setup.theme == Theme::Sharing && shard > 0;
            let own = || Worker::new(&shared, (provider, its), &port, holder + 10_000 * shard as u64);
            let worker = if is_apart { own() } else { worker.clone() };
            tasks.spawn(worker.deliver(shard, holder + 100 * number));
            number += 1;
        }
        tasks.spawn(worker.clone().tick());
        if let Some(every) = its.setup.ad_hoc_every {
            tasks.spawn(worker.fetch_beside(every));
        }
    }
    tasks.join_all().await;
}

/// Makes a new pipeline.
type Begin = dyn Fn() -> Arc<Pipeline> + Send + Sync;

/// One provider's pipeline in one process, and what works with it.
#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    provider: usize,
    port: Port,
    chance: RandomSource,
    pipeline: Arc<Mutex<Arc<Pipeline>>>,
    /// Makes a new pipeline.
    begin: Arc<Begin>,
    mapping: Arc<FaultyMapping>,
}

impl Worker {
    fn new(shared: &Arc<Shared>, (provider, its): (usize, &Provider), port: &Port, holder: u64) -> Self {
        let chance = RandomSource::from_seed(shared.case.seed ^ (holder * 64 + provider as u64));
        let mapping = Arc::new(FaultyMapping::new(its.mapping.clone(), port.clone()));
        let manifest = its.manifest(shared.now()).clone();
        let stores = Stores {
            ledger: Arc::new(FaultyLedger::new(shared.ledger.clone(), port.clone(), shared.slot_versions.clone())),
            sink: Arc::new(FaultySink::new(shared.sink.clone(), port.clone())),
            compression: Compression::None,
            mapping: mapping.clone(),
            clock: shared.clock(),
            random: chance.clone(),
        };
        let cold_start = its.setup.cold_start.mul_f64(chance.unit());
        let (shared_by_all, port_of_all) = (Arc::clone(shared), port.clone());
        let begin = move || {
            let (shared, port, manifest) = (Arc::clone(&shared_by_all), port_of_all.clone(), manifest.clone());
            *lock(&shared.begun_last) = shared.now();
            let ready = OnceCell::new();
            let fetcher = SwarmFetcher { shared, provider, port, manifest: manifest.clone(), cold_start, ready };
            Pipeline::new(manifest, Arc::new(fetcher), stores.clone())
        };
        Self {
            shared: Arc::clone(shared),
            provider,
            port: port.clone(),
            chance,
            pipeline: Arc::new(Mutex::new(begin())),
            begin: Arc::new(begin),
            mapping,
        }
    }

    fn provider_state(&self) -> Option<&Provider> {
        self.shared.providers.get(self.provider)
    }

    fn pipeline(&self) -> Arc<Pipeline> {
        Arc::clone(&lock(&self.pipeline))
    }

    /// The governor's ticks, for ever. In the cloud a tick works at what is parked, too.
    async fn tick(self) {
        let stop = CancellationToken::new();
        loop {
            sleep(self.shared.lengthen_pause(self.shared.case.setup.tick)).await;
            let pipeline = self.pipeline();
            // The next tick retries failed work.
            drop(pipeline.tick().await);
            let came = pipeline.process_parked(Instant::now() + self.deadline(), &stop).await;
            self.port.trace(|| format!("a tick: {came:?}"));
        }
    }

    /// How long one invocation may take.
    fn deadline(&self) -> Duration {
        let least =
            self.provider_state().map_or(Duration::ZERO, |its| its.setup.fetch_timeout * 2 + Duration::from_secs(20));
        self.shared.case.setup.deadline.max(least)
    }

    /// Fetches beside the batches, while faults last.
    async fn fetch_beside(self, every: Duration) {
        let Some(its) = self.provider_state() else { return };
        while self.shared.now() < self.shared.case.plan.ends {
            sleep(every.mul_f64(0.5 + self.chance.unit())).await;
            let position = (self.chance.unit() * its.setup.items.len() as f64) as usize;
            let Some(item) = its.setup.items.get(position) else { continue };
            let Ok(item) = Item::new(item.id(), Params::new()) else { continue };
            let came = self.pipeline().fetch_now(item, Instant::now() + self.shared.case.setup.deadline).await;
            self.port.trace(|| format!("ad hoc: {came:?}"));
        }
    }

    /// Delivers a shard's batches, for ever.
    async fn deliver(self, shard: usize, holder: u64) {
        let stop = CancellationToken::new();
        loop {
            let pause = match self.deliver_batch(shard, holder, &stop).await {
                Some(pause) => pause,
                None => self.shared.lengthen_pause(LOOK_AGAIN),
            };
            sleep(pause).await;
        }
    }

    /// At most one batch. Answers how long to wait; nothing if there was nothing to do, or a port has failed.
    async fn deliver_batch(&self, shard: usize, holder: u64, stop: &CancellationToken) -> Option<Duration> {
        let its = self.provider_state()?;
        let state = self.mapping.read(&its.setup.name).await.ok()?;
        let is_drained = lock(its.shards.get(shard)?).pending() == 0;
        if !state.enabled || is_drained || !self.hold(shard, holder).await? {
            return None;
        }
        let entries: Vec<Entry> = {
            let (shared, provider) = (Arc::clone(&self.shared), self.provider);
            let (now, is_cloud) = (shared.clock.now(), shared.case.setup.is_cloud);
            let read = move || shared.shard(provider, shard, |shard| shard.batch(state.batch_size, now, is_cloud));
            self.stream(Operation::ReadBatch, read).await?
        };
        if entries.is_empty() {
            return None;
        }
        let deadline = Instant::now() + self.deadline();
        self.port
            .trace(|| format!("a batch of {} from {:?}", entries.len(), entries.first().map(|entry| &entry.sequence)));
        let (sender, due) = due_entries();
        let delivered = entries.iter().map(|entry| entry.sequence.clone()).collect();
        let pipeline = self.pipeline();
        let processing = pipeline.process_with_due(entries, due, deadline, stop);
        let report = tokio::select! {
            biased;
            report = self.while_holding(shard, holder, processing) => report,
            () = self.hand_in_due(shard, &sender, state.batch_size, delivered) => Report::default(),
        };
        self.port.trace(|| {
            let Report { ended, stopped, waiting, parked, taken_up, .. } = &report;
            let (ended, parked, taken_up) = (ended.len(), parked.len(), taken_up.len());
            format!(
                "the batch ended: {ended} of it, {parked} parked, {taken_up} taken up, {waiting:?} wait, {stopped:?}"
            )
        });
        let report = Arc::new(report);
        let failed = matches!(report.stopped, Some(Stopped::Storage(_)));
        if failed && self.shared.case.setup.is_restarted_on_failure {
            *lock(&self.pipeline) = (self.begin)();
            self.shared.crashes.fetch_add(1, Ordering::Relaxed);
        }
        let has_ended = {
            let (shared, provider, report) = (Arc::clone(&self.shared), self.provider, Arc::clone(&report));
            let finish = move || shared.shard(provider, shard, |shard| shard.finish(holder, &report));
            self.stream(Operation::Checkpoint, finish).await?
        };
        let gated = matches!(report.stopped, Some(Stopped::BreakerOpen | Stopped::WindowClosed | Stopped::QuotaSpent));
        if !has_ended && !failed {
            self.shared.on_fruitless_delivery(self.provider, shard);
        }
        Some(match has_ended && !gated {
            true => Duration::ZERO,
            // An invocation that has not ended its batch is followed by the next one.
            false if self.shared.case.setup.is_cloud && !failed => NEXT_INVOCATION,
            false => REDELIVER_AFTER,
        })
    }

    /// Hand the entries that become due in to the batch in progress, as the local poller does. Never ends.
    async fn hand_in_due(&self, shard: usize, batch: &DueSender, limit: u32, mut delivered: BTreeSet<SequenceNumber>) {
        loop {
            sleep(LOOK_AGAIN).await;
            if self.shared.case.setup.is_cloud || !batch.has_room() {
                continue;
            }
            let (shared, provider, known) = (Arc::clone(&self.shared), self.provider, delivered.clone());
            let now = shared.clock.now();
            let read = move || shared.shard(provider, shard, |shard| shard.due(limit, now, &known));
            let Some(due) = self.stream(Operation::ReadBatch, read).await.filter(|due| !due.is_empty()) else {
                continue;
            };
            self.port.trace(|| format!("{} entries are due and join the batch", due.len()));
            delivered.extend(due.iter().map(|entry| entry.sequence.clone()));
            // Those that the batch does not take are not in its report, and are due still.
            let _ = batch.try_send(due);
        }
    }

    /// Wait for `work` and renew the lease meanwhile.
    async fn while_holding(&self, shard: usize, holder: u64, work: impl Future<Output = Report>) -> Report {
        let renewing = async {
            loop {
                sleep(LEASE / 3).await;
                if !self.shared.case.setup.is_cloud {
                    self.hold(shard, holder).await;
                }
            }
        };
        tokio::select! {
            biased;
            report = work => report,
            () = renewing => Report::default(),
        }
    }

    /// Become, or stay, the one who delivers.
    async fn hold(&self, shard: usize, holder: u64) -> Option<bool> {
        let (shared, provider) = (Arc::clone(&self.shared), self.provider);
        let its = self.provider_state()?;
        // In the cloud an invocation is the only one until it has ended, which its death tells.
        let invocation = shared.case.setup.deadline.max(its.setup.fetch_timeout * 2) + Duration::from_secs(60);
        let lease = if shared.case.setup.is_cloud { invocation } else { LEASE };
        let now = shared.clock.now();
        let until = now.saturating_add(lease).unwrap_or(now);
        let hold = move || shared.shard(provider, shard, |shard| shard.hold(holder, now, until));
        self.stream(Operation::Hold, hold).await
    }

    /// Call the stream; nothing if that fails.
    async fn stream<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl Fn() -> Option<T> + Clone + Send + 'static,
    ) -> Option<T> {
        let run = || {
            let work = work.clone();
            async move { work().ok_or(()) }.boxed()
        };
        let late = || {
            let work = work.clone();
            async move { drop(work()) }.boxed()
        };
        self.port.call(operation, String::new, run, late, |_| ()).await.ok()
    }
}

impl Shared {
    /// How long to wait for what comes again and again: a minute at least where it is long since faults have ended, and
    /// five where it is very long, so that days pass quickly.
    fn lengthen_pause(&self, pause: Duration) -> Duration {
        let calm_for = self.now().saturating_sub(self.faults_end());
        let least = if calm_for > VERY_CALM_AFTER { 300 } else { 60 };
        if calm_for > CALM_AFTER { pause.max(Duration::from_secs(least)) } else { pause }
    }

    /// Do something with a shard.
    fn shard<T>(&self, provider: usize, shard: usize, work: impl FnOnce(&mut LeasedShard) -> T) -> Option<T> {
        let shard = self.providers.get(provider)?.shards.get(shard)?;
        Some(work(&mut lock(shard)))
    }
}

/// Fetches from a provider's API, for one process.
struct SwarmFetcher {
    shared: Arc<Shared>,
    provider: usize,
    port: Port,
    /// The manifest in force.
    manifest: Manifest,
    /// How long it takes to have the component ready.
    cold_start: Duration,
    ready: OnceCell<()>,
}

impl SwarmFetcher {
    /// Send a request. It is sent at once, also while the process is frozen: see `damper_core::testing::faults`.
    fn send(&self, request: &FetchRequest) -> Option<(Duration, Reply)> {
        let shared = &self.shared;
        let its = shared.providers.get(self.provider)?;
        let wall = shared.clock.now();
        let day = self.manifest.window.day(wall);
        let key = RecordKey { provider: its.setup.name.clone(), id: request.id.clone(), day: request.day.to_string() };
        if shared.is_finished(&key) {
            shared
                .report_violation(Invariant::NoRefetch, format!("{} is fetched again on {}", request.id, request.day));
        }
        if !self.manifest.window.is_open(wall) && !shared.has_steps() {
            shared.report_violation(Invariant::Window, format!("{} is requested at {wall}", request.id));
        }
        // A process that starts after the clock has leapt cannot know that the leap ended the leases of the other
        // processes' slots, and once it holds slots no process can find out: see docs/FAULTS.md.
        let begun_last = *lock(&shared.begun_last);
        let unknown_before = shared.leapt_before(begun_last).unwrap_or_default();
        let order = request.resume.as_deref().and_then(|order| std::str::from_utf8(order).ok()?.parse().ok());
        let (now, timeout) = (shared.now(), request.timeout);
        let arrived = Request { id: &request.id, order, now, day, timeout, unknown_before };
        let answer = lock(&its.api).receive(arrived);
        self.port.trace(|| format!("requests {}: {answer:?}", request.id));
        match answer {
            Ok(answer) => Some(answer),
            Err((invariant, what)) => {
                shared.report_violation(invariant, format!("{}: {what}", its.setup.name));
                None
            }
        }
    }
}

#[async_trait]
impl Fetcher for SwarmFetcher {
    async fn prepare(&self) {
        self.ready.get_or_init(|| sleep(self.cold_start)).await;
    }

    async fn fetch(&self, request: FetchRequest, permits: Permits) -> FetchReport {
        if !permits.budget().spend() {
            return FetchReport::new(Err(Failure::new(FailureKind::OutOfQuota, "the day's quota is spent")), 0);
        }
        let sent = Instant::now();
        let (takes, reply) = self.send(&request).unwrap_or((Duration::MAX, Reply::Silence));
        let is_answered = takes < request.timeout;
        sleep_until(sent + takes.min(request.timeout)).await;
        self.port.wait_until_thawed().await;
        let failed = |kind, status, retry_after| Err(Failure { status, retry_after, ..Failure::new(kind, "as drawn") });
        let outcome = match reply {
            _ if !is_answered => failed(FailureKind::TimedOut, None, None),
            Reply::Record => {
                let body = Bytes::from_static(b"{}");
                Ok(Fetched { content_type: "application/json".to_owned(), body, attributes: Vec::new() })
            }
            Reply::NotFound => failed(FailureKind::NotFound, Some(404), None),
            Reply::Malformed => failed(FailureKind::Malformed, Some(200), None),
            Reply::NotReady { order } => Err(Failure {
                retry_after: Some(Duration::from_secs(1 + order % 20)),
                resume: order.to_string().into_bytes().into(),
                ..Failure::new(FailureKind::NotReady, "as drawn")
            }),
            Reply::Unavailable => failed(FailureKind::Unavailable, Some(503), None),
            Reply::Throttled { retry_after } => failed(FailureKind::Throttled, Some(429), retry_after),
            Reply::Silence => failed(FailureKind::TimedOut, None, None),
        };
        FetchReport { unanswered_since: (!is_answered).then_some(sent), ..FetchReport::new(outcome, 1) }
    }

    fn digest(&self) -> &str {
        "sha256:swarm"
    }
}
