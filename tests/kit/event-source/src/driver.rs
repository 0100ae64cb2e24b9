//! The driver: polls the stream, invokes the function, moves the checkpoint. Decides nothing; [`Mapping`] and
//! [`Lifecycle`] do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{ConfigError, Lags, MappingConfig, Pace, StartingPosition};
use crate::event::{Identity, event, failure_document, failure_key};
use crate::lifecycle::{Change, Lifecycle, Refusal, State};
use crate::mapping::{Action, Answer, BatchId, Delivery, Discarded, Mapping};
use crate::stream::{Position, Stream};

/// How an invocation ended: the body of the answer, or what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The request id.
    pub request_id: String,
    /// The answer's body, or the function's error (`errorType: errorMessage`).
    pub result: Result<Bytes, String>,
}

/// A function that a mapping invokes.
#[async_trait]
pub trait Invoke: Send + Sync {
    /// Invokes once and waits for the answer. None: not invoked (throttled).
    async fn invoke(&self, event: Bytes) -> Option<Invocation>;
}

/// The parts of an event source.
pub struct Parts {
    /// The mapping's names.
    pub identity: Identity,
    /// Its configuration.
    pub config: MappingConfig,
    /// How quickly it moves.
    pub pace: Pace,
    /// How long its states lag.
    pub lags: Lags,
    /// The source of records.
    pub stream: Arc<dyn Stream>,
    /// The function.
    pub function: Arc<dyn Invoke>,
    /// The store for the documents of discarded records, with their payload, as to S3.
    pub on_failure: Option<Arc<dyn ObjectStore>>,
    /// The time of day.
    pub clock: Clock,
}

impl Parts {
    /// With AWS's defaults, no lag, no on-failure destination and a clock of its own.
    #[must_use]
    pub fn new(identity: Identity, stream: Arc<dyn Stream>, function: Arc<dyn Invoke>) -> Self {
        let (config, pace, lags) = (MappingConfig::default(), Pace::default(), Lags::default());
        Self { identity, config, pace, lags, stream, function, on_failure: None, clock: Clock::default() }
    }
}

/// A snapshot of an event source.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The state that the API reports.
    pub state: State,
    /// Whether it polls, whatever the API says.
    pub polls: bool,
    /// The values in force.
    pub config: MappingConfig,
    /// By shard: the last record before which nothing is unfinished.
    pub checkpoints: BTreeMap<String, Option<String>>,
    /// Batches in flight.
    pub in_flight: usize,
    /// Invocations so far, by what became of them.
    pub invocations: u64,
    /// Invocations that ended in a function error.
    pub function_errors: u64,
    /// Records delivered so far; a redelivered one counts each time.
    pub delivered: u64,
    /// The discarded records.
    pub discarded: Vec<Discarded>,
    /// `LastProcessingResult`.
    pub last_result: &'static str,
    /// Errors of the stream or the destination.
    pub troubles: Vec<String>,
}

struct SourceState {
    lifecycle: Lifecycle,
    mapping: Mapping,
    was_polling: bool,
    invocations: u64,
    function_errors: u64,
    delivered: u64,
    discarded: Vec<Discarded>,
    last_result: &'static str,
    troubles: Vec<String>,
}

pub(crate) struct SharedSource {
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    inner: Mutex<SourceState>,
    moved: watch::Sender<()>,
}

/// A running mapping. Dropping it stops it; invocations in flight are left to the function.
pub struct EventSource {
    shared: Arc<SharedSource>,
    task: JoinHandle<()>,
}

impl Drop for EventSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventSource {
    /// Creates the mapping and begins; it polls once it is Enabled.
    ///
    /// # Errors
    /// A value of the configuration that Lambda would refuse.
    pub fn start(parts: Parts) -> Result<Self, ConfigError> {
        parts.config.check()?;
        let now = parts.clock.now();
        let mut mapping = Mapping::new(parts.config.clone(), parts.pace.clone());
        mapping.pause();
        let inner = SourceState {
            lifecycle: Lifecycle::new(parts.config, parts.lags, now),
            mapping,
            was_polling: false,
            invocations: 0,
            function_errors: 0,
            delivered: 0,
            discarded: Vec::new(),
            last_result: "No records processed",
            troubles: Vec::new(),
        };
        let moved = watch::Sender::new(());
        let shared =
            Arc::new(SharedSource { identity: parts.identity, clock: parts.clock, inner: Mutex::new(inner), moved });
        let driver = Driver {
            shared: Arc::clone(&shared),
            stream: parts.stream,
            function: parts.function,
            on_failure: parts.on_failure,
            created: now,
            poll_every: parts.pace.poll_every,
        };
        Ok(Self { shared, task: tokio::spawn(driver.run()) })
    }

