//! Runs the pipeline of production, with its limiter, its governor and its ledger, in virtual time.
//!
//! ```text
//!   Shard --batch--> Poller --process--> damper_core::pipeline::Pipeline --fetch--> SimulatedFetcher --call--> Api
//!     ^                |                     |            |
//!     +---checkpoint---+                     |            +--> ledger and sink in memory
//!                      ^                     v
//!                      +--- batch size --- MemoryMapping, whose changes take a while
//! ```
//!
//! Only what is outside of the pipeline is simulated. tokio's clock is paused and moves on by itself when nothing can
//! run, so that an hour takes seconds; chance is seeded, and the same seed gives the same bytes.

mod article;
mod books;
mod fetcher;
mod manifest;
mod mapping_requests;
mod poller;
mod shard;
mod shifted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::manifest::{Manifest, ManifestError};
use damper_core::pipeline::{Pipeline, Stores};
use damper_core::random::RandomSource;
use damper_core::sink::Compression;
use damper_core::testing::mapping::MemoryMapping;
use damper_core::testing::memory::MemoryLedger;
use jiff::Timestamp;
use object_store::memory::InMemory;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use books::Books;
pub use mapping_requests::MappingRequests;

use crate::algorithm::Algorithm;
use crate::api::Api;
use crate::locks::lock;
use crate::pipeline_run::article::ArticleMapping;
use crate::pipeline_run::fetcher::SimulatedFetcher;
use crate::pipeline_run::manifest::manifest;
use crate::pipeline_run::poller::Poller;
use crate::pipeline_run::shard::Shard;
use crate::pipeline_run::shifted::Shifted;
use crate::record::{Record, Recorder};
use crate::scenario::{Feeding, Scenario};

/// The start of simulations: a Monday at noon, in the past.
const BEGIN: &str = "2026-01-05T12:00:00Z";

/// The result of a run of the whole pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// The record of the calls at the API.
    pub record: Record,
    /// The ends of all items.
    pub books: Books,
    /// The requests at the control plane.
    pub mapping_requests: MappingRequests,
}

/// Why a simulation could not be run.
#[derive(Debug, thiserror::Error)]
pub enum PipelineRunError {
    /// The scenario makes no manifest that the pipeline takes.
    #[error("scenario {scenario:?} does not give a valid manifest: {error}")]
    Manifest {
        /// Which.
        scenario: String,
        /// The manifest's error.
        error: ManifestError,
    },
    /// The machine gives no runtime.
    #[error("the simulation's runtime was not built: {0}")]
    Runtime(#[from] std::io::Error),
    /// The books do not balance: the pipeline has lost or doubled an item, or the simulator counts wrong.
    #[error("the books do not balance: {0}")]
    Books(String),
}

/// Run the whole pipeline through a scenario, with one of the algorithms in the limiter's place.
///
/// # Errors
/// If the pipeline does not support the scenario, or the books do not balance at the end.
pub fn run(scenario: &Scenario, algorithm: Algorithm, seed: u64) -> Result<PipelineRun, PipelineRunError> {
    let manifest =
        manifest(scenario).map_err(|error| PipelineRunError::Manifest { scenario: scenario.name.clone(), error })?;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    // Within the runtime, so that no clock but its own is ever read.
    runtime.block_on(async { RunSetup::new(scenario, algorithm, seed, &manifest).run().await })
}

/// All that takes part in a run: one API, and a client or more.
struct RunSetup<'a> {
    scenario: &'a Scenario,
    began: Instant,
    recorder: Arc<Mutex<Recorder>>,
    clients: Vec<Arc<PipelineClient>>,
}

/// One client of the API, with a pipeline, a shard and stores of its own.
struct PipelineClient {
    pipeline: Arc<Pipeline>,
    mapping: Arc<MemoryMapping>,
    article: Option<Arc<ArticleMapping>>,
    ledger: Arc<MemoryLedger>,
    sink: Arc<InMemory>,
    poller: Poller,
}

impl<'a> RunSetup<'a> {
    fn new(scenario: &'a Scenario, algorithm: Algorithm, seed: u64, manifest: &Manifest) -> Self {
        let clients = usize::try_from(scenario.clients).unwrap_or(1);
        let recorder = Arc::new(Mutex::new(Recorder::new(&scenario.plan, clients)));
        let api = Arc::new(Mutex::new(Api::new(scenario.plan.clone(), seed)));
        let mut setup = Self { scenario, began: Instant::now(), recorder, clients: Vec::new() };
        let clock = WallClock::from_epoch(BEGIN.parse().unwrap_or(Timestamp::UNIX_EPOCH));
        for client in 0..scenario.clients {
            setup.add_client(
                algorithm,
                client,
                &clock,
                RandomSource::from_seed(seed.wrapping_add(u64::from(client))),
                manifest,
                &api,
            );
        }
        setup
    }

