//! A component that crashes its process repeatedly stops its own provider, so that the other providers go on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use damper_demo_api::Settings;

use crate::local_setup::{LocalSetup, PATIENCE, signal, text, wait};

/// The runs of this setup that have marked, and not taken back, that a component runs.
fn running_marks(setup: &LocalSetup) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(setup.path().join("damper.db-marks")).into_iter().flatten();
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    paths.filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.iter().any(|byte| *byte != 0))).collect()
}

/// Runs until the process dies while the component computes.
fn die_at_work(setup: &LocalSetup) {
    let begun = Instant::now();
    let before = running_marks(setup);
    let is_at_work = || running_marks(setup).difference(&before).next().is_some();
    while begun.elapsed() < PATIENCE {
        let mut child = setup.start(&["run"]);
        while !is_at_work() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // It may have ended by itself: its item waits for the lease of the one before.
        if child.try_wait().unwrap().is_none() {
            signal(&child, "KILL");
        }
        let output = wait(child, &["run"]);
        if is_at_work() {
            return;
        }
        println!("it died at rest: {}", text(&output));
    }
    panic!("no run was killed while the component computed");
}

#[test]
fn a_provider_whose_component_ran_each_time_the_process_died_is_stopped() {
    let setup = LocalSetup::for_component("hostile", Settings::default(), "fetch_timeout = \"2s\"");
    setup.feed(["loop"]);
    for _ in 0..3 {
        die_at_work(&setup);
    }

    let output = setup.run(&["run"]);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("the process crashed repeatedly while component"), "{said}");
    let status = setup.run(&["status", "hostile"]);
    assert!(text(&status).contains("config"), "{}", text(&status));

    // An operator has looked at it: it may run again.
    let resumed = setup.run(&["resume", "hostile"]);
    assert!(resumed.status.success(), "{}", text(&resumed));
    let status = setup.run(&["status", "hostile"]);
    assert!(!text(&status).contains("crashed repeatedly"), "{}", text(&status));
}
