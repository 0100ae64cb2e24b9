//! A folder with two providers, the hostile and the innocent one, and one `damper run` for both with little memory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use damper_demo_api::{DemoApi, Latency, Settings};
use damper_plugins::component_file::embed_manifest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, authority};
use crate::{Kind, Member};

/// The memory limit of `damper run`, for both writable and resident memory.
pub const MEMORY_MIB: u64 = 512;
/// How long an item of the hostile provider may take.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// How long a run may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(90);

/// The log's filter: as if none was set, and the end of each fetch.
const LOG: &str = "warn,aws_config=off,damper_core::pipeline::batch_processor=off,damper_core::pipeline::attempt=debug";

const HOSTILE: &str = r#"
name = "hostile"
version = "0.1.0"
[egress]
hosts = ["hostile.damper.invalid", "other.damper.invalid"]
[limits]
max_concurrency = 4
fetch_timeout = "1s"
memory = "16MiB"
response_bytes = "64KiB"
[retry]
max_attempts = 1
backoff = "10ms"
spread = "0s"
[config]
greeting = "hello"
"#;
const INNOCENT: &str = r#"
name = "innocent"
version = "0.1.0"
[egress]
hosts = ["demo.damper.invalid"]
[limits]
max_concurrency = 8
fetch_timeout = "60s"
memory = "16MiB"
response_bytes = "64KiB"
[config]
base_url = ""
use_key = "false"
"#;

/// The programs and components of a run, built already.
pub struct Programs {
    /// The program `damper`.
    pub damper: PathBuf,
    /// The folder with `hostile.wasm` and `demo.wasm`.
    pub components: PathBuf,
    /// The cache of compiled components, for all runs.
    pub cache: PathBuf,
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it, or it had to be ended.
    pub exit: Option<i32>,
    /// The hostile provider's part of the summary.
    pub hostile: Part,
    /// The innocent provider's.
    pub innocent: Part,
    /// The most memory that was resident, in KiB.
    pub peak_kib: u64,
    /// The most that was of the processes that it started.
    pub child_peak_kib: u64,
    /// From the start to the first request of the innocent provider.
    pub innocent_waited: Duration,
    /// From its first request to the end of its last one.
    pub innocent_took: Duration,
    /// Whether a request has come to the hostile server, if there is one.
    pub was_asked: bool,
    /// The longest that a connection to the hostile server has lasted.
    pub connection_lasted: Duration,
    /// How long the hostile provider's longest fetch took; none if it had none that ended.
    pub item_took: Option<Duration>,
    /// From the request to stop, where there was one, to the end.
    pub stopping_took: Duration,
    /// From the start to the end.
    pub took: Duration,
    /// The run's standard error.
    pub said: String,
}

/// One provider's part of a summary.
#[derive(Debug, Default)]
pub struct Part {
    /// How its run ended, in a word.
    pub outcome: String,
    /// Why, where it could not go on.
    pub error: String,
    /// Items.
    pub fetched: u64,
    /// Items given up on.
    pub dead_letters: u64,
    /// Items that are left.
    pub pending: u64,
}

/// Two providers, an API for the one and a server for the other.
pub struct TwoProviderRun<'a> {
    programs: &'a Programs,
    folder: TempDir,
    api: DemoApi,
    server: Option<Server>,
    items: u32,
    /// How long after the innocent provider is done the run is asked to stop; none: it ends by itself.
    grace: Option<Duration>,
}

impl<'a> TwoProviderRun<'a> {
    /// Prepares a run for a member, or without one; the innocent provider has `items` items.
    ///
    /// # Panics
    /// If a program or component is missing.
    #[must_use]
    pub fn new(programs: &'a Programs, member: Option<&Member>, items: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let latency = Latency { median_ms: 10.0, ..Latency::default() };
        let api = DemoApi::start(Settings { latency, ..Settings::default() }).unwrap();
        let server = member.and_then(|member| member.server).map(Server::start);
        // A compiler that takes long has its own limits.
        let is_compiled = member.is_some_and(|member| member.kind == Kind::Compile);
        let grace = (!is_compiled).then_some(TIMEOUT + Duration::from_secs(1));
        let run = Self { programs, folder, api, server, items, grace };
        run.write("ca.pem", authority());
        run.write("damper.toml", run.settings());
        run.write("innocent.wasm", run.component("demo.wasm", INNOCENT));
        let ids: String =
            (0..items).map(|number| format!("{}\n", json!({ "id": format!("account-{number:05}") }))).collect();
        run.feed("innocent", &ids);
        if let Some(member) = member {
            let plain = run.component("hostile.wasm", HOSTILE);
            run.write("hostile.wasm", &plain);
            run.feed("hostile", &format!("{}\n", run.item(member)));
            if let Some(make) = member.component {
                run.write("hostile.wasm", make(&plain));
            }
        }
        run
    }

    /// The same, whose run is asked to stop as soon as the innocent provider is done.
    #[must_use]
    pub fn with_immediate_stop(self) -> Self {
        Self { grace: Some(Duration::ZERO), ..self }
    }

