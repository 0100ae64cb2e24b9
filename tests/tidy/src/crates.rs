//! Which crate may use which, and what the core may not use at all.

use std::collections::BTreeMap;

use crate::Finding;
use crate::tree::Source;

/// The crates of `host/`, and those of them that each may use: data and decisions in the core, effects around it.
const ARROWS: [(&str, &[&str]); 14] = [
    ("host/core", &[]),
    ("host/hardening", &[]),
    ("host/plugins", &["core"]),
    ("host/config", &["core", "plugins"]),
    ("host/local", &["core"]),
    ("host/aws", &["core"]),
    ("host/runner", &["config", "core", "hardening", "local", "plugins"]),
    ("host/sim", &["core"]),
    ("host/workbench", &["core", "plugins"]),
    ("host/toolchain", &["core", "plugins"]),
    ("host/package", &["core", "plugins", "toolchain"]),
    ("host/registry", &["core"]),
    ("host/lambda", &["aws", "core", "hardening", "plugins"]),
    (
        "host/cli",
        &[
            "aws",
            "config",
            "core",
            "hardening",
            "local",
            "package",
            "plugins",
            "registry",
            "runner",
            "sim",
            "toolchain",
            "workbench",
        ],
    ),
];
/// Crates that the core may not use: the core decides, and the crates around it act.
const NOT_IN_CORE: [&str; 7] = ["aws", "clap", "lambda", "reqwest", "rusqlite", "wasi", "wasmtime"];

/// Dependencies that go against the arrows. `manifests`: the `Cargo.toml` files.
#[must_use]
pub fn wrong_dependencies(manifests: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in manifests {
        let folder = manifest.path.trim_end_matches("Cargo.toml").trim_end_matches('/');
        let dependencies = dependencies(manifest);
        let arrows = ARROWS.iter().find(|(crate_folder, _)| *crate_folder == folder);
        match arrows {
            Some((_, allowed)) => {
                let ours = dependencies.iter().filter_map(|(name, line)| Some((name.strip_prefix("damper-")?, *line)));
                findings.extend(ours.filter(|(name, _)| !allowed.contains(name)).map(|(name, line)| {
                    let message = format!("{folder} may not use damper-{name}: see the arrows in docs/ARCHITECTURE.md");
                    Finding::new(&manifest.path, line, message)
                }));
            }
            None if folder.starts_with("host/") => {
                findings.push(Finding::new(
                    &manifest.path,
                    1,
                    "a new crate: name its arrows in tests/tidy/src/crates.rs",
                ));
            }
            None => {}
        }
        if folder == "host/core" {
            let foreign = |name: &str| {
                NOT_IN_CORE.iter().any(|foreign| name == *foreign || name.starts_with(&format!("{foreign}-")))
            };
            let foreign = dependencies.iter().filter(|(name, _)| foreign(name));
            findings.extend(foreign.map(|(name, line)| {
                Finding::new(&manifest.path, *line, format!("the core may not use {name}: put it behind a port"))
            }));
        }
    }
    findings
}

/// The names under `[dependencies]`, those for one platform too, with the lines where they first stand.
fn dependencies(manifest: &Source) -> BTreeMap<String, usize> {
    let Ok(table) = manifest.text.parse::<toml::Table>() else { return BTreeMap::new() };
    let mut names = Vec::new();
    let mut add = |table: Option<&toml::Value>| {
        names.extend(table.and_then(toml::Value::as_table).into_iter().flat_map(|table| table.keys().cloned()));
    };
    add(table.get("dependencies"));
    for target in table.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values) {
        add(target.get("dependencies"));
    }
    let line = |name: &String| {
        manifest.text.lines().position(|line| line.starts_with(name.as_str())).map_or(1, |line| line + 1)
    };
    names.into_iter().map(|name| (name.clone(), line(&name))).collect()
}

/// The core reading the environment: its settings are passed in.
#[must_use]
pub fn environment_in_core(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("host/core/src/") {
        return Vec::new();
    }
    let lines =
        source.text.lines().enumerate().filter(|(_, line)| line.contains("std::env") || line.contains("env::var"));
    lines.map(|(index, _)| Finding::new(&source.path, index + 1, "the core reads no environment: pass it in")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(folder: &str, dependencies: &str) -> Source {
        Source { path: format!("{folder}/Cargo.toml"), text: format!("[dependencies]\n{dependencies}") }
    }

    #[test]
    fn a_dependency_against_the_arrows_is_found() {
        let manifests = [
            manifest("host/plugins", "damper-core.workspace = true\ndamper-local.workspace = true\n"),
            manifest(
                "host/core",
                "serde = \"1\"\nwasmtime-wasi = \"1\"\n[target.'cfg(unix)'.dependencies]\nclap = \"4\"\n",
            ),
            manifest("host/new", ""),
            manifest("tests/aws", "damper-cli = \"1\"\n"),
        ];
        let found: Vec<String> = wrong_dependencies(&manifests).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "host/plugins/Cargo.toml:3: host/plugins may not use damper-local: see the arrows in docs/ARCHITECTURE.md",
                "host/core/Cargo.toml:5: the core may not use clap: put it behind a port",
                "host/core/Cargo.toml:3: the core may not use wasmtime-wasi: put it behind a port",
                "host/new/Cargo.toml:1: a new crate: name its arrows in tests/tidy/src/crates.rs",
            ]
        );
    }

    #[test]
    fn the_environment_is_found_in_the_core_alone() {
        let source = |path: &str| Source { path: path.to_owned(), text: "use std::env;".to_owned() };
        assert_eq!(environment_in_core(&source("host/core/src/a.rs")).len(), 1);
        assert!(environment_in_core(&source("host/cli/src/a.rs")).is_empty());
    }
}
