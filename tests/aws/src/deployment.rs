//! A deployed function with a table, a bucket, a stream with its mapping, a package and an API, and helpers for the
//! tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use bytes::Bytes;
use damper_aws::dead_letters::{Detail, Filter};
use damper_aws::kinesis::Feeder;
use damper_aws::sink::bucket;
use damper_aws::{AwsClients, DynamoLedger, LambdaMapping, Letters, StoredLetter};
use damper_core::clock::WallClock;
use damper_core::control::item::Control;
use damper_core::ledger::Ledger;
use damper_core::operate;
use damper_demo_api::{DemoApi, Settings, Stats};
use damper_event_source::{
    Clock, ControlPlane, EventSource, Function, FunctionConfig, Identity, KinesisStream, Lags, LogLine, MappingConfig,
    Pace, Parts, Position, Stream, View,
};
use damper_stand_ins::chaos::Rule;
use damper_stand_ins::{StandIn, create_ledger_table, create_stream, sdk_config, unique};
use futures::TryStreamExt;
use jiff::SignedDuration;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::answers::{BatchAnswer, RecordingInvoker};
use crate::chaos::Proxies;
use crate::function_log;
use crate::package::{add_demo, bootstrap};

/// How long anything in these tests may take before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Invocations at a time, more than any test wants.
const CONCURRENCY: usize = 32;

/// The number of deployments at a time: all share one stand-in, and a busy one makes leases and timeouts run out.
static ROOM: Semaphore = Semaphore::const_new(4);

