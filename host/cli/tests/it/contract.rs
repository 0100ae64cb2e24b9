//! `damper inspect --compat`, and what is said of a component of another contract.

use crate::test_dir::{MANIFEST, TestDir, component};

const CONTRACT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/provider.wit"));

#[test]
fn a_contract_that_breaks_what_was_released_is_refused() {
    let changed = CONTRACT.replacen("    attempt: u32,\n", "    attempt: u64,\n", 1);
    let dir = TestDir::with(&[("old.wit", CONTRACT), ("new.wit", &changed), ("odd.wit", "interface {")]);
    insta::assert_snapshot!(dir.damper(&["inspect", "--compat", "old.wit", "new.wit"]));
    let json = dir.damper(&["inspect", "--json", "--compat", "old.wit", "new.wit"]);
    assert!(
        json.contains(r#""compatible":false"#) && json.contains(r#""item":"record types.fetch-request""#),
        "{json}"
    );
    let same = dir.damper(&["inspect", "--compat", "old.wit", "old.wit"]);
    assert!(same.starts_with("exit code 0\n") && same.contains("is the same contract as"), "{same}");
    for (files, part) in [(["old.wit", "odd.wit"], "odd.wit"), (["none.wit", "old.wit"], "none.wit")] {
        let text = dir.damper(&["inspect", "--compat", files[0], files[1]]);
        assert!(text.starts_with("exit code 4\n") && text.contains(part), "{text}");
    }
    assert!(dir.damper(&["inspect"]).starts_with("exit code 2\n"));
}

#[test]
fn a_component_of_another_contract_is_told_both_versions_and_the_fix() {
    let dir = TestDir::new();
    for version in ["0.0.9", "0.1.1", "0.2.0", "1.0.0"] {
        let import = format!("damper:provider/http@{version}");
        dir.write(&format!("{version}.wasm"), &component(&[&import], "fetch-record", MANIFEST));
    }
    let said: String = ["0.0.9", "0.1.1", "0.2.0", "1.0.0"]
        .map(|version| dir.damper(&["inspect", &format!("{version}.wasm")]))
        .concat();
    insta::assert_snapshot!(said);
}