    /// Runs both providers.
    ///
    /// # Panics
    /// If the program does not start.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let begun = Instant::now();
        let begun_ms = now_ms();
        let limit = format!("ulimit -d {} && exec \"$0\" run --json", MEMORY_MIB << 10);
        let mut command = self.damper(&["-c", &limit], "sh");
        let mut child =
            command.arg(&self.programs.damper).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, summary) = (collect(child.stderr.take().unwrap()), collect(child.stdout.take().unwrap()));
        let watched = self.watch(&mut child, begun);
        let (said, summary) = (said.join().unwrap(), summary.join().unwrap());
        let summary: Value = serde_json::from_str(&summary).unwrap_or_default();
        let log = self.api.log();
        let first = log.iter().map(|line| line.started_ms).min().unwrap_or(begun_ms);
        let last = log.iter().map(|line| line.finished_ms).max().unwrap_or(first);
        let served = self.server.as_ref().map(Server::stats);
        let lasted = served.map(|served| served.longest_ms.load(Ordering::SeqCst));
        Outcome {
            exit: watched.exit,
            hostile: part(&summary, "hostile"),
            innocent: part(&summary, "innocent"),
            peak_kib: watched.peak_kib,
            child_peak_kib: watched.child_peak_kib,
            item_took: longest_fetch(&said, "hostile"),
            stopping_took: watched.stopping_took,
            innocent_waited: Duration::from_millis(first.saturating_sub(begun_ms)),
            innocent_took: Duration::from_millis(last.saturating_sub(first)),
            was_asked: served.is_none_or(|served| served.read_bytes.load(Ordering::SeqCst) > 0),
            connection_lasted: Duration::from_millis(lasted.unwrap_or_default()),
            took: begun.elapsed(),
            said,
        }
    }

    fn settings(&self) -> String {
        let (damper_api, server) = (self.api.url(), self.server.as_ref().map(Server::origin));
        let private = server.map(|origin| format!("private = [{origin:?}]\n")).unwrap_or_default();
        format!(
            "[providers.hostile]\ncomponent = \"hostile.wasm\"\nhosts = \"manifest\"\n{private}\
             [providers.innocent]\ncomponent = \"innocent.wasm\"\nhosts = \"manifest\"\nprivate = [{damper_api:?}]\n\
             [providers.innocent.config]\nbase_url = {damper_api:?}\n"
        )
    }

    fn item(&self, member: &Member) -> Value {
        let mut params: serde_json::Map<String, Value> =
            member.params.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        if let Some(server) = &self.server {
            params.insert("url".to_owned(), json!(format!("{}/", server.origin())));
        }
        json!({ "id": member.id, "params": params })
    }

    fn component(&self, file: &str, manifest: &str) -> Vec<u8> {
        let path = self.programs.components.join(file);
        let bytes = std::fs::read(&path);
        let bytes =
            bytes.unwrap_or_else(|error| panic!("{}: {error}: run `make test`, which builds it", path.display()));
        embed_manifest(&bytes, manifest).unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn feed(&self, provider: &str, items: &str) {
        self.write("items.ndjson", items);
        let output = self.damper(&["feed", provider, "items.ndjson"], &self.programs.damper).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn damper(&self, arguments: &[&str], program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
            .env("DAMPER_LOG", LOG)
            .env("DAMPER_CACHE", &self.programs.cache)
            .env("SSL_CERT_FILE", self.folder.path().join("ca.pem"));
        command
    }
}

/// The wall clock, in which the demo API notes its requests.
#[allow(clippy::disallowed_methods, reason = "a measurement, not a decision")]
fn now_ms() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or_default()
}

fn collect(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The figures of a process, up to its end.
#[derive(Default)]
struct Watched {
    exit: Option<i32>,
    peak_kib: u64,
    child_peak_kib: u64,
    /// From the request to stop to the end.
    stopping_took: Duration,
}

impl TwoProviderRun<'_> {
    /// Waits for the end of `damper run`. It is asked to stop when the innocent provider is done and the hostile one
    /// has had its time: an API that fails is tried again for long. Ended by force, it has no exit code.
    fn watch(&self, child: &mut Child, begun: Instant) -> Watched {
        let mut watched = Watched::default();
        let (mut done, mut stopped) = (None, None);
        loop {
            watched.peak_kib = watched.peak_kib.max(peak_kib(child.id()));
            let children =
                std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|id| id.parse().ok()).map(peak_kib);
            watched.child_peak_kib = children.fold(watched.child_peak_kib, u64::max);
            if let Some(status) = child.try_wait().unwrap() {
                watched.exit = status.code();
                watched.stopping_took = stopped.map(|stopped: Instant| stopped.elapsed()).unwrap_or_default();
                return watched;
            }
            if done.is_none() && self.api.stats().ids_fetched_ok >= u64::from(self.items) {
                done = Some(Instant::now());
            }
            let is_due = |done: Instant| self.grace.is_some_and(|grace| done.elapsed() >= grace);
            if stopped.is_none() && done.is_some_and(is_due) {
                stopped = Some(Instant::now());
                let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill().and_then(|()| child.wait());
                return watched;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The most memory of a process that was resident; none if it has gone.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The longest fetch of a provider, as a run's log has it.
fn longest_fetch(log: &str, provider: &str) -> Option<Duration> {
    let provider = format!("provider={provider:?}");
    let ends = log.lines().filter(|line| line.contains("fetch ended") && line.contains(&provider));
    let elapsed = ends.filter_map(|line| line.split_once("elapsed_ms=")?.1.split_whitespace().next()?.parse().ok());
    elapsed.max().map(Duration::from_millis)
}

fn part(summary: &Value, provider: &str) -> Part {
    let parts = summary.get("providers").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(part) = parts.iter().find(|part| part.get("provider").is_some_and(|name| name == provider)) else {
        return Part::default();
    };
    let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let count = |name: &str| part.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or_default();
    Part {
        outcome: text("outcome"),
        error: text("error"),
        fetched: count("fetched"),
        dead_letters: count("dead_letters"),
        pending: count("pending"),
    }
}
