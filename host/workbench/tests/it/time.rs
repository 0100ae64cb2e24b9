//! A case tells how its component spends its time.

use std::path::Path;
use std::time::Duration;

use damper_workbench::Case;

use crate::common::{case_runner_of, component};

/// A case of the hostile provider: one that sleeps until its timeout, and one that computes until then.
fn case(id: &str, kind: &str) -> Case {
    let text = format!("[request]\nid = \"{id}\"\n[expect.failure]\nkind = \"{kind}\"\n");
    Case::parse(Path::new("cases/time.toml"), &text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_sleeps_or_computes_for_long_is_remarked_on_in_a_case_that_passes() {
    let mut file = component("hostile");
    file.manifest.limits.fetch_timeout = Duration::from_secs(1);
    let runner = case_runner_of(file);
    let cases = [case("sleep", "timed-out"), case("loop", "trapped"), case("ok", "rejected")];
    let report = runner.run(&cases).await;
    let [sleeping, looping, quick] = &report.cases[..] else { panic!("{report:?}") };
    assert!(sleeping.has_passed() && looping.has_passed(), "{report:?}");
    assert!(sleeping.notes.len() == 1 && sleeping.notes[0].contains("slept for"), "{:?}", sleeping.notes);
    assert!(sleeping.figures.slept_ms >= 900.0, "{:?}", sleeping.figures);
    assert!(looping.notes.len() == 1 && looping.notes[0].contains("computed for"), "{:?}", looping.notes);
    assert!(looping.figures.slept_ms < 10.0, "{:?}", looping.figures);
    assert!(quick.notes.is_empty(), "{:?}", quick.notes);
}
