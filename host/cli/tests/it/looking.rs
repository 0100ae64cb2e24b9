//! Commands that look at what is there: inspect, status, dead-letters, export, resume.

use crate::test_dir::{MANIFEST, TestDir, provider};

#[test]
fn inspect_shows_what_a_component_is_and_asks_for() {
    let dir = TestDir::new();
    dir.write("demo.wasm", &provider(MANIFEST));
    insta::assert_snapshot!(dir.damper(&["inspect", "demo.wasm"]));
    let text = dir.damper(&["inspect", "demo.wasm", "--json"]);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    let shown: serde_json::Value = serde_json::from_str(line).unwrap();
    insta::assert_snapshot!("inspect-json", serde_json::to_string_pretty(&shown).unwrap());
}

#[test]
fn what_a_component_says_of_itself_reaches_no_terminal_as_it_is() {
    let dir = TestDir::new();
    dir.write("demo.wasm", &provider(&MANIFEST.replace("\"\"", "\"\\u001b[2J\\u009b31m\"")));
    let text = dir.damper(&["inspect", "demo.wasm"]);
    assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
}

#[test]
fn without_a_database_it_is_said_where_one_would_be() {
    let dir = TestDir::new();
    let commands: [&[&str]; 4] = [&["status"], &["run"], &["resume", "demo"], &["dead-letters", "list"]];
    for command in commands {
        let text = dir.damper(command);
        assert!(text.starts_with("exit code 4\n") && text.contains("damper.db"), "{text}");
    }
    assert!(!dir.path().join("damper.db").exists(), "looking makes nothing");
    insta::assert_snapshot!(dir.damper(&["export", "demo"]));
}

#[test]
fn status_and_dead_letters_of_a_stream_that_was_fed() {
    let dir = TestDir::with(&[("ids.txt", "1\n2\n")]);
    dir.damper(&["feed", "demo", "ids.txt"]);
    let mut said = dir.damper(&["status"]);
    said.push_str(&dir.damper(&["dead-letters", "list"]));
    said.push_str(&dir.damper(&["dead-letters", "show", "7"]));
    said.push_str(&dir.damper(&["dead-letters", "redrive"]));
    said.push_str(&dir.damper(&["dead-letters", "redrive", "--provider", "demo"]));
    said.push_str(&dir.damper(&["resume", "demo", "--allow-dead-letters", "5"]));
    insta::assert_snapshot!(said);
}

#[test]
fn a_mistyped_name_is_answered_with_the_name_that_was_meant() {
    let dir = TestDir::with(&[("damper.toml", "[providers.harbourside]\n"), ("ids.txt", "1\n")]);
    dir.damper(&["feed", "harbourside", "ids.txt"]);
    let commands: [&[&str]; 7] = [
        &["status"],
        &["pause"],
        &["resume"],
        &["dead-letters", "list"],
        &["dead-letters", "redrive", "--provider"],
        &["run"],
        &["fetch"],
    ];
    for command in commands {
        let arguments: Vec<&str> = command.iter().chain(&["harborside"]).copied().collect();
        let arguments = if command == ["fetch"] { [&arguments[..], &["1"]].concat() } else { arguments };
        let said = dir.damper(&arguments);
        assert!(said.starts_with("exit code 4\n"), "{said}");
        assert!(said.contains("did you mean harbourside?"), "{said}");
    }
    let nothing_near = dir.damper(&["status", "gleif"]);
    assert!(nothing_near.contains("gleif was never fed and is not in damper.toml"), "{nothing_near}");
    assert!(!nothing_near.contains("did you mean"), "{nothing_near}");
}

#[test]
fn dead_letters_of_one_provider_are_listed_by_its_name_or_by_the_option() {
    let dir = TestDir::with(&[("ids.txt", "1\n")]);
    dir.damper(&["feed", "demo", "ids.txt"]);
    for arguments in [&["dead-letters", "list", "demo"][..], &["dead-letters", "list", "--provider", "demo"]] {
        let said = dir.damper(arguments);
        assert_eq!(said, "exit code 0\n-- stdout\n-- stderr\nno dead letters\n");
    }
    let both = dir.damper(&["dead-letters", "list", "demo", "--provider", "demo"]);
    assert!(both.starts_with("exit code 2\n"), "{both}");
}

