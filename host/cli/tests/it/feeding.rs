//! `damper feed`: what is accepted, what is malformed, and what of it is enqueued.

use std::fs;

use crate::test_dir::{MANIFEST, TestDir, provider};

fn pending(dir: &TestDir) -> u64 {
    let text = dir.damper(&["status", "--json"]);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    let state: serde_json::Value = serde_json::from_str(line).unwrap();
    state["counts"]["pending"].as_u64().unwrap()
}

#[test]
fn malformed_lines_are_told_by_number_and_the_others_are_enqueued() {
    let dir = TestDir::new();
    let mut items = b"\xef\xbb\xbffirst\r\n\r\n\"quoted\" 'id'\r\n\xe6\x9d\xb1\xe4\xba\xac\n\xff\xfe\n".to_vec();
    items.extend("x".repeat(10_240).bytes());
    items.extend(b"\nwith\ttab\n");
    dir.write("items.txt", &items);
    insta::assert_snapshot!(dir.damper(&["feed", "demo", "items.txt"]));
    assert_eq!(pending(&dir), 4);
    insta::assert_snapshot!("kept", dir.damper(&["feed", "demo", "items.txt", "--keep-malformed"]));
    assert_eq!(pending(&dir), 4 + 6);
}

#[test]
fn only_the_first_malformed_lines_are_listed() {
    let dir = TestDir::new();
    let items: String = (0..25).map(|_| "{\"id\": 1}\n").collect();
    dir.write("items.ndjson", items.as_bytes());
    let text = dir.damper(&["feed", "demo", "items.ndjson"]);
    assert!(text.starts_with("exit code 4\n"), "{text}");
    assert_eq!(text.matches("is malformed").count(), 10, "{text}");
    assert!(text.contains("and 15 more malformed lines"), "{text}");
}

#[test]
fn standard_input_and_a_guessed_format() {
    let dir = TestDir::new();
    let csv = b"id,lang\n1,en\n2,\n";
    let ndjson = b"{\"id\":\"a\",\"params\":{\"lang\":\"de\"}}\n{\"id\":\"b\\nc\"}\n";
    for input in [&csv[..], ndjson, b"1\n2\n"] {
        let text = dir.damper_fed(&["feed", "demo", "-"], input);
        assert!(text.contains("demo: 2 items accepted, 0 malformed"), "{text}");
    }
    assert_eq!(pending(&dir), 6);
}

#[test]
fn what_belongs_to_the_identity_is_asked_for_where_the_component_is_there() {
    let dir = TestDir::new();
    dir.write("demo.wasm", &provider(MANIFEST));
    dir.write("items.csv", b"id,lang\n1,en\n2,\n");
    insta::assert_snapshot!(dir.damper(&["feed", "demo", "items.csv", "--json"]));
}

#[test]
fn a_mistyped_name_is_refused_where_damper_toml_lists_providers() {
    let dir = TestDir::with(&[("damper.toml", "[providers.harbourside]\n"), ("ids.txt", "1\n")]);
    let mut said = String::new();
    for name in ["harborside", "gleif"] {
        said.push_str(&dir.damper(&["feed", name, "ids.txt"]));
    }
    assert!(!dir.path().join("damper.db").exists(), "nothing is enqueued");
    // A provider that is listed may be fed before its component is built.
    said.push_str(&dir.damper(&["feed", "harbourside", "ids.txt"]));
    insta::assert_snapshot!(said);
    assert_eq!(pending(&dir), 1);
}

#[test]
fn where_no_providers_are_listed_a_similar_name_is_asked_for_and_the_items_are_enqueued() {
    let dir = TestDir::with(&[("ids.txt", "1\n")]);
    dir.write("demo.wasm", &provider(MANIFEST));
    let said = dir.damper(&["feed", "demmo", "ids.txt"]);
    assert!(said.starts_with("exit code 0\n") && said.contains("did you mean demo?"), "{said}");
    // A component in the folder is a provider, whether the file lists it or not.
    dir.write("damper.toml", b"[providers.other]\n");
    let said = dir.damper_fed(&["feed", "demo", "-", "--format", "csv"], b"id,lang\n1,en\n");
    assert!(said.starts_with("exit code 0\n"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_or_has_no_ids() {
    let dir = TestDir::with(&[("items.csv", "name,lang\na,b\n"), ("folder/x", "")]);
    let mut said = String::new();
    for file in ["missing.txt", "items.csv", "folder"] {
        said.push_str(&format!("{}\n", dir.damper(&["feed", "demo", file])));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn an_empty_file_is_no_error() {
    let dir = TestDir::with(&[("items.txt", "\n\n")]);
    let text = dir.damper(&["feed", "demo", "items.txt"]);
    assert!(text.starts_with("exit code 0\n") && text.contains("0 items accepted"), "{text}");
}

#[test]
fn more_than_one_transaction() {
    let dir = TestDir::new();
    let items: String = (0..12_345).map(|number| format!("item-{number}\n")).collect();
    dir.write("items.txt", items.as_bytes());
    let text = dir.damper(&["feed", "demo", "items.txt"]);
    assert!(text.contains("demo: 12345 items accepted, 0 malformed"), "{text}");
    assert_eq!(pending(&dir), 12_345);
}

#[test]
fn what_is_made_can_be_read_by_whom_the_configuration_names() {
    use std::os::unix::fs::PermissionsExt;
    for (setting, file, folder) in
        [("", 0o600, 0o700), ("readable_by = \"group\"\n", 0o640, 0o750), ("readable_by = \"all\"\n", 0o644, 0o755)]
    {
        let dir = TestDir::with(&[("damper.toml", setting)]);
        let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        let text = dir.damper_fed(&["feed", "demo", "-"], b"1\n");
        assert!(text.starts_with("exit code 0\n"), "{text}");
        assert_eq!(mode("damper.db"), file, "{setting}");
        // There is no component, which is told; the folders are made all the same.
        dir.damper(&["run", "--charts", "charts"]);
        assert_eq!([mode("charts"), mode("out")], [folder; 2], "{setting}");
    }
}
