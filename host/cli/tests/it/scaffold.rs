//! `damper new`: a crate anywhere, or nothing at all.

use std::fs;
use std::process::Command;

use crate::house::House;

#[test]
fn a_new_provider_is_a_whole_crate() {
    let house = House::new();
    let text = house.damper(&["new", "catfacts", "--path", "deep \"down\"/catfacts"]);
    assert!(text.starts_with("exit code 0\n"), "{text}");
    let folder = house.path().join("deep \"down\"/catfacts");
    for name in ["Cargo.toml", "provider.toml", "src/lib.rs", ".gitignore", ".cargo/config.toml"] {
        let content = fs::read_to_string(folder.join(name)).unwrap();
        assert!(!content.contains("{{name}}") && !content.contains("{{sdk_path}}"), "{name}: {content}");
    }
    let parent: Vec<_> = fs::read_dir(house.path().join("deep \"down\"")).unwrap().collect();
    assert_eq!(parent.len(), 1, "nothing half made is left behind");
    // Cargo finds the crate, and the SDK that it depends on.
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
}

#[test]
fn bad_names_and_folders_that_exist_are_refused() {
    let house = House::with(&[("taken/file", "mine")]);
    let mut said = String::new();
    for name in ["taken", "Cat", "test", "match", "-x", "a_b", ""] {
        said.push_str(&format!("# {name:?}\n{}\n", house.damper(&["new", "--", name])));
    }
    insta::assert_snapshot!(said);
    assert_eq!(fs::read_to_string(house.path().join("taken/file")).unwrap(), "mine");
    assert_eq!(fs::read_dir(house.path()).unwrap().count(), 1);
}