#[test]
fn a_pause_is_told_with_its_reason_until_it_is_resumed() {
    let dir = TestDir::with(&[("ids.csv", "id,lang\n1,en\n2,en\n")]);
    dir.write("demo.wasm", &provider(MANIFEST));
    dir.damper(&["feed", "demo", "ids.csv"]);
    let paused = dir.damper(&["pause", "demo", "--reason", "they asked\u{1b}[2J us"]);
    assert!(paused.contains("demo is paused; `damper resume demo` ends the pause"), "{paused}");
    let status = dir.damper(&["status", "demo"]);
    for part in ["paused since ", "they asked\\u{1b}[2J us", "mapping disabled", "by operator", "1000 of 1000 requests"]
    {
        assert!(status.contains(part), "{part}: {status}");
    }
    let nobody = dir.damper(&["pause", "nobody"]);
    assert!(nobody.starts_with("exit code 4\n") && nobody.contains("never fed"), "{nobody}");
    let again = dir.damper(&["pause", "demo"]);
    assert!(again.contains("demo is already stopped") && again.contains("they asked"), "{again}");
    let resumed = dir.damper(&["resume", "demo"]);
    assert!(resumed.contains("demo is resumed; it was stopped since "), "{resumed}");
    let status = dir.damper(&["status", "demo", "--json"]);
    assert!(status.contains(r#""enabled":true"#) && status.contains(r#""breaker":{"state":"closed"}"#), "{status}");
}

#[test]
fn charts_that_cannot_be_written_are_told_before_anything_is_fetched() {
    let dir = TestDir::with(&[("ids.csv", "id,lang\n1,en\n"), ("charts", "a file")]);
    dir.damper(&["feed", "demo", "ids.csv"]);
    let said = dir.damper(&["run", "demo", "--charts", "charts"]);
    assert!(said.starts_with("exit code 5\n") && said.contains("cannot make the folder for charts"), "{said}");
}

#[test]
fn how_the_slow_loop_runs_is_checked() {
    for (toml, complaint) in [
        ("[mapping]\ntick = \"0s\"", "mapping.tick must be at least"),
        ("[mapping]\nlag = \"soon\"", "not a duration"),
        ("[mapping]\ntock = \"1m\"", "unknown field `tock`"),
    ] {
        let said = TestDir::with(&[("damper.toml", toml)]).damper(&["status"]);
        assert!(said.starts_with("exit code 4\n") && said.contains(complaint), "{said}");
    }
}

#[test]
fn export_reads_what_lies_in_the_sink() {
    let dir = TestDir::new();
    let line = |id: &str| {
        format!(
            r#"{{"provider":"demo","id":"{id}","day":"2026-05-01","fetched_at":"2026-05-01T00:00:00Z","attempt":1,"component":"sha256:00","content_type":"application/json","body":{{"a":1}}}}"#
        )
    };
    dir.write("out/demo/2026-05-01/owner/000000.ndjson", format!("{}\n{}\n", line("=1"), line("2")).as_bytes());
    dir.write("out/demo/2026-05-02/owner/000000.ndjson", format!("{}\nbroken\n", line("3")).as_bytes());
    let mut said = dir.damper(&["export", "demo", "--day", "2026-05-01"]);
    said.push_str(&dir.damper(&["export", "demo", "--day", "2026-05-01", "--format", "csv"]));
    said.push_str(&dir.damper(&["export", "demo", "-o", "all.ndjson"]));
    assert!(!dir.path().join("all.ndjson").exists(), "whole or not at all");
    said.push_str(&dir.damper(&["export", "demo", "-o", "all.ndjson", "--skip-broken"]));
    insta::assert_snapshot!(said);
    let written = std::fs::read_to_string(dir.path().join("all.ndjson")).unwrap();
    assert_eq!(written.lines().count(), 3);
}
