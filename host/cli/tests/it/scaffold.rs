//! `damper new`: a project of each language anywhere, or nothing at all; and what `damper build` says of folders it
//! cannot build.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::test_dir::{MANIFEST, TestDir};

#[test]
fn a_new_provider_is_a_whole_crate() {
    let dir = TestDir::new();
    let text = dir.damper(&["new", "catfacts", "--path", "deep \"down\"/catfacts"]);
    assert!(text.starts_with("exit code 0\n"), "{text}");
    let folder = dir.path().join("deep \"down\"/catfacts");
    for name in ["Cargo.toml", "provider.toml", "src/lib.rs", ".gitignore", ".cargo/config.toml"] {
        let content = fs::read_to_string(folder.join(name)).unwrap();
        assert!(!content.contains("{{name}}") && !content.contains("{{sdk_path}}"), "{name}: {content}");
    }
    let parent: Vec<_> = fs::read_dir(dir.path().join("deep \"down\"")).unwrap().collect();
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
    let dir = TestDir::with(&[("taken/file", "mine")]);
    let mut said = String::new();
    for name in ["taken", "Cat", "test", "match", "-x", "a_b", ""] {
        said.push_str(&format!("# {name:?}\n{}\n", dir.damper(&["new", "--", name])));
    }
    insta::assert_snapshot!(said);
    assert_eq!(fs::read_to_string(dir.path().join("taken/file")).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Whether a program runs here.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("left out: {program} is not installed");
    }
    there
}

fn succeeds(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {said}{told}");
}

#[test]
fn a_new_provider_of_each_language_passes_its_own_test_with_nothing_installed() {
    let dir = TestDir::new();
    for (language, file, function) in [
        ("rust", "Cargo.toml", "src/lib.rs"),
        ("js", "package.json", "src/provider.js"),
        ("python", "pyproject.toml", "src/provider.py"),
    ] {
        let text = dir.damper(&["new", "cat-facts", "--lang", language, "--path", &format!("new \"{language}\"")]);
        assert!(text.starts_with("exit code 0\n"), "{text}");
        let folder = dir.path().join(format!("new \"{language}\""));
        for name in [file, function, "provider.toml", "cases/found.toml", ".gitignore", "README.md"] {
            let content = fs::read_to_string(folder.join(name)).unwrap();
            assert!(!content.contains("{{"), "{language}: {name}: {content}");
        }
    }
    if is_there("python3") {
        succeeds(&dir.path().join("new \"python\""), "python3", &["-m", "unittest"]);
    }
    if is_there("node") && is_there("npm") {
        let folder = dir.path().join("new \"js\"");
        succeeds(&folder, "npm", &["install", "--offline", "--no-audit", "--no-fund"]);
        succeeds(&folder, "npm", &["test"]);
    }
}

#[test]
fn a_project_of_each_recipe_passes_its_own_test_in_each_language() {
    let dir = TestDir::new();
    for (recipe, mark) in [
        ("oauth2", "kind = \"oauth2-client-credentials\""),
        ("two-step", "max_polls = 200"),
        ("xml", "hosts = [\"soap.example.org\"]"),
    ] {
        let folder = |language: &str| format!("{recipe}-{language}");
        for language in ["rust", "js", "python"] {
            let path = folder(language);
            let text = dir.damper(&["new", "customers", "--lang", language, "--recipe", recipe, "--path", &path]);
            assert!(text.starts_with("exit code 0\n"), "{text}");
            let manifest = fs::read_to_string(dir.path().join(path).join("provider.toml")).unwrap();
            assert!(manifest.contains(mark) && !manifest.contains("{{"), "{manifest}");
        }
        if is_there("python3") {
            succeeds(&dir.path().join(folder("python")), "python3", &["-m", "unittest"]);
        }
        if is_there("node") && is_there("npm") {
            let folder = dir.path().join(folder("js"));
            succeeds(&folder, "npm", &["install", "--offline", "--no-audit", "--no-fund"]);
            succeeds(&folder, "npm", &["test"]);
        }
    }
}

#[test]
fn a_folder_of_no_language_or_of_two_and_tools_that_are_missing_are_named_with_what_to_do() {
    let dir = TestDir::with(&[
        ("none/provider.toml", MANIFEST),
        ("two/provider.toml", MANIFEST),
        ("two/package.json", "{}"),
        ("two/pyproject.toml", ""),
        ("js/provider.toml", MANIFEST),
        ("js/package.json", "{}"),
        ("js-main/provider.toml", MANIFEST),
        ("js-main/package.json", "{\"main\": \"index.js\"}"),
        ("js-bad/provider.toml", MANIFEST),
        ("js-bad/package.json", "{"),
        ("js-tools/provider.toml", MANIFEST),
        ("js-tools/package.json", "{}"),
        ("js-tools/src/provider.js", ""),
        ("python/provider.toml", MANIFEST),
        ("python/pyproject.toml", ""),
        ("python-installs/provider.toml", MANIFEST),
        ("python-installs/pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\"requests>=2\"]\n"),
        ("python-installs/src/provider.py", ""),
        ("python-tools/provider.toml", MANIFEST),
        ("python-tools/pyproject.toml", ""),
        ("python-tools/src/provider.py", ""),
        ("old/node", "#!/bin/sh\necho v18.19.1\n"),
        ("old/python3", "#!/bin/sh\necho Python 3.9.2\n"),
    ]);
    for program in ["node", "python3"] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.path().join("old").join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut said = String::new();
    let mut build = |folder: &str, path: &str| {
        let output = dir.command(&["build", folder]).env("PATH", dir.path().join(path)).output().unwrap();
        said.push_str(&format!("# {folder}, programs of {path:?}\n{}\n", dir.text(&output)));
    };
    for folder in ["none", "two", "js", "js-main", "js-bad", "js-tools", "python", "python-installs", "python-tools"] {
        build(folder, "no-programs");
    }
    build("js-tools", "old");
    build("python-tools", "old");
    insta::assert_snapshot!(said);
}

#[test]
fn what_builds_a_provider_gets_no_secret_of_the_environment() {
    let dir = TestDir::with(&[("provider.toml", MANIFEST), ("Cargo.toml", ""), ("lib/libstd-x.rlib", "")]);
    // A rustc with the target's library, and a cargo that goes no further; both tell which environment they have.
    let rustc = "#!/bin/sh\nenv >> \"${0%/*}/seen\"\ncase \"$*\" in *libdir*) echo \"${0%/*}/lib\" ;; *) echo \"${0%/*}\" ;; esac\n";
    for (name, script) in [("rustc", rustc), ("cargo", "#!/bin/sh\nenv >> \"${0%/*}/seen\"\nexit 1\n")] {
        dir.write(name, script.as_bytes());
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = dir.command(&["build"]);
    command.env("CARGO", dir.path().join("cargo")).env("RUSTC", dir.path().join("rustc"));
    command.env("DEMO_KEY", "hunter2").env("AWS_SECRET_ACCESS_KEY", "hunter2").env("CARGO_NET_RETRY", "3");
    let text = dir.text(&command.output().unwrap());
    let seen = fs::read_to_string(dir.path().join("seen")).unwrap_or_else(|_| panic!("{text}"));
    assert!(seen.contains("CARGO_NET_RETRY=3") && seen.contains("PATH="), "{seen}");
    assert!(!seen.contains("hunter2"), "{seen}");
}
