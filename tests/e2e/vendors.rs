//! Many providers of few components on one machine: each has its own stream, records and settings, and the components'
//! memory is shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use damper_demo_api::{DemoApi, Settings};
use damper_plugins::component_file::{ComponentFile, embed_manifest};
use serde_json::Value;
use tempfile::TempDir;

use crate::local_setup::{require_built, target, text, wait};

/// The providers of a fleet.
const PROVIDERS: usize = 50;

/// A machine with several providers, each of one of a few components.
struct Fleet {
    folder: TempDir,
    api: DemoApi,
    providers: Vec<String>,
    /// The components' names, and the digests of their files.
    components: Vec<(String, String)>,
}

impl Fleet {
    /// `providers` providers that share `components` components in turn, with these limits.
    fn new(providers: usize, components: usize, settings: Settings, limits: &str) -> Self {
        let (folder, api) = (tempfile::tempdir().unwrap(), DemoApi::start(settings).unwrap());
        let demo = ComponentFile::read(&require_built(&target().join("components/demo.wasm"))).unwrap();
        let mut toml = format!("[defaults]\nprivate = [{0:?}]\n[defaults.limits]\n{limits}\n", api.url());
        let add_component = |number: usize| {
            let name = format!("standard-{number}");
            let manifest = format!(
                "name = {name:?}\nversion = \"4.1.{number}\"\negress.hosts = \"operator\"\n\
                 config.base_url = \"\"\nconfig.use_key = \"false\"\n\
                 [credentials.key]\nkind = \"header\"\nheader = \"X-Api-Key\"\n"
            );
            let file = folder.path().join(format!("{name}.wasm"));
            std::fs::write(&file, embed_manifest(&demo.bytes, &manifest).unwrap()).unwrap();
            (name, ComponentFile::read(&file).unwrap().digest)
        };
        let components: Vec<(String, String)> = (1..=components).map(add_component).collect();
        for (name, _) in &components {
            toml += &format!("[components.{name}]\nfile = \"{name}.wasm\"\nconfig.base_url = {:?}\n", api.url());
        }
        let providers: Vec<String> = (0..providers).map(|number| format!("vendor-{number:02}")).collect();
        for (provider, (component, _)) in providers.iter().zip(components.iter().cycle()) {
            toml += &format!("[providers.{provider}]\ncomponent = {component:?}\n");
        }
        std::fs::write(folder.path().join("damper.toml"), toml).unwrap();
        Self { folder, api, providers, components }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(require_built(&target().join("debug/damper")));
        command.args(arguments).current_dir(self.path()).env("DAMPER_CACHE", self.path().join("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = wait(self.start(arguments), arguments);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Feeds each provider `count` items, whose ids name the provider.
    fn feed(&self, batch: &str, count: usize) {
        for provider in &self.providers {
            let ids: String = (0..count).map(|number| format!("{provider}-{batch}-{number:03}\n")).collect();
            std::fs::write(self.path().join("items.txt"), ids).unwrap();
            self.run(&["feed", provider, "items.txt"]);
        }
    }

    /// The lines of a provider's records, by their ids.
    fn lines(&self, provider: &str) -> BTreeMap<String, Value> {
        let mut lines = BTreeMap::new();
        for object in objects(&self.path().join("out").join(provider)) {
            for line in std::fs::read_to_string(object).unwrap().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let id = line["id"].as_str().unwrap().to_owned();
                assert!(lines.insert(id.clone(), line).is_none(), "{id} has two lines");
            }
        }
        lines
    }

    /// The most memory that `damper run` had at a time, in KiB.
    fn peak_memory_of_run(&self) -> u64 {
        let mut child = self.start(&["run"]);
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            // The kernel's own high-water mark, so that no peak is missed but one of the last milliseconds.
            peak = peak.max(read_peak(&status).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = wait(child, &["run"]);
        assert!(output.status.success(), "{}", text(&output));
        peak
    }
}

/// The objects below a folder.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// `VmHWM` of a process's status, in KiB; none after its end.
fn read_peak(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn fifty_providers_of_five_components_keep_their_records_apart() {
    let fleet = Fleet::new(PROVIDERS, 5, Settings::default(), "max_concurrency = 2");
    fleet.feed("a", 4);
    fleet.run(&["run"]);
    let stats = fleet.api.stats();
    assert_eq!((stats.requests, stats.ids_fetched_ok), (200, 200), "each item once");
    for (provider, (component, digest)) in fleet.providers.iter().zip(fleet.components.iter().cycle()) {
        let lines = fleet.lines(provider);
        let ids: BTreeSet<String> = (0..4).map(|number| format!("{provider}-a-{number:03}")).collect();
        assert_eq!(lines.keys().cloned().collect::<BTreeSet<_>>(), ids);
        for (id, line) in lines {
            assert_eq!((&line["provider"], &line["body"]["id"]), (&provider.as_str().into(), &id.as_str().into()));
            assert_eq!(line["component_name"], component.as_str());
            assert_eq!(line["component_version"], format!("4.1.{}", component.trim_start_matches("standard-")));
            assert_eq!(line["component"], digest.as_str());
        }
    }
}

/// Fifty providers cost what they need themselves, and no copy of the component each, compiled or not. The figures are
/// in docs/BENCHMARKS.md. The bound leaves room for a busy machine.
#[test]
fn fifty_providers_of_one_component_need_little_more_memory_than_one() {
    const ITEMS: usize = 400;
    let settings = || Settings::default().with_patch(&serde_json::json!({ "latency": { "median_ms": 20 } })).unwrap();
    let one = Fleet::new(1, 1, settings(), "max_concurrency = 50");
    let fifty = Fleet::new(PROVIDERS, 1, settings(), "max_concurrency = 1");
    let mut least = [u64::MAX; 2];
    // The first run compiles.
    for round in ["warm", "a", "b", "c"] {
        for (fleet, least) in [&one, &fifty].into_iter().zip(&mut least) {
            fleet.feed(round, ITEMS / fleet.providers.len());
            let peak = fleet.peak_memory_of_run();
            println!(
                "{round}: {} providers: {peak} KiB, {:?}",
                fleet.providers.len(),
                fleet.api.stats().peak_in_flight
            );
            if round != "warm" {
                *least = (*least).min(peak);
            }
        }
    }
    let [one, fifty] = least;
    assert!(fifty <= one + 10 * 1024, "{fifty} KiB with fifty providers, {one} KiB with one");
}
