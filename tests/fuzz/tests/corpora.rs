//! Every fuzz target, over every input that is kept for it: found bugs stay found, and each target is known to run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking, as its tests do")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use damper_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_holds_for_every_input_of_its_corpus() {
    let mut failing = Vec::new();
    for (name, target) in TARGETS {
        let folder = corpus().join(name);
        for file in names(&folder) {
            let data = std::fs::read(folder.join(&file)).unwrap();
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                failing.push(format!("{name}/{file}"));
            }
        }
    }
    assert!(failing.is_empty(), "targets that fail, with inputs in {}: {failing:#?}", corpus().display());
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&corpus()), targets);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let programs: BTreeSet<String> =
        names(&programs).iter().filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    assert_eq!(programs, targets);
    for name in &targets {
        assert!(names(&corpus().join(name)).len() >= 3, "the corpus of {name} has no inputs");
    }
}