    /// Adds a client.
    fn add_client(
        &mut self,
        algorithm: Algorithm,
        client: u32,
        clock: &WallClock,
        chance: RandomSource,
        manifest: &Manifest,
        api: &Arc<Mutex<Api>>,
    ) {
        let scenario = self.scenario;
        let ledger = MemoryLedger::new();
        let ledger = Arc::new(if scenario.mapping.parking { ledger.parking() } else { ledger });
        let sink = Arc::new(InMemory::new());
        let mapping = Arc::new(MemoryMapping::new(scenario.mapping.start_batch, scenario.mapping.lag));
        let article = (algorithm == Algorithm::Article)
            .then(|| Arc::new(ArticleMapping::new(Arc::clone(&mapping), scenario.max_concurrency)));
        let (number, recorder) = (self.clients.len(), Arc::clone(&self.recorder));
        let fetcher =
            Arc::new(SimulatedFetcher::new(scenario, Arc::clone(api), number, self.began, recorder, article.clone()));
        let stores = Stores {
            ledger: ledger.clone(),
            sink: sink.clone(),
            compression: Compression::None,
            mapping: article.clone().map_or_else(|| mapping.clone() as _, |article| article as _),
            clock: clock.clone(),
            random: chance,
        };
        let manifest = manifest.clone();
        let pipeline = match algorithm {
            Algorithm::Damper => Pipeline::new(manifest, fetcher, stores),
            peer => {
                // The article's batch is all in flight at once.
                let whole_batch = Algorithm::Fixed(scenario.max_concurrency);
                let peer = if peer == Algorithm::Article { whole_batch } else { peer };
                Pipeline::with_limiter(manifest, fetcher, stores, Shifted::for_client(scenario, peer, client, clock))
            }
        };
        let poller = Poller::new(Shard::new(scenario.work, clock.clone(), self.began), scenario.mapping.deadline);
        self.clients.push(Arc::new(PipelineClient { pipeline, mapping, article, ledger, sink, poller }));
    }

    async fn run(self) -> Result<PipelineRun, PipelineRunError> {
        let ends = self.began + self.scenario.duration;
        let mut beside = JoinSet::new();
        let mut pollers = JoinSet::new();
        for client in self.clients.iter().map(Arc::clone) {
            beside.spawn(tick(Arc::clone(&client), self.scenario.mapping.clone()));
            pollers.spawn(async move { client.poller.run(&client.pipeline, &client.mapping, ends).await });
        }
        beside.spawn(every_second(Watch {
            began: self.began,
            ends: self.scenario.duration,
            recorder: Arc::clone(&self.recorder),
            clients: self.clients.clone(),
        }));
        while pollers.join_next().await.is_some() {}
        beside.abort_all();
        let (mut books, mut mapping_requests) = (Books::default(), MappingRequests::default());
        for client in &self.clients {
            mapping_requests =
                mapping_requests.and(MappingRequests::at(&client.mapping, self.began, self.scenario.duration));
            let closed = Books::close(&client.poller.shard(), &client.ledger, &client.sink).await;
            books = books.and(closed.map_err(PipelineRunError::Books)?);
        }
        let record = std::mem::replace(&mut *lock(&self.recorder), Recorder::new(&self.scenario.plan, 1));
        Ok(PipelineRun { record: record.finish(self.scenario.duration), books, mapping_requests })
    }
}

/// The tick, which comes whether there are batches or not: the governor's part of it, and what is parked.
async fn tick(client: Arc<PipelineClient>, mapping: Feeding) {
    loop {
        tokio::time::sleep(mapping.tick).await;
        // If the ledger or the mapping refuses an operation, the next tick tries it again.
        let _ = client.pipeline.tick().await;
        let deadline = Instant::now() + mapping.deadline;
        if let Ok(report) = client.pipeline.process_parked(deadline, &CancellationToken::new()).await {
            lock(&client.poller.shard()).finish(&report);
        }
    }
}

/// The task that reads the state of a run once a second.
struct Watch {
    began: Instant,
    ends: Duration,
    recorder: Arc<Mutex<Recorder>>,
    clients: Vec<Arc<PipelineClient>>,
}

async fn every_second(watch: Watch) {
    let whole = watch.ends.as_secs();
    for second in 0..whole {
        tokio::time::sleep_until(watch.began + Duration::from_secs(second)).await;
        let now = watch.began.elapsed();
        for client in &watch.clients {
            if let Some(article) = &client.article {
                article.decide(now).await;
            }
        }
        let mut recorder = lock(&watch.recorder);
        for client in &watch.clients {
            recorder.record_reading(now, &client.pipeline.limiter_snapshot());
        }
        // Of several clients the first one's batches, and all that is pending.
        let mapping = watch.clients.first().map(|client| client.mapping.now());
        let batch_size = mapping.map(|mapping| if mapping.enabled { mapping.batch_size } else { 0 });
        let pending = watch.clients.iter().map(|client| lock(&client.poller.shard()).pending()).sum();
        recorder.record_batch(now, batch_size, pending);
    }
}

#[cfg(test)]
mod tests;
