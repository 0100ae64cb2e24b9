//! damper.lock: what a provider was granted with its first use, and builds that ask for more.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::test_dir::{MANIFEST, TestDir, provider};

const CONFIG: &str =
    "[providers.demo]\nhosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = { file = \"key\" }\n";
/// The start of the message of a component that is no more than its framing: it was not refused before.
const NOT_REFUSED: &str = "error: the provider demo cannot be loaded";

fn new_test_dir(config: &str) -> TestDir {
    let dir = TestDir::with(&[("damper.toml", config), ("key", "hunter2\n")]);
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    dir.write("demo.wasm", &provider(MANIFEST));
    dir
}

fn ask_for(dir: &TestDir, hosts: &str) {
    let manifest = MANIFEST.replace("hosts = [\"api.example.org\"]", &format!("hosts = {hosts}"));
    assert_ne!(manifest, MANIFEST);
    dir.write("demo.wasm", &provider(&manifest));
}

fn fetch(dir: &TestDir) -> String {
    dir.damper(&["fetch", "demo", "1", "--param", "lang=en"])
}

fn lock(dir: &TestDir) -> String {
    fs::read_to_string(dir.path().join("damper.lock")).unwrap()
}

#[test]
fn a_build_that_asks_for_more_is_refused_until_the_operator_accepts_it() {
    let dir = new_test_dir(CONFIG);
    let mut said = format!("# the first use\n{}\n", fetch(&dir));
    assert!(said.contains(NOT_REFUSED) && lock(&dir).contains("api.example.org"), "{said}");
    let again = fetch(&dir);
    assert!(again.contains(NOT_REFUSED) && !again.contains("damper.lock"), "{again}");

    ask_for(&dir, "[\"api.example.org\", \"evil.example.net\"]");
    let before = lock(&dir);
    said.push_str(&format!("# another build\n{}\n", fetch(&dir)));
    let run = {
        dir.damper_fed(&["feed", "demo", "-"], b"{\"id\": \"1\", \"params\": {\"lang\": \"en\"}}\n");
        dir.damper(&["run"])
    };
    assert!(run.starts_with("exit code 4\n") && run.contains("evil.example.net"), "{run}");
    said.push_str(&format!("# damper lock\n{}\n", dir.damper(&["lock"])));
    assert_eq!(lock(&dir), before, "nothing is pinned without the operator's word");
    said.push_str(&format!("# damper lock --accept demo\n{}\n", dir.damper(&["lock", "--accept", "demo"])));
    assert!(lock(&dir).contains("evil.example.net"));
    let after = fetch(&dir);
    assert!(after.contains(NOT_REFUSED), "{after}");
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_build_that_moves_its_token_endpoint_is_refused_until_the_operator_accepts_it() {
    let dir = new_test_dir(CONFIG);
    let client = |host: &str| {
        let url = format!("https://{host}/token");
        format!("{MANIFEST}[credentials.client]\nkind = \"oauth2-client-credentials\"\ntoken_url = {url:?}\n")
    };
    dir.write("demo.wasm", &provider(&client("auth.example.org")));
    fetch(&dir);
    assert!(lock(&dir).contains("client = \"auth.example.org\""), "{}", lock(&dir));
    dir.write("demo.wasm", &provider(&client("evil.example.net")));
    let text = fetch(&dir);
    let asked = "asks for more than is pinned: tokens of the credential \"client\" from evil.example.net";
    assert!(text.starts_with("exit code 4\n") && text.contains(asked), "{text}");
    dir.damper(&["lock", "--accept", "demo"]);
    assert!(fetch(&dir).contains(NOT_REFUSED) && lock(&dir).contains("client = \"evil.example.net\""));
}

#[test]
fn a_file_of_the_same_name_is_held_against_the_same_pin() {
    let dir = new_test_dir(CONFIG);
    fetch(&dir);
    let manifest = MANIFEST.replace("api.example.org\"]", "evil.example.net\"]");
    dir.write("elsewhere/other.wasm", &provider(&manifest));
    let text = dir.damper(&["fetch", "elsewhere/other.wasm", "1", "--param", "lang=en"]);
    assert!(text.starts_with("exit code 4\n") && text.contains("asks for more than is pinned"), "{text}");
}

#[test]
fn a_build_that_asks_for_less_is_followed_and_may_not_grow_again() {
    let dir = new_test_dir(CONFIG);
    ask_for(&dir, "[\"api.example.org\", \"b.example.org\"]");
    fetch(&dir);
    dir.write("demo.wasm", &provider(MANIFEST));
    let text = fetch(&dir);
    assert!(text.contains(NOT_REFUSED) && !text.contains("damper.lock"), "{text}");
    assert!(!lock(&dir).contains("b.example.org"));
    ask_for(&dir, "[\"api.example.org\", \"b.example.org\"]");
    assert!(fetch(&dir).contains("asks for more than is pinned: the host b.example.org"));
}

#[test]
fn what_the_operator_lists_needs_no_second_word() {
    let dir = new_test_dir(CONFIG);
    fetch(&dir);
    let listed = CONFIG.replace("\"manifest\"", "[\"api.example.org\", \"b.example.org\"]");
    dir.write("damper.toml", listed.as_bytes());
    assert!(fetch(&dir).contains(NOT_REFUSED));
    assert!(lock(&dir).contains("b.example.org"), "it is pinned as well");
}

#[test]
fn a_lock_that_is_damaged_stops_everything_and_none_is_written_without_a_damper_toml() {
    let dir = new_test_dir(CONFIG);
    dir.write("damper.lock", b"version = 1\n<<<<<<< ours\n");
    for arguments in [["fetch", "demo", "1", "--param", "lang=en"].as_slice(), &["lock"]] {
        let text = dir.damper(arguments);
        assert!(text.starts_with("exit code 4\n") && text.contains("damper.lock") && text.contains("hint: "), "{text}");
    }
    let bare = TestDir::new();
    bare.write("demo.wasm", &provider(&MANIFEST.replace("region = \"\"", "region = \"eu\"")));
    assert!(fetch(&bare).contains(NOT_REFUSED));
    assert!(!bare.path().join("damper.lock").exists());
    assert!(bare.damper(&["lock"]).starts_with("exit code 4\n"));
}

#[test]
fn a_provider_that_is_named_by_its_project_is_looked_at_as_it_was_built_last() {
    let dir = new_test_dir(&CONFIG.replace("hosts", "component = \"project\"\nhosts"));
    dir.write("project/provider.toml", MANIFEST.as_bytes());
    dir.write("project/package.json", b"{}");
    let missing = dir.damper(&["lock"]);
    assert!(missing.starts_with("exit code 4\n") && !dir.path().join("damper.lock").exists(), "{missing}");
    dir.write("project/target/damper/demo.wasm", &provider(MANIFEST));
    assert!(dir.damper(&["lock"]).contains("demo  pinned\n"));
    assert!(dir.damper(&["lock"]).contains("demo  unchanged\n"));
}
