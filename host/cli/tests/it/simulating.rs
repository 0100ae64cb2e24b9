//! `damper simulate`: what it shows of a run, and what it says of scenarios that are none.

use crate::test_dir::TestDir;

const SCENARIO: &str = r#"
about = "a cap of ten"
duration = "5m"
max_concurrency = 20
fetch_timeout = "5s"
[api]
latency = { median = "200ms", sigma = 0.4 }
concurrency = { limit = 10 }
"#;

#[test]
fn a_scenario_is_run_shown_and_drawn_and_is_the_same_every_time() {
    let dir = TestDir::with(&[("cap.toml", SCENARIO)]);
    let shown = dir.damper(&["simulate", "cap.toml", "--svg", "cap.svg"]);
    for part in ["exit code 0", "cap: a cap of ten", "damper, seed 1, 5:00 simulated", "share of the oracle", "fed "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let svg = std::fs::read_to_string(dir.path().join("cap.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("optimal API concurrency"));
    assert_eq!(shown, dir.damper(&["simulate", "cap.toml", "--svg", "cap.svg"]));
}

#[test]
fn json_holds_every_second() {
    let dir = TestDir::with(&[("cap.toml", SCENARIO)]);
    let text = dir.damper(&["simulate", "cap.toml", "--json", "--algorithm", "fixed=5"]);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    let shown: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(shown["algorithm"], "fixed=5");
    assert_eq!(shown["seconds"].as_array().unwrap().len(), 300);
}

#[test]
fn algorithms_are_compared_over_a_folder() {
    let dir = TestDir::with(&[("cap.toml", SCENARIO)]);
    let text = dir.damper(&["simulate", "--compare", "."]);
    for part in ["THE WHOLE PIPELINE", "THE LIMITER ALONE", "geometric mean", "vector-arc"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn scenarios_and_algorithms_that_are_none() {
    let dir = TestDir::with(&[("cap.toml", &SCENARIO.replace("limit = 10", "limit = 0"))]);
    let mut said = dir.damper(&["simulate", "cap.toml"]);
    said.push_str(&dir.damper(&["simulate", "missing.toml"]));
    said.push_str(&dir.damper(&["simulate", "cap.toml", "--algorithm", "luck"]));
    said.push_str(&dir.damper(&["simulate"]));
    insta::assert_snapshot!(said);
}