/// The options of a deployment, with the usual values as default.
pub struct DeploymentOptions {
    /// The program; none: the one that `make bootstrap` has built.
    pub bootstrap: Option<PathBuf>,
    /// How the API behaves.
    pub api: Settings,
    /// An addition to the operator's table, as TOML; `ORIGIN` is the API's.
    pub settings: String,
    /// Of the stream.
    pub shards: i32,
    /// Of an invocation.
    pub timeout: Duration,
    /// Of the mapping, at first.
    pub batch_size: u32,
    /// How far the function's clock is put forward at first.
    pub clock_offset: SignedDuration,
    /// Replacements in the manifest: a text and the new one.
    pub manifest: Vec<(&'static str, String)>,
    /// How long the mapping's changes take.
    pub lags: Lags,
    /// Additions to the function's environment; `ORIGIN` is the API's.
    pub environment: Vec<(&'static str, String)>,
    /// Faults of the function's requests at AWS's services; see [`damper_stand_ins::chaos`].
    pub faults: Vec<Rule>,
}

impl Default for DeploymentOptions {
    fn default() -> Self {
        Self {
            bootstrap: None,
            api: Settings::default(),
            settings: String::new(),
            shards: 1,
            timeout: Duration::from_secs(60),
            batch_size: 100,
            clock_offset: SignedDuration::ZERO,
            manifest: Vec::new(),
            lags: Lags::default(),
            environment: Vec::new(),
            faults: Vec::new(),
        }
    }
}

/// The function, and everything that it uses.
pub struct TestDeployment {
    /// The API that is fetched from.
    pub api: DemoApi,
    /// Lambda's API.
    pub plane: ControlPlane,
    /// The mapping's clock, which tests advance instead of waiting for lags.
    pub clock: Clock,
    /// The bucket of records and letters.
    pub bucket: Arc<dyn ObjectStore>,
    /// The function's task root.
    pub package: TempDir,
    /// Clients of the stand-in.
    pub clients: AwsClients,
    /// The proxies between the function and AWS's services.
    pub proxies: Proxies,
    invoked: Arc<RecordingInvoker>,
    retired: std::sync::Mutex<Vec<Function>>,
    environment: BTreeMap<String, String>,
    wanted: DeploymentOptions,
    ledger: DynamoLedger,
    table: String,
    stream: String,
    arn: String,
    _room: SemaphorePermit<'static>,
}

impl TestDeployment {
    /// A deployment without its mapping. `None`: the stand-in cannot be had, which is printed.
    pub async fn new(wanted: DeploymentOptions) -> Option<Self> {
        let stand_in = damper_stand_ins::ministack()?;
        let room = ROOM.acquire().await.unwrap();
        let clients = AwsClients::new(sdk_config(stand_in.endpoint()));
        let api = DemoApi::start(wanted.api.clone()).unwrap();
        let package = tempfile::tempdir().unwrap();
        let (origin, more) = (api.url(), wanted.settings.replace("ORIGIN", &api.url()));
        let settings = operators_table(&origin, &more);
        let edits: Vec<_> = wanted.manifest.iter().map(|(from, to)| (*from, to.as_str())).collect();
        add_demo(package.path(), &settings, &edits);

        let (table, name, prefix) = (unique("ledger"), unique("records"), format!("{}-", unique("items")));
        let stream = format!("{prefix}demo");
        create_ledger_table(&clients.dynamodb(), &table).await;
        make_bucket(stand_in, &name).await;
        let arn = create_stream(&clients.kinesis(), &stream, wanted.shards).await;
        let bucket: Arc<dyn ObjectStore> = Arc::new(bucket(clients.config(), &name).unwrap());
        let clock = Clock::default();
        let plane = ControlPlane::start(clock.clone()).await.unwrap();
        let proxies = Proxies::start(stand_in.endpoint(), &plane.url(), &wanted.faults).await;
        let mut environment = BTreeMap::from([
            ("AWS_ENDPOINT_URL".to_owned(), proxies.stores()),
            ("AWS_ENDPOINT_URL_LAMBDA".to_owned(), proxies.plane()),
            ("DAMPER_TABLE".to_owned(), table.clone()),
            ("DAMPER_BUCKET".to_owned(), name),
            ("DAMPER_STREAM_PREFIX".to_owned(), prefix),
        ]);
        let with_origin = |(name, value): &(&str, String)| ((*name).to_owned(), value.replace("ORIGIN", &origin));
        environment.extend(wanted.environment.iter().map(with_origin));
        let first = function(package.path(), &environment, &wanted, wanted.clock_offset);
        Some(Self {
            ledger: DynamoLedger::new(clients.dynamodb(), &*table, Arc::clone(&bucket)),
            invoked: Arc::new(RecordingInvoker::new(first)),
            retired: std::sync::Mutex::default(),
            api,
            plane,
            clock,
            bucket,
            package,
            clients,
            proxies,
            environment,
            wanted,
            table,
            stream,
            arn,
            _room: room,
        })
    }

    /// The mapping, as the stack of a provider makes it; it begins to deliver.
    pub fn create_mapping(&self) -> EventSource {
        let stream = Arc::new(KinesisStream::new(self.clients.kinesis(), &self.arn));
        let config = MappingConfig {
            batch_size: self.wanted.batch_size,
            report_batch_item_failures: true,
            ..MappingConfig::default()
        };
        let parts = Parts {
            config,
            // Poll seldom, because the stand-in is busy.
            pace: Pace { poll_every: Duration::from_millis(200), ..Pace::default() },
            lags: self.wanted.lags.clone(),
            clock: self.clock.clone(),
            ..Parts::new(Identity::new(&self.arn, "damper"), stream, self.invoked.clone())
        };
        self.plane.create(parts).unwrap()
    }

    /// Feed entries as they are.
    pub async fn feed_raw(&self, payloads: Vec<Bytes>) {
        let count = payloads.len() as u64;
        let fed = Feeder::new(self.clients.kinesis(), &self.stream).feed(payloads).await.unwrap();
        assert_eq!(fed.accepted, count);
    }

    /// Feed ids as an operator's program does: with the SDK's own retries, and through the proxies.
    pub async fn feed_through_faults<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) {
        let payloads = ids.into_iter().map(|id| Bytes::from(json!({ "id": id.as_ref() }).to_string())).collect();
        let config = self.clients.config().to_builder().endpoint_url(self.proxies.stores());
        let config = config.retry_config(RetryConfig::standard()).build();
        Feeder::new(AwsClients::new(config).kinesis(), &self.stream).feed(payloads).await.unwrap();
    }

    /// Feed ids.
    pub async fn feed<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) {
        let item = |id: S| Bytes::from(json!({ "id": id.as_ref() }).to_string());
        self.feed_raw(ids.into_iter().map(item).collect()).await;
    }

    /// Wait until the mapping has nothing more to deliver.
    pub async fn wait_until_drained(&self, source: &EventSource) -> View {
        self.wait_until_drained_within(PATIENCE, source).await
    }

