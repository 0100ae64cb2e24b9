//! Cargo, run so that a provider comes out the same whatever the machine is set to.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::compiled::Compiled;
use crate::environment::BuildEnvironment;
use crate::error::ToolchainError;

const TARGET: &str = "wasm32-wasip2";

/// The profile: small, one unit, no unwinding and no names.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=\"s\"",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=true",
    "profile.release.debug=false",
];

/// Variables of the environment that would change a build.
const CLEARED: [&str; 12] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
    "CARGO_TARGET_WASM32_WASIP2_LINKER",
    "CARGO_TARGET_WASM32_WASIP2_RUNNER",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CARGO_INCREMENTAL",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// A line of what cargo tells in JSON, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Compile the crate in `folder`. Cargo tells its progress and its complaints on standard error.
///
/// # Errors
/// If it does not compile, or is no library for a component.
pub(crate) fn build(
    environment: &BuildEnvironment,
    folder: &Path,
    rustc: &Path,
    cache: &Path,
) -> Result<Compiled, ToolchainError> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(ToolchainError::file("read", &manifest))?;
    let metadata = metadata(environment, &manifest)?;
    let ours = metadata.packages.iter().find(|package| package.manifest_path == manifest);
    let makes_component =
        |package: &Package| package.targets.iter().any(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
    if !ours.is_some_and(makes_component) {
        let hint = "write in Cargo.toml:\n  [lib]\n  crate-type = [\"cdylib\", \"rlib\"]";
        return Err(ToolchainError::input_in(&manifest, "the crate has no library of type cdylib", hint));
    }
    let folder = metadata.target_directory.join("damper");
    let mut command = build_command(environment, &manifest, rustc, &folder);
    command.env("CARGO_ENCODED_RUSTFLAGS", map_paths(cache, environment.cargo_home().as_deref()));
    let output = run(command, &manifest)?;
    let wasm = artifact(&output.stdout, &manifest).ok_or_else(|| {
        ToolchainError::cannot("find the compiled library", "cargo reported no .wasm file of this crate's library")
    })?;
    Ok(Compiled { wasm, folder })
}

/// The folder for what `damper build` makes of the crate with this Cargo.toml.
///
/// # Errors
/// If cargo cannot read it.
pub(crate) fn folder_of(environment: &BuildEnvironment, manifest: &Path) -> Result<PathBuf, ToolchainError> {
    Ok(metadata(environment, manifest)?.target_directory.join("damper"))
}

/// Compile the tests of the crate in `folder` and run each with the command `runner`. Returns whether they pass; cargo
/// prints the reason.
///
/// # Errors
/// If there is no crate, or cargo cannot be run.
pub(crate) fn test(
    environment: &BuildEnvironment,
    folder: &Path,
    rustc: &Path,
    runner: &[String],
    arguments: &[String],
) -> Result<bool, ToolchainError> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().map_err(ToolchainError::file("read", &manifest))?;
    let target = metadata(environment, &manifest)?.target_directory.join("damper");
    let mut command = environment.cargo();
    command.current_dir(manifest.parent().unwrap_or(Path::new(".")));
    command.args([
        "test",
        "--tests",
        "--target",
        TARGET,
        "--config",
        "profile.dev.debug=false",
        "--config",
        &runner_setting(runner),
    ]);
    command.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(target.join(rustc_folder(rustc)));
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    without_foreign_settings(&mut command, rustc);
    command.stdin(Stdio::null()).status().map(|status| status.success()).map_err(cannot_run)
}

/// The program that runs a test, as cargo's setting in TOML: in the environment a path with a space would fall apart.
fn runner_setting(runner: &[String]) -> String {
    let words = runner.iter().cloned().map(toml::Value::String).collect();
    format!("target.{TARGET}.runner={}", toml::Value::Array(words))
}

fn metadata(environment: &BuildEnvironment, manifest: &Path) -> Result<Metadata, ToolchainError> {
    let mut command = environment.cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest);
    command.current_dir(manifest.parent().unwrap_or(Path::new(".")));
    let output = run(command, manifest)?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| ToolchainError::cannot("read cargo's metadata of the crate", error))
}

fn build_command(environment: &BuildEnvironment, manifest: &Path, rustc: &Path, folder: &Path) -> Command {
    let mut command = environment.cargo();
    // The crate's folder, whose rust-toolchain.toml counts.
    command.current_dir(manifest.parent().unwrap_or(Path::new(".")));
    command.args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(folder.join(rustc_folder(rustc)));
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    without_foreign_settings(&mut command, rustc);
    command
}

/// The flags with which rustc writes no path of this machine into a component: a panic names its source file, and the
/// SDK and other dependencies lie below somebody's home.
fn map_paths(cache: &Path, cargo_home: Option<&Path>) -> OsString {
    let mut flags = OsString::new();
    for (folder, name) in [(Some(cache), "/damper"), (cargo_home, "/cargo")] {
        let Some(folder) = folder else { continue };
        // Cargo splits the flags here.
        flags.push(if flags.is_empty() { "" } else { "\u{1f}" });
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

/// Takes out of the environment what is not the provider's own, and names the compiler.
fn without_foreign_settings(command: &mut Command, rustc: &Path) {
    for name in CLEARED {
        command.env_remove(name);
    }
    // Set and empty, these also overrule cargo's configuration files.
    command.env("CARGO_ENCODED_RUSTFLAGS", "").env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command.env("RUSTC", rustc);
}

/// A folder for each rustc: cargo does not notice when the standard library changes under an unchanged version.
fn rustc_folder(rustc: &Path) -> String {
    let digest = Sha256::digest(rustc.as_os_str().as_encoded_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("rustc-{digest}")
}

fn run(mut command: Command, manifest: &Path) -> Result<Output, ToolchainError> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(cannot_run)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(ToolchainError::Compile { path: manifest.to_path_buf() })
}

fn cannot_run(error: io::Error) -> ToolchainError {
    let hint = format!("it cannot be run ({error}); install Rust from https://rustup.rs");
    ToolchainError::Tool { program: "cargo", status: None, hint }
}

/// The .wasm file among what cargo tells of.
fn artifact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let messages =
        messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    messages
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_of_this_machine_is_compiled_in() {
        let flags = map_paths(Path::new("/home/me/.cache/damper"), Some(Path::new("/home/me/.cargo")));
        let flags: Vec<&str> = flags.to_str().unwrap().split('\u{1f}').collect();
        assert_eq!(
            flags,
            ["--remap-path-prefix=/home/me/.cache/damper=/damper", "--remap-path-prefix=/home/me/.cargo=/cargo"]
        );
        assert_eq!(map_paths(Path::new("/c"), None), "--remap-path-prefix=/c=/damper");
    }
}
