//! damper.lock: what a provider was granted with its first use, and builds that ask for more.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::house::{House, MANIFEST, provider};

const CONFIG: &str =
    "[providers.demo]\nhosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = { file = \"key\" }\n";
/// The start of the message of a component that is no more than its framing: it was not refused before.
const NOT_REFUSED: &str = "error: the provider demo cannot be loaded";

fn house(config: &str) -> House {
    let house = House::with(&[("damper.toml", config), ("key", "hunter2\n")]);
    fs::set_permissions(house.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
    house.write("demo.wasm", &provider(MANIFEST));
    house
}

fn ask_for(house: &House, hosts: &str) {
    let manifest = MANIFEST.replace("hosts = [\"api.example.org\"]", &format!("hosts = {hosts}"));
    assert_ne!(manifest, MANIFEST);
    house.write("demo.wasm", &provider(&manifest));
}

fn fetch(house: &House) -> String {
    house.damper(&["fetch", "demo", "1", "--param", "lang=en"])
}

fn lock(house: &House) -> String {
    fs::read_to_string(house.path().join("damper.lock")).unwrap()
}

#[test]
fn a_build_that_asks_for_more_is_refused_until_the_operator_accepts_it() {
    let house = house(CONFIG);
    let mut said = format!("# the first use\n{}\n", fetch(&house));
    assert!(said.contains(NOT_REFUSED) && lock(&house).contains("api.example.org"), "{said}");
    let again = fetch(&house);
    assert!(again.contains(NOT_REFUSED) && !again.contains("damper.lock"), "{again}");

    ask_for(&house, "[\"api.example.org\", \"evil.example.net\"]");
    let before = lock(&house);
    said.push_str(&format!("# another build\n{}\n", fetch(&house)));
    let run = {
        house.damper_fed(&["feed", "demo", "-"], b"{\"id\": \"1\", \"params\": {\"lang\": \"en\"}}\n");
        house.damper(&["run"])
    };
    assert!(run.starts_with("exit code 4\n") && run.contains("evil.example.net"), "{run}");
    said.push_str(&format!("# damper lock\n{}\n", house.damper(&["lock"])));
    assert_eq!(lock(&house), before, "nothing is pinned without the operator's word");
    said.push_str(&format!("# damper lock --accept demo\n{}\n", house.damper(&["lock", "--accept", "demo"])));
    assert!(lock(&house).contains("evil.example.net"));
    let after = fetch(&house);
    assert!(after.contains(NOT_REFUSED), "{after}");
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_file_of_the_same_name_is_held_against_the_same_pin() {
    let house = house(CONFIG);
    fetch(&house);
    let manifest = MANIFEST.replace("api.example.org\"]", "evil.example.net\"]");
    house.write("elsewhere/other.wasm", &provider(&manifest));
    let text = house.damper(&["fetch", "elsewhere/other.wasm", "1", "--param", "lang=en"]);
    assert!(text.starts_with("exit code 4\n") && text.contains("asks for more than is pinned"), "{text}");
}

#[test]
fn a_build_that_asks_for_less_is_followed_and_may_not_grow_again() {
    let house = house(CONFIG);
    ask_for(&house, "[\"api.example.org\", \"b.example.org\"]");
    fetch(&house);
    house.write("demo.wasm", &provider(MANIFEST));
    let text = fetch(&house);
    assert!(text.contains(NOT_REFUSED) && !text.contains("damper.lock"), "{text}");
    assert!(!lock(&house).contains("b.example.org"));
    ask_for(&house, "[\"api.example.org\", \"b.example.org\"]");
    assert!(fetch(&house).contains("asks for more than is pinned: the host b.example.org"));
}

#[test]
fn what_the_operator_lists_needs_no_second_word() {
    let house = house(CONFIG);
    fetch(&house);
    let listed = CONFIG.replace("\"manifest\"", "[\"api.example.org\", \"b.example.org\"]");
    house.write("damper.toml", listed.as_bytes());
    assert!(fetch(&house).contains(NOT_REFUSED));
    assert!(lock(&house).contains("b.example.org"), "it is pinned as well");
}

#[test]
fn a_lock_that_is_damaged_stops_everything_and_none_is_written_without_a_damper_toml() {
    let house = house(CONFIG);
    house.write("damper.lock", b"version = 1\n<<<<<<< ours\n");
    for arguments in [["fetch", "demo", "1", "--param", "lang=en"].as_slice(), &["lock"]] {
        let text = house.damper(arguments);
        assert!(text.starts_with("exit code 4\n") && text.contains("damper.lock") && text.contains("hint: "), "{text}");
    }
    let bare = House::new();
    bare.write("demo.wasm", &provider(&MANIFEST.replace("region = \"\"", "region = \"eu\"")));
    assert!(fetch(&bare).contains(NOT_REFUSED));
    assert!(!bare.path().join("damper.lock").exists());
    assert!(bare.damper(&["lock"]).starts_with("exit code 4\n"));
}

#[test]
fn a_provider_that_is_named_by_its_project_is_looked_at_as_it_was_built_last() {
    let house = house(&CONFIG.replace("hosts", "component = \"project\"\nhosts"));
    house.write("project/provider.toml", MANIFEST.as_bytes());
    house.write("project/package.json", b"{}");
    let missing = house.damper(&["lock"]);
    assert!(missing.starts_with("exit code 4\n") && !house.path().join("damper.lock").exists(), "{missing}");
    house.write("project/target/damper/demo.wasm", &provider(MANIFEST));
    assert!(house.damper(&["lock"]).contains("demo  pinned\n"));
    assert!(house.damper(&["lock"]).contains("demo  unchanged\n"));
}