    /// The same, where it may take so long.
    pub async fn wait_until_drained_within(&self, limit: Duration, source: &EventSource) -> View {
        let stream = KinesisStream::new(self.clients.kinesis(), &self.arn);
        let mut ends = BTreeMap::new();
        for shard in stream.shards().await.unwrap() {
            let mut from = Position::TrimHorizon;
            loop {
                let records = stream.read(&shard, &from).await.unwrap();
                let Some(last) = records.last() else { break };
                from = Position::After(last.sequence.clone());
                ends.insert(shard.clone(), last.sequence.as_str().to_owned());
            }
        }
        assert!(!ends.is_empty(), "nothing was fed");
        let is_drained = |view: &View| {
            let at_end = |(shard, end): (&String, &String)| {
                view.checkpoints.get(shard).is_some_and(|at| at.as_ref() == Some(end))
            };
            view.in_flight == 0 && ends.iter().all(at_end)
        };
        let waited = source.wait_for(limit, is_drained).await;
        waited.unwrap_or_else(|view| panic!("it never ended: {view:?}\n{}", self.transcript()))
    }

    /// The function that answers now.
    pub fn function(&self) -> Function {
        self.invoked.function()
    }

    /// Puts another process in the function's place, whose clock is so far ahead.
    pub fn restart(&self, clock_offset: SignedDuration) {
        self.retired.lock().unwrap().push(self.invoked.function());
        self.invoked.replace(function(self.package.path(), &self.environment, &self.wanted, clock_offset));
    }

    /// The same at the machine's time, with one variable of the environment set otherwise.
    pub fn restart_with(&self, variable: &str, value: &str) {
        let mut environment = self.environment.clone();
        environment.insert(variable.to_owned(), value.to_owned());
        self.retired.lock().unwrap().push(self.invoked.function());
        self.invoked.replace(function(self.package.path(), &environment, &self.wanted, SignedDuration::ZERO));
    }

    /// The function as it would be with another package.
    pub fn function_of(&self, package: &Path) -> Function {
        function(package, &self.environment, &self.wanted, SignedDuration::ZERO)
    }

    /// The function's environment, beside what Lambda itself sets.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The table that there is.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The name of a provider's stream.
    pub fn stream_of(&self, provider: &str) -> String {
        format!("{}{provider}", self.environment["DAMPER_STREAM_PREFIX"])
    }

    /// The mapping, as an operator's program reaches it.
    pub fn mapping(&self) -> LambdaMapping {
        let config = self.clients.config().to_builder().endpoint_url(self.plane.url()).build();
        LambdaMapping::new(AwsClients::new(config).lambda(), "damper", self.stream_of(""))
    }

    /// An operator resumes the provider.
    pub async fn resume(&self, mapping: &LambdaMapping) {
        let now = WallClock::System.now();
        operate::resume(&self.ledger, mapping, "demo", now, None).await.unwrap();
    }

    /// A scheduled tick.
    pub async fn tick(&self) -> Value {
        self.try_tick().await.unwrap()
    }

