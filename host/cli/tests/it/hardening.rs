//! A run gives rights up before it reads a component.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::test_dir::{TestDir, provider};

const MANIFEST: &str = "name = \"demo\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.example.org\"]\n";

fn new_test_dir() -> TestDir {
    let dir = TestDir::new();
    dir.write("demo.wasm", &provider(MANIFEST));
    dir.write("damper.toml", b"components = \".\"\n[providers.demo]\nhosts = \"manifest\"\n");
    dir.write("items.txt", b"1\n");
    dir.damper(&["feed", "demo", "items.txt"]);
    dir
}

/// A run that goes on until it is ended.
struct Run(Child);

impl Run {
    fn start(dir: &TestDir, hardening: &str) -> Self {
        let mut command = dir.command(&["run", "demo", "--watch"]);
        command.env("DAMPER_HARDENING", hardening).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// A line of its status, once it has threads: before that it gives up its rights.
    fn status(&self, name: &str) -> String {
        let began = Instant::now();
        loop {
            let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
            let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
            if line("Threads").is_some_and(|count| count != "1") {
                return line(name).unwrap().to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the run has no threads: {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_run_gives_up_rights_unless_it_is_told_to_keep_them() {
    let dir = new_test_dir();
    let hardened = Run::start(&dir, "");
    assert_eq!((hardened.status("NoNewPrivs").as_str(), hardened.status("Seccomp").as_str()), ("1", "2"));
    drop(hardened);
    let kept = Run::start(&dir, "off");
    assert_eq!((kept.status("NoNewPrivs").as_str(), kept.status("Seccomp").as_str()), ("0", "0"));
    drop(kept);
    let partly = Run::start(&dir, "no-system-calls,no-files");
    assert_eq!(partly.status("Seccomp"), "0");
}

#[test]
fn a_layer_that_there_is_not_is_an_error() {
    let dir = new_test_dir();
    let output = dir.command(&["run", "demo"]).env("DAMPER_HARDENING", "no-filse").output().unwrap();
    let text = dir.text(&output);
    assert!(
        text.contains("\"no-filse\" is not a hardening setting: write on, off, no-dumps, no-files or no-system-calls"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(4), "{text}");
}
