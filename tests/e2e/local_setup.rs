//! A folder with a `damper.toml`, a demo API beside it, and helpers for the tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use damper_core::admin::Counts;
use damper_core::sink::{Compression, Unpacker};
use damper_demo_api::{DemoApi, Settings, Stats};
use damper_local::{Database, DeadLetters, SqliteStream, StoredLetter};
use tempfile::TempDir;

use crate::shim::Shim;

/// How long anything in these tests may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One machine with one provider.
pub(crate) struct LocalSetup {
    folder: TempDir,
    pub(crate) api: DemoApi,
    provider: &'static str,
    /// Below the folder.
    database: &'static str,
    shim: Option<Shim>,
}

/// How an object is compressed; none: it is something else.
fn compression(object: &Path) -> Option<Compression> {
    Compression::of(&object.file_name()?.to_str()?.into())
}

/// An object's lines.
fn lines(object: &Path) -> String {
    let (mut lines, mut unpacker) = (Vec::new(), Unpacker::new(compression(object).unwrap()).unwrap());
    unpacker.unpack(&std::fs::read(object).unwrap(), |piece| lines.extend_from_slice(piece)).unwrap();
    unpacker.end().unwrap();
    String::from_utf8(lines).unwrap()
}

/// The workspace's target folder: tests run from `<target>/<profile>/deps`.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

/// A program or component that `make test` has built.
pub(crate) fn require_built(path: &Path) -> PathBuf {
    assert!(path.exists(), "{} is missing: run `make test`, which builds it first", path.display());
    path.to_owned()
}

impl LocalSetup {
    /// A setup for `providers/demo`, with what a test adds to `[providers.demo.limits]`.
    pub(crate) fn demo(settings: Settings, limits: &str) -> Self {
        Self::for_component("demo", settings, limits)
    }

    /// A setup for a component of `target/components`.
    pub(crate) fn for_component(provider: &'static str, settings: Settings, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = DemoApi::start(settings).unwrap();
        let component = require_built(&target().join(format!("components/{provider}.wasm")));
        let (origin, config) = (api.url(), if provider == "demo" { "base_url" } else { "unused" });
        let config = if config == "base_url" {
            format!("[providers.{provider}.config]\nbase_url = \"{origin}\"\n")
        } else {
            String::new()
        };
        let text = format!(
            "[providers.{provider}]\ncomponent = {component:?}\nhosts = \"manifest\"\nprivate = [\"{origin}\"]\n{config}\
             [providers.{provider}.limits]\n{limits}\n"
        );
        std::fs::write(folder.path().join("damper.toml"), text).unwrap();
        Self { folder, api, provider, database: "damper.db", shim: None }
    }

    /// The same with this line at the top of `damper.toml`.
    pub(crate) fn with_setting(self, line: &str) -> Self {
        let file = self.path().join("damper.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{line}\n{text}")).unwrap();
        self
    }

    /// The same with its database elsewhere below its folder.
    pub(crate) fn with_database(self, path: &'static str) -> Self {
        let setup = self.with_setting(&format!("database = {path:?}"));
        Self { database: path, ..setup }
    }

    /// The same with the shim in each of its processes.
    pub(crate) fn with_shim(self) -> Self {
        let shim = Shim::new(self.path());
        Self { shim: Some(shim), ..self }
    }

    /// The shim of its processes.
    pub(crate) fn shim(&self) -> &Shim {
        self.shim.as_ref().expect("a setup that is `with_shim`")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `damper` with these arguments, in this setup.
    pub(crate) fn damper(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(require_built(&target().join("debug/damper")));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        if let Some(shim) = &self.shim {
            shim.preload(&mut command);
        }
        command
    }

    /// Run `damper` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let child = self.start(arguments);
        wait(child, arguments)
    }

    /// Start `damper`.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.damper(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Enqueue ids.
    pub(crate) fn feed<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) {
        let lines: String = ids.into_iter().map(|id| format!("{}\n", id.as_ref())).collect();
        std::fs::write(self.path().join("items.txt"), lines).unwrap();
        let output = self.run(&["feed", self.provider, "items.txt"]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Drain the stream; it must succeed.
    pub(crate) fn drain(&self) {
        let output = self.run(&["run", self.provider]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// The sink's objects, by their names.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let mut objects = Vec::new();
        let mut folders = vec![self.path().join("out")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if compression(&path).is_some() {
                    objects.push(path);
                }
            }
        }
        objects
    }

    /// Every id in the sink, a line each.
    pub(crate) fn stored_ids(&self) -> Vec<String> {
        self.objects().iter().flat_map(|object| ids_of(&lines(object)).collect::<Vec<_>>()).collect()
    }

    /// Every id in the sink; no id may have two lines.
    pub(crate) fn stored_ids_once(&self) -> BTreeSet<String> {
        let stored = self.stored_ids();
        let unique: BTreeSet<String> = stored.iter().cloned().collect();
        assert_eq!(unique.len(), stored.len(), "an id has two lines in the sink");
        unique
    }

    /// The stream's counts.
    pub(crate) async fn counts(&self) -> Counts {
        SqliteStream::new(self.database()).counts(self.provider).await.unwrap()
    }

    /// The dead letters.
    pub(crate) async fn letters(&self) -> Vec<StoredLetter> {
        DeadLetters::new(self.database()).list(damper_local::dead_letters::Filter::default(), u32::MAX).await.unwrap()
    }

    /// Nothing is left, and everything that was fed has one end.
    pub(crate) async fn assert_all_ended(&self, fed: u64) {
        let counts = self.counts().await;
        assert_eq!(counts.fed, fed);
        assert_eq!(counts.pending, 0, "{counts:?}");
        assert_eq!(counts.fetched + counts.skipped + counts.dead_letters, fed, "{counts:?}");
        assert_eq!(counts.fetched, self.stored_ids_once().len() as u64, "as many fetched as lines");
        assert_eq!(counts.dead_letters, self.letters().await.len() as u64);
    }

    /// Wait until the API has seen what a test waits for.
    pub(crate) async fn wait_for_api(&self, seen: impl Fn(&Stats) -> bool + Send) -> Stats {
        self.api.wait_for(PATIENCE, seen).await.unwrap_or_else(|stats| panic!("the API never saw it: {stats:?}"))
    }

    /// Whether another process is in the middle of a transaction.
    pub(crate) fn is_database_locked(&self) -> bool {
        let database = rusqlite::Connection::open(self.path().join(self.database)).unwrap();
        database.busy_timeout(Duration::ZERO).unwrap();
        database.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
    }

    fn database(&self) -> Database {
        Database::open(self.path().join(self.database)).unwrap()
    }
}

/// The ids of whole lines.
pub(crate) fn ids_of(content: &str) -> impl Iterator<Item = String> + '_ {
    content.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["id"].as_str().unwrap().to_owned()
    })
}

/// Wait for the end of a program that has to end.
pub(crate) fn wait(mut child: Child, what: &[&str]) -> Output {
    let begun = Instant::now();
    // The output is read by threads of `wait_with_output`; a program that hangs is killed by the watchdog.
    let id = child.id();
    let (done, watch) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(PATIENCE).is_err() {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        }
    });
    child.stdin.take();
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watchdog.join().unwrap();
    assert!(begun.elapsed() < PATIENCE, "damper {what:?} hung: {}", text(&output));
    output
}

/// Send a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The exit status and the output of a program.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// `count` ids.
pub(crate) fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:05}")).collect()
}
