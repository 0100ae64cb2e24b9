//! `damper run --watch` while components and damper.toml change: what is good is used from the next batch on, what is
//! not is told and changes nothing, and no item is fetched twice or lost.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use damper_core::manifest::Manifest;
use damper_demo_api::{Latency, Settings};
use damper_plugins::component_file::{ComponentFile, embed_manifest};
use serde_json::Value;

use crate::local_setup::{LocalSetup, PATIENCE, ids, signal, text, wait};

/// A run that watches, with its standard error in a file.
struct Watching {
    setup: LocalSetup,
    child: Child,
}

impl Watching {
    fn start(settings: Settings, limits: &str, items: usize) -> Self {
        let setup = LocalSetup::demo(settings, limits);
        // A component of its own, which the test replaces.
        let built = fs::read_to_string(setup.path().join("damper.toml")).unwrap();
        let component = built.lines().find(|line| line.starts_with("component")).unwrap().to_owned();
        let path = component.split('"').nth(1).unwrap();
        fs::copy(path, setup.path().join("demo.wasm")).unwrap();
        fs::write(setup.path().join("damper.toml"), built.replace(&component, "component = \"demo.wasm\"")).unwrap();
        setup.feed(ids("account", items));
        let log = fs::File::create(setup.path().join("log")).unwrap();
        let child = setup.damper(&["run", "--watch"]).stderr(log).stdout(std::process::Stdio::piped()).spawn().unwrap();
        Self { setup, child }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.setup.path().join("log")).unwrap()
    }

    /// Waits until the run has said something.
    async fn wait_for(&self, said: &str) {
        let begun = Instant::now();
        while !self.log().contains(said) {
            assert!(begun.elapsed() < PATIENCE, "{said:?} was never said: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn edit_settings(&self, edit: impl FnOnce(String) -> String) {
        let file = self.setup.path().join("damper.toml");
        fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Replaces the component as `damper build` does: a new file under the old name.
    fn replace_component(&self, bytes: &[u8]) {
        let new = self.setup.path().join("new.wasm");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.setup.path().join("demo.wasm")).unwrap();
    }

    async fn wait_until_fetched(&self, count: u64) {
        let begun = Instant::now();
        while self.setup.counts().await.fetched < count {
            assert!(begun.elapsed() < PATIENCE, "{:?}: {}", self.setup.counts().await, self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it; it must end cleanly.
    fn stop(self) -> LocalSetup {
        signal(&self.child, "TERM");
        let log = self.log();
        let output = wait(self.child, &["run", "--watch"]);
        assert!(matches!(output.status.code(), Some(0 | 6)), "{} {log}", text(&output));
        self.setup
    }
}

/// The demo component as another version.
fn version(path: &Path, version: &str) -> Vec<u8> {
    let file = ComponentFile::read(path).unwrap();
    let old = format!("version = {:?}", Manifest::parse(&file.manifest_text).unwrap().version);
    let manifest = file.manifest_text.replacen(&old, &format!("version = {version:?}"), 1);
    assert_ne!(manifest, file.manifest_text);
    embed_manifest(&file.bytes, &manifest).unwrap().to_vec()
}

/// The versions in the sink's lines, with how many lines each has.
fn versions(setup: &LocalSetup) -> std::collections::BTreeMap<String, usize> {
    let mut versions = std::collections::BTreeMap::new();
    for object in setup.objects() {
        for line in fs::read_to_string(object).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            *versions.entry(line["component_version"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    versions
}

fn slow() -> Settings {
    Settings { latency: Latency { median_ms: 20.0, ..Latency::default() }, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_component_is_used_from_the_next_batch_on() {
    let run = Watching::start(slow(), "max_concurrency = 4", 2_000);
    run.setup.wait_for_api(|stats| stats.requests >= 100).await;
    let new = version(&run.setup.path().join("demo.wasm"), "9.0.0");
    run.replace_component(&new);
    run.wait_for("from now on demo 9.0.0").await;
    run.wait_until_fetched(2_000).await;
    let setup = run.stop();
    setup.assert_all_ended(2_000).await;
    assert_eq!(setup.api.stats().ids_fetched_more_than_once_ok, 0);
    assert!(setup.api.stats().peak_in_flight <= 4, "{:?}", setup.api.stats());
    let versions = versions(&setup);
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(versions["9.0.0"] >= 1_000, "{versions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_and_changes_nothing() {
    let run = Watching::start(slow(), "max_concurrency = 4", 600);
    let good = fs::read(run.setup.path().join("demo.wasm")).unwrap();
    // It runs with the good one.
    run.setup.wait_for_api(|stats| stats.requests >= 10).await;
    run.replace_component(b"not a component");
    run.wait_for("demo: the change cannot be used; the component and settings of before stay in force").await;
    run.replace_component(&good);
    run.wait_for("from now on demo").await;
    run.edit_settings(|text| text.replace("max_concurrency = 4", "max_concurrency = 0"));
    run.wait_for("limits.max_concurrency is 0").await;
    fs::rename(run.setup.path().join("damper.toml"), run.setup.path().join("moved.toml")).unwrap();
    run.wait_for("the file is gone").await;
    fs::rename(run.setup.path().join("moved.toml"), run.setup.path().join("damper.toml")).unwrap();
    run.edit_settings(|_| "[providers.demo\n".to_owned());
    run.wait_for("damper.toml has changed and cannot be used").await;
    run.wait_until_fetched(600).await;
    let refusals = run.log().matches("cannot be used; ").count();
    assert!(refusals <= 5, "each refusal is told once: {}", run.log());
    let setup = run.stop();
    setup.assert_all_ended(600).await;
    assert_eq!(versions(&setup).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_settings_hold_without_a_restart() {
    let run = Watching::start(slow(), "max_concurrency = 1", 600);
    run.setup.wait_for_api(|stats| stats.requests >= 10).await;
    run.edit_settings(|text| text.replace("max_concurrency = 1", "max_concurrency = 8"));
    run.wait_for("from now on demo").await;
    run.wait_until_fetched(600).await;
    assert!(run.setup.api.stats().peak_in_flight > 1, "{:?}", run.setup.api.stats());
    run.stop().assert_all_ended(600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_come_and_go_and_a_hang_up_reads_all_again_at_once() {
    let run = Watching::start(slow(), "max_concurrency = 4", 50);
    run.wait_until_fetched(50).await;
    let table = |text: &str| {
        text.split("[providers.demo").map(|table| format!("[providers.second{table}")).collect::<Vec<_>>()[1..].concat()
    };
    run.edit_settings(|text| format!("{text}\n{}", table(&text)));
    signal(&run.child, "HUP");
    run.wait_for("second: from now on demo").await;
    fs::write(run.setup.path().join("more.txt"), "account-90001\naccount-90002\n").unwrap();
    let fed = run.setup.run(&["feed", "second", "more.txt"]);
    assert!(fed.status.success(), "{}", text(&fed));
    let begun = Instant::now();
    while !run.setup.path().join("out/second").exists() {
        assert!(begun.elapsed() < PATIENCE, "{}", run.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run.edit_settings(|text| text.split("\n[providers.second").next().unwrap().to_owned());
    run.wait_for("second: stopping, damper.toml does not list it any more").await;
    run.stop();
}
