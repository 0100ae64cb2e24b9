//! `damper doctor` on whatever machine the tests run on: what it looks at, and that looking changes nothing.

use std::fs;

use crate::test_dir::{MANIFEST, TestDir, provider};

fn checks(text: &str) -> Vec<serde_json::Value> {
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    let report: serde_json::Value = serde_json::from_str(line).unwrap();
    report["checks"].as_array().unwrap().clone()
}

#[test]
fn everything_is_looked_at_and_nothing_changed() {
    let dir = TestDir::with(&[("damper.toml", "[providers.demo]\nhosts = \"manifest\"\n")]);
    dir.write("demo.wasm", &provider(MANIFEST));
    let text = dir.damper(&["doctor", "--json"]);
    let checks = checks(&text);
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in [
        "damper",
        "cargo",
        "rustc",
        "wasm32-wasip2",
        "node",
        "npm",
        "python3",
        "cache",
        "clock",
        "time zones",
        "open files",
        "engine",
        "kernel",
        "hardening",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let of = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(of("damper.toml")["found"], "damper.toml");
    assert_eq!(of("providers")["found"], "demo (Europe/Berlin)");
    // These tests are run by a cargo, on a machine that runs components.
    assert!(["cargo", "rustc", "cache", "time zones"].iter().all(|name| of(name)["state"] == "ok"), "{text}");
    for check in &checks {
        assert_eq!(check["state"] == "ok", check["mend"].is_null(), "{check}");
    }
    let has_problem = checks.iter().any(|check| check["state"] == "problem");
    assert!(text.starts_with(if has_problem { "exit code 4\n" } else { "exit code 0\n" }), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is made");
    assert_eq!(fs::read_dir(dir.cache()).unwrap().count(), 0, "nothing is kept");
}

#[test]
fn a_provider_that_cannot_be_read_is_a_problem() {
    let dir = TestDir::with(&[("damper.toml", "[providers.gone]\nhosts = \"manifest\"\n")]);
    let text = dir.damper(&["doctor"]);
    assert!(text.starts_with("exit code 4\n"), "{text}");
    assert!(text.contains("gone: there is no component") && text.contains("to fix it: "), "{text}");
    let wrong = TestDir::with(&[("damper.toml", "odd = 1\n")]).damper(&["doctor"]);
    assert!(wrong.starts_with("exit code 4\n") && wrong.contains("unknown field `odd`"), "{wrong}");
}
