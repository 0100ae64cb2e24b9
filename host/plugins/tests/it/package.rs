//! Providers out of a package: compiled ahead of time, read lazily, and refused where they are not what was packaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use damper_core::fetcher::Fetcher;
use damper_core::record::FailureKind;
use damper_plugins::compiler::Compiler;
use damper_plugins::component_file::{ComponentFile, embed_manifest};
use damper_plugins::package::{self, Architecture, Package, PackageError, PackagedProvider};
use damper_plugins::{HostOptions, Plugin, PluginHost};
use tempfile::TempDir;

use crate::common::{HOST, HOSTILE, Setup, fetch};

const SETTINGS: &str = "hosts = [\"hostile.test\"]\n";

#[cfg(target_arch = "x86_64")]
const HERE: Architecture = Architecture::X86_64;
#[cfg(target_arch = "x86_64")]
const ELSEWHERE: Architecture = Architecture::Aarch64;
#[cfg(not(target_arch = "x86_64"))]
const HERE: Architecture = Architecture::Aarch64;
#[cfg(not(target_arch = "x86_64"))]
const ELSEWHERE: Architecture = Architecture::X86_64;

/// The component, compiled once for all tests.
static CODE: LazyLock<Vec<u8>> = LazyLock::new(|| package::compile(&Compiler::InProcess, &HOSTILE, HERE).unwrap());

/// The component under another name.
fn rename_component(name: &str) -> ComponentFile {
    let manifest = HOSTILE.manifest_text.replacen("\"hostile\"", &format!("{name:?}"), 1);
    ComponentFile::from_bytes("named.wasm", embed_manifest(&HOSTILE.bytes, &manifest).unwrap()).unwrap()
}

fn write_package(names: &[&str]) -> (TempDir, Package) {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let files = package::files(name, &rename_component(name), HERE, CODE.clone(), SETTINGS);
        package::write(folder.path(), &files).unwrap();
    }
    let package = Package::open(folder.path()).unwrap();
    (folder, package)
}

fn description(folder: &TempDir, provider: &str) -> PathBuf {
    folder.path().join("providers").join(provider).join("provider.json")
}

/// The code of a component that was renamed.
fn code(folder: &TempDir, name: &str) -> PathBuf {
    let digest = rename_component(name).digest;
    folder.path().join("components").join(format!("{}.cwasm", digest.strip_prefix("sha256:").unwrap()))
}

#[test]
fn a_package_says_what_the_host_stores_for_an_instance() {
    let (folder, _package) = write_package(&["plain"]);
    let described = fs::read_to_string(description(&folder, "plain")).unwrap();
    assert!(HOSTILE.instance_bytes > 0);
    assert!(described.contains(&format!("\"instance_bytes\": {}", HOSTILE.instance_bytes)), "{described}");
}

