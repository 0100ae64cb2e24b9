//! `damper test` where there is nothing to test, or nothing to test it with.

use crate::test_dir::{MANIFEST, TestDir, provider};

const CASE: &str = "[request]\nid = \"1\"\n[expect.record]\nbody = \"x\"\n";

#[test]
fn what_cannot_be_tested_is_named() {
    let dir = TestDir::with(&[
        ("cases/a.toml", CASE),
        ("wrong/unknown.toml", &CASE.replace("id", "retries = 3\nid")),
        ("wrong/both.toml", &format!("{CASE}[expect.failure]\nkind = \"throttled\"\n")),
        ("wrong/no-file.toml", &CASE.replace("[expect", "[[exchange]]\nrequest = { url = \"https://a.test/\" }\nresponse = { status = 200, body_file = \"nope\" }\n[expect")),
        ("empty/notes.txt", ""),
        ("built/provider.toml", MANIFEST),
    ]);
    dir.write("demo.wasm", &provider(MANIFEST));
    let runs: [&[&str]; 9] = [
        &["test"],
        &["test", "nowhere"],
        &["test", "built", "--no-build"],
        &["test", "demo.wasm"],
        &["test", "demo.wasm", "--cases", "empty"],
        &["test", "demo.wasm", "--cases", "cases", "--filter", "nope"],
        &["test", "demo.wasm", "--cases", "wrong"],
        &["test", "demo.wasm", "--cases", "cases", "--conformance"],
        &["test", "demo.wasm", "--cases", "cases", "--conformance", "--bless"],
    ];
    let mut said = String::new();
    for arguments in runs {
        said.push_str(&format!("# damper {}\n{}\n", arguments.join(" "), dir.damper(arguments)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_case_fails_where_the_component_cannot_run() {
    let dir = TestDir::with(&[("cases/a.toml", &format!("{CASE}[config]\nregion = \"eu\"\n"))]);
    dir.write("demo.wasm", &provider(MANIFEST));
    let said = dir.damper(&["test", "demo.wasm", "--cases", "cases"]);
    assert!(said.starts_with("exit code 4\n") && said.contains("failed as broken"), "{said}");
}