    /// The mapping's names.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    pub(crate) fn shared(&self) -> Arc<SharedSource> {
        Arc::clone(&self.shared)
    }

    /// Asks for a change, as the API does.
    ///
    /// # Errors
    /// As [`Lifecycle::update`].
    pub fn update(&self, change: &Change) -> Result<(), Refusal> {
        self.shared.update(change)
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// Waits until it stands as wanted, looking whenever something changes.
    ///
    /// # Errors
    /// How it stood when `limit` had passed.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&View) -> bool) -> Result<View, Box<View>> {
        let mut moved = self.shared.moved.subscribe();
        let waiting = async {
            loop {
                moved.borrow_and_update();
                let view = self.view();
                if wanted(&view) || moved.changed().await.is_err() {
                    return view;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| Box::new(self.view()))
    }
}

impl SharedSource {
    fn inner(&self) -> MutexGuard<'_, SourceState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and notifies the waiting tasks.
    fn change<T>(&self, how: impl FnOnce(&mut SourceState) -> T) -> T {
        let result = how(&mut self.inner());
        self.moved.send_replace(());
        result
    }

    pub(crate) fn update(&self, change: &Change) -> Result<(), Refusal> {
        let now = self.clock.now();
        self.change(|inner| inner.lifecycle.update(change, now))
    }

    /// The API's description: state, values, last change and result.
    pub(crate) fn description(&self) -> (State, MappingConfig, Timestamp, &'static str) {
        let mut inner = self.inner();
        inner.lifecycle.settle(self.clock.now());
        let lifecycle = &inner.lifecycle;
        (lifecycle.state(), lifecycle.reported_config().clone(), lifecycle.last_modified(), inner.last_result)
    }

    fn view(&self) -> View {
        let inner = self.inner();
        let written = |(name, sequence): (&str, Option<&crate::SequenceNumber>)| {
            (name.to_owned(), sequence.map(|sequence| sequence.as_str().to_owned()))
        };
        View {
            state: inner.lifecycle.state(),
            polls: inner.was_polling,
            config: inner.lifecycle.in_force().clone(),
            checkpoints: inner.mapping.checkpoints().map(written).collect(),
            in_flight: inner.mapping.in_flight(),
            invocations: inner.invocations,
            function_errors: inner.function_errors,
            delivered: inner.delivered,
            discarded: inner.discarded.clone(),
            last_result: inner.last_result,
            troubles: inner.troubles.clone(),
        }
    }
}

impl SourceState {
    /// Lets the states move on; pauses or resumes the machine accordingly.
    fn settle(&mut self, now: Timestamp) {
        self.lifecycle.settle(now);
        self.mapping.configure(self.lifecycle.in_force());
        let polls = self.lifecycle.polls();
        if polls != self.was_polling {
            if polls {
                self.mapping.resume()
            } else {
                self.mapping.pause()
            }
            self.was_polling = polls;
        }
    }

    fn trouble(&mut self, trouble: String) {
        if self.troubles.last() != Some(&trouble) {
            self.troubles.push(trouble);
        }
    }
}

struct Driver {
    shared: Arc<SharedSource>,
    stream: Arc<dyn Stream>,
    function: Arc<dyn Invoke>,
    on_failure: Option<Arc<dyn ObjectStore>>,
    created: Timestamp,
    poll_every: Duration,
}

impl Driver {
    async fn run(self) {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut moved = self.shared.moved.subscribe();
        let mut poll_at = tokio::time::Instant::now();
        let mut has_shards = false;
        loop {
            moved.borrow_and_update();
            self.shared.change(|inner| inner.settle(self.shared.clock.now()));
            moved.borrow_and_update();
            if tokio::time::Instant::now() >= poll_at && self.shared.inner().was_polling {
                has_shards = has_shards || self.find_shards().await;
                self.poll().await;
                poll_at = tokio::time::Instant::now() + self.poll_every;
            }
            let actions = self.act();
            for action in actions {
                match action {
                    Action::Invoke(delivery) => self.invoke(delivery, answers.clone()),
                    Action::Discard(discarded) => self.discard(discarded).await,
                }
            }
            tokio::select! {
                answer = answered.recv() => {
                    if let Some((batch, answer)) = answer {
                        self.on_answer(batch, &answer).await;
                    }
                }
                () = tokio::time::sleep(self.poll_every) => {}
                _ = moved.changed() => {}
            }
        }
    }

    async fn find_shards(&self) -> bool {
        match self.stream.shards().await {
            Ok(shards) => {
                self.shared.change(|inner| shards.iter().for_each(|shard| inner.mapping.add_shard(shard)));
                true
            }
            Err(error) => {
                self.shared.change(|inner| inner.trouble(error.to_string()));
                false
            }
        }
    }

    async fn poll(&self) {
        let (wants, starting) = {
            let inner = self.shared.inner();
            (inner.mapping.shards_to_read(), inner.lifecycle.in_force().starting_position)
        };
        for (shard, after) in wants {
            let from = after.map_or_else(|| self.start_of(starting), Position::After);
            let read = self.stream.read(&shard, &from).await;
            let now = self.shared.clock.now();
            match read {
                Ok(records) if records.is_empty() => {}
                Ok(records) => self.shared.inner().mapping.add_records(&shard, records, now),
                Err(error) => self.shared.change(|inner| inner.trouble(error.to_string())),
            }
        }
    }

    /// LATEST is a time, so that a mapping that has finished nothing yet can come back to it.
    fn start_of(&self, starting: StartingPosition) -> Position {
        match starting {
            StartingPosition::TrimHorizon => Position::TrimHorizon,
            StartingPosition::Latest => Position::At(self.created),
            StartingPosition::AtTimestamp(time) => Position::At(time),
        }
    }

    fn act(&self) -> Vec<Action> {
        let now = self.shared.clock.now();
        let mut inner = self.shared.inner();
        let actions = inner.mapping.due(now);
        for action in &actions {
            if let Action::Invoke(delivery) = action {
                inner.invocations = inner.invocations.saturating_add(1);
                let records = u64::try_from(delivery.records.len()).unwrap_or(u64::MAX);
                inner.delivered = inner.delivered.saturating_add(records);
            }
        }
        drop(inner);
        if !actions.is_empty() {
            self.shared.moved.send_replace(());
        }
        actions
    }

    fn invoke(&self, delivery: Delivery, answers: mpsc::UnboundedSender<(BatchId, Answer)>) {
        let event = event(&self.shared.identity, &delivery.shard, &delivery.records);
        let function = Arc::clone(&self.function);
        tokio::spawn(async move {
            let answer = match function.invoke(Bytes::from(event.to_string())).await {
                None => Answer::NotInvoked,
                Some(Invocation { request_id, result: Ok(body) }) => {
                    Answer::Replied { request_id, body: body.to_vec() }
                }
                Some(Invocation { request_id, result: Err(message) }) => Answer::Failed { request_id, message },
            };
            // Nobody listens any more when the event source was dropped.
            let _ = answers.send((delivery.batch, answer));
        });
    }

    async fn on_answer(&self, batch: BatchId, answer: &Answer) {
        let now = self.shared.clock.now();
        let discarded = self.shared.change(|inner| {
            if let Answer::Failed { .. } = answer {
                inner.function_errors = inner.function_errors.saturating_add(1);
            }
            inner.last_result = match answer {
                Answer::Replied { .. } => "OK",
                Answer::Failed { .. } => "PROBLEM: Function call failed",
                Answer::NotInvoked => "PROBLEM: Function throttled",
            };
            inner.mapping.on_answer(batch, answer, now)
        });
        if let Some(discarded) = discarded {
            self.discard(discarded).await;
        }
    }

    async fn discard(&self, discarded: Discarded) {
        if let Some(store) = &self.on_failure {
            let document = failure_document(&self.shared.identity, &discarded, true);
            let key = failure_key(&self.shared.identity, &discarded);
            if let Err(error) = store.put(&Path::from(key), document.to_string().into()).await {
                self.shared.change(|inner| inner.trouble(format!("cannot write to the destination: {error}")));
            }
        }
        self.shared.change(|inner| inner.discarded.push(discarded));
    }
}