fn plugin(host: &PluginHost, provider: &PackagedProvider) -> Plugin {
    let setup = Setup::new(&[]);
    host.load_packaged(provider, provider.manifest.clone(), setup.grants).unwrap()
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_packaged_provider_fetches_like_its_component() {
    let (_folder, package) = write_package(&["hostile"]);
    let provider = package.provider("hostile").unwrap();
    let plugin = plugin(&HOST, &provider);
    assert_eq!(provider.settings, SETTINGS);
    assert_eq!((provider.digest(), plugin.digest()), (HOSTILE.digest.as_str(), HOSTILE.digest.as_str()));
    let ours = fetch(&plugin, "ok", &[]).await.unwrap();
    let theirs = fetch(&Setup::new(&[]).plugin(), "ok", &[]).await.unwrap();
    assert_eq!(ours.body, theirs.body);
}

#[tokio::test]
async fn only_the_wanted_providers_own_files_are_read() {
    let (folder, package) = write_package(&["broken", "hostile", "other"]);
    for file in [description, code] {
        fs::write(file(&folder, "broken"), b"not what it was").unwrap();
        fs::remove_file(file(&folder, "other")).unwrap();
    }
    assert_eq!(package.names().unwrap(), ["broken", "hostile", "other"]);
    let plugin = plugin(&HOST, &package.provider("hostile").unwrap());
    fetch(&plugin, "ok", &[]).await.unwrap();
}

#[tokio::test]
async fn code_is_looked_at_with_the_first_fetch_and_once() {
    let (folder, package) = write_package(&["hostile"]);
    let code = code(&folder, "hostile");
    let provider = package.provider("hostile").unwrap();
    let (early, beside) = (plugin(&HOST, &provider), plugin(&HOST, &provider));
    let other_host = PluginHost::new(HostOptions::default()).unwrap();
    let late = plugin(&other_host, &provider);
    fetch(&early, "ok", &[]).await.unwrap();
    fs::remove_file(&code).unwrap();
    fetch(&early, "ok", &[]).await.unwrap();
    fetch(&beside, "ok", &[]).await.expect("the same code, mapped once");
    let failure = fetch(&late, "ok", &[]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert!(failure.message.contains("hostile cannot be read from"), "{failure}");
}

#[tokio::test]
async fn code_that_is_not_what_was_packaged_never_runs() {
    let (folder, package) = write_package(&["hostile"]);
    let code = code(&folder, "hostile");
    let mut damaged = CODE.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for content in [damaged, CODE[..middle].to_vec(), Vec::new()] {
        fs::write(&code, content).unwrap();
        let provider = package.provider("hostile").unwrap();
        assert!(matches!(provider.verify(), Err(PackageError::AnotherDigest { .. })));
        let failure = fetch(&plugin(&HOST, &provider), "ok", &[]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken);
        assert!(failure.message.contains("the code of hostile has changed since it was packaged"), "{failure}");
    }
}

#[test]
fn what_cannot_run_here_is_refused_with_both_versions_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let code = package::compile(&Compiler::InProcess, &HOSTILE, ELSEWHERE).unwrap();
    package::write(folder.path(), &package::files("hostile", &HOSTILE, ELSEWHERE, code, "")).unwrap();
    let package = Package::open(folder.path()).unwrap();
    let error = package.provider("hostile").unwrap_err().to_string();
    let expected = format!("hostile was compiled for {}, and this machine is {}", ELSEWHERE.name(), HERE.name());
    assert!(error.contains(&expected), "{error}");

    let (folder, package) = write_package(&["hostile"]);
    let description = description(&folder, "hostile");
    rewrite(&description, "\"wasmtime ", "\"wasmtime 1.");
    let error = package.provider("hostile").unwrap_err();
    assert!(matches!(error, PackageError::AnotherEngine { .. }), "{error}");
    assert!(error.to_string().contains("hostile was compiled by wasmtime 1.4"), "{error}");
    rewrite(&description, "\"wasmtime 1.", "\"wasmtime ");
    rewrite(&description, "\"code\": \"", "\"code\": \"0");
    let error = package.provider("hostile").unwrap_err();
    assert!(matches!(error, PackageError::AnotherDamper { .. }), "{error}");
}

#[test]
fn what_is_not_in_the_package_is_told_apart_from_what_is_damaged() {
    let (folder, package) = write_package(&["hostile"]);
    for name in ["other", "../hostile", "", "hostile/../hostile", "Hostile", "\u{1b}[2J"] {
        let error = package.provider(name).unwrap_err();
        assert!(matches!(error, PackageError::NotPackaged { .. }), "{name}: {error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let description = description(&folder, "hostile");
    let whole = fs::read_to_string(&description).unwrap();
    fs::write(&description, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(package.provider("hostile"), Err(PackageError::Damaged { .. })));
    // The digest becomes a path.
    fs::write(&description, whole.replacen("sha256:", "sha256:/../", 1)).unwrap();
    assert!(matches!(package.provider("hostile"), Err(PackageError::Damaged { .. })));
    fs::write(&description, whole.replacen("max_concurrency", "max_konkurrenz", 1)).unwrap();
    assert!(matches!(package.provider("hostile"), Err(PackageError::Manifest { .. })));
    let nothing = tempfile::tempdir().unwrap();
    assert!(matches!(Package::open(nothing.path()), Err(PackageError::NoPackage { .. })));
}

#[tokio::test]
async fn providers_of_one_component_share_its_code_and_have_settings_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for (provider, settings) in [("acme", "hosts = [\"acme.test\"]\n"), ("beta", "hosts = [\"beta.test\"]\n")] {
        package::write(folder.path(), &package::files(provider, &HOSTILE, HERE, CODE.clone(), settings)).unwrap();
    }
    assert_eq!(folder.path().join("components").read_dir().unwrap().count(), 1);
    let package = Package::open(folder.path()).unwrap();
    assert_eq!(package.names().unwrap(), ["acme", "beta"]);
    let [acme, beta] = ["acme", "beta"].map(|name| package.provider(name).unwrap());
    assert_eq!((acme.manifest.name.as_str(), acme.manifest.component.as_str()), ("acme", "hostile"));
    assert_ne!(acme.settings, beta.settings);
    assert_eq!(acme.digest(), beta.digest());
    fetch(&plugin(&HOST, &beta), "ok", &[]).await.unwrap();
}

#[test]
fn the_same_component_gives_the_same_files() {
    for architecture in [HERE, ELSEWHERE] {
        let [one, two] = [(), ()].map(|()| {
            package::files(
                "hostile",
                &HOSTILE,
                architecture,
                package::compile(&Compiler::InProcess, &HOSTILE, architecture).unwrap(),
                SETTINGS,
            )
        });
        assert!(one == two, "{}", architecture.name());
    }
}

#[test]
fn code_asks_for_no_more_than_the_architectures_baseline() {
    // The engine notes each feature of the processor that code may use: name, kind (2: a truth value), value.
    let value = |code: &[u8], feature: &str| {
        let at = code.windows(feature.len()).position(|window| window == feature.as_bytes()).unwrap();
        [code[at + feature.len()], code[at + feature.len() + 1]]
    };
    let [x86, arm] = [Architecture::X86_64, Architecture::Aarch64]
        .map(|to| package::compile(&Compiler::InProcess, &HOSTILE, to).unwrap());
    for feature in ["has_sse41", "has_avx", "has_avx2", "has_bmi1", "has_lzcnt"] {
        assert_eq!(value(&x86, feature), [2, 0], "{feature}");
    }
    for feature in ["has_lse", "has_fp16"] {
        assert_eq!(value(&arm, feature), [2, 0], "{feature}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "cargo tells its own path by the environment")]
fn without_the_feature_compile_no_compiler_is_linked() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let tree = |features: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["tree", "-p", "damper-plugins", "-e", "normal", "--prefix", "none", "--locked"]).args(features);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let compilers = |tree: &str| {
        tree.lines().filter(|line| line.contains("cranelift-codegen") || line.contains("-cranelift v")).count()
    };
    assert_eq!(compilers(&tree(&[])), 0);
    assert!(compilers(&tree(&["--features", "compile"])) > 0, "the names that are looked for are the right ones");
}