    /// A scheduled tick that may fail.
    pub async fn try_tick(&self) -> Result<Value, String> {
        self.invoke(&json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })).await
    }

    /// A direct invocation with this event.
    pub async fn invoke(&self, event: &Value) -> Result<Value, String> {
        let answer = self.function().call(Bytes::from(event.to_string())).await.result;
        answer.map(|body| serde_json::from_slice(&body).unwrap())
    }

    /// All batches with their answers.
    pub fn batch_answers(&self) -> Vec<BatchAnswer> {
        self.invoked.batch_answers()
    }

    /// All lines that the function's processes wrote, those of former ones first.
    pub fn lines(&self) -> Vec<LogLine> {
        let mut lines: Vec<LogLine> = self.retired.lock().unwrap().iter().flat_map(Function::logs).collect();
        lines.extend(self.function().logs());
        lines
    }

    /// The same, for a person whose test has failed.
    pub fn transcript(&self) -> String {
        let lines = self.lines();
        let last = lines.iter().rev().take(40).rev().map(|line| line.text.as_str());
        last.collect::<Vec<_>>().join("\n")
    }

    /// The provider's control item.
    pub async fn control(&self) -> Control {
        self.ledger.control("demo").await.unwrap()
    }

    /// Every line of the sink.
    pub async fn sink(&self) -> Vec<Value> {
        lines_of(&*self.bucket).await
    }

    /// The ids in the sink, sorted; one with two lines is there twice.
    pub async fn stored_ids(&self) -> Vec<String> {
        ids_of(&*self.bucket).await
    }

    /// The objects in the sink, a line for each: its name, when it was stored, and the ids in it. For a person whose
    /// test has failed.
    pub async fn objects(&self) -> String {
        let objects: Vec<_> = self.bucket.list(Some(&ObjectPath::from("demo"))).try_collect().await.unwrap();
        let mut lines = Vec::new();
        for object in objects {
            let ids = ids_in(&*self.bucket, &object.location).await;
            lines.push(format!("{} {} {}", object.location, object.last_modified, ids.join(" ")));
        }
        lines.join("\n")
    }

    /// The dead letters.
    pub async fn letters(&self) -> Vec<StoredLetter> {
        Letters::new(Arc::clone(&self.bucket)).list(&Filter::default(), usize::MAX, Detail::Whole).await.unwrap()
    }

    /// Wait until the API has seen what a test waits for.
    pub async fn wait_for_api(&self, seen: impl Fn(&Stats) -> bool + Send) -> Stats {
        let waited = self.api.wait_for(PATIENCE, seen).await;
        waited.unwrap_or_else(|stats| panic!("the API never saw it: {stats:?}\n{}", self.transcript()))
    }

    /// Wait until the stores are as wanted. They send no event on a change, so this polls.
    pub async fn wait_until(&self, wanted: impl AsyncFn(&Self) -> bool) {
        let asking = async {
            while !wanted(self).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| panic!("the stores never came to it:\n{}", self.transcript()));
    }

    /// Wait until the function has written a log line of this level with this text.
    pub async fn wait_for_log(&self, level: &str, text: &str) {
        let function = self.function();
        let waited = function.wait_for(PATIENCE, |function| function_log::has(&function.logs(), level, text)).await;
        waited.unwrap_or_else(|_| panic!("never said {text:?}:\n{}", self.transcript()));
    }
}

/// The operator's table for a copy of the demo provider: what it is granted to call an API on loopback, and more.
pub fn operators_table(origin: &str, more: &str) -> String {
    format!("hosts = \"manifest\"\nprivate = [\"{origin}\"]\nconfig.base_url = \"{origin}\"\n{more}\n")
}

/// Every line of the demo provider's objects.
async fn lines_of(bucket: &dyn ObjectStore) -> Vec<Value> {
    let objects: Vec<_> = bucket.list(Some(&ObjectPath::from("demo"))).try_collect().await.unwrap();
    let mut lines = Vec::new();
    for object in objects {
        lines.extend(lines_in(bucket, &object.location).await);
    }
    lines
}

/// Every line of one object.
async fn lines_in(bucket: &dyn ObjectStore, object: &ObjectPath) -> Vec<Value> {
    let bytes = bucket.get(object).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The id of each line of one object.
async fn ids_in(bucket: &dyn ObjectStore, object: &ObjectPath) -> Vec<String> {
    let lines = lines_in(bucket, object).await;
    lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

/// The ids in the demo provider's objects, sorted; one with two lines is there twice.
pub async fn ids_of(bucket: &dyn ObjectStore) -> Vec<String> {
    let lines = lines_of(bucket).await;
    let mut ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn function(
    package: &Path,
    environment: &BTreeMap<String, String>,
    wanted: &DeploymentOptions,
    clock_offset: SignedDuration,
) -> Function {
    let mut config = FunctionConfig::new("damper", wanted.bootstrap.clone().unwrap_or_else(bootstrap));
    config.task_root = package.to_owned();
    config.timeout = wanted.timeout;
    config.concurrency = CONCURRENCY;
    config.environment.clone_from(environment);
    if !clock_offset.is_zero() {
        config = config.env("DAMPER_CLOCK_OFFSET", clock_offset.as_secs().to_string());
    }
    Function::new(config)
}

/// Creates a bucket, which object_store cannot do: a plain request that a stand-in accepts without a signature.
async fn make_bucket(stand_in: &StandIn, name: &str) {
    let host = stand_in.endpoint().trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request = format!("PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
