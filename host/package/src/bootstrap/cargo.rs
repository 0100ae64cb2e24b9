//! Cargo, run so that `bootstrap` comes out the same whatever the machine is set to, and for another architecture than
//! its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use damper_plugins::package::Architecture;
use damper_toolchain::{BuildContext, ToolchainError};
use serde::Deserialize;

use super::zig::Zig;
use crate::elf::{LAMBDA_GLIBC, Program};
use crate::error::PackagingError;
use crate::templates::aws_name;

/// Variables of the environment that would change a build.
const CLEARED: [&str; 8] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CARGO_INCREMENTAL",
    "RUSTC",
    "CARGO_BUILD_RUSTC",
];
/// The profile: the workspace's, without names.
const PROFILE: &str = "profile.release.strip=true";

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// A line of what cargo tells in JSON, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// A way to build for an architecture.
struct Build<'a> {
    source: &'a Path,
    context: &'a BuildContext<'a>,
    architecture: Architecture,
    /// Cargo's target folder.
    folder: PathBuf,
    /// Whether cargo-auditable is there: the program then holds the list of the crates that it was built of, for `cargo
    /// audit bin` and others that look for known vulnerabilities.
    is_auditable: bool,
}

/// Builds the program, with this machine's linker if its output runs in Lambda, else with zig. Returns the path.
pub(crate) fn build(
    architecture: Architecture,
    source: &Path,
    context: &BuildContext<'_>,
) -> Result<PathBuf, PackagingError> {
    let metadata = run(&mut cargo(source, context, &["metadata", "--no-deps", "--format-version", "1"]), source)?;
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout)
        .map_err(|error| PackagingError::cannot("read cargo's metadata of Damper's source tree", error))?;
    let folder = metadata.target_directory.join("package");
    let build = Build { source, context, architecture, folder, is_auditable: has_auditable(source, context) };
    if !build.is_auditable {
        context.progress.report(
            "bootstrap will contain no list of its dependencies: cargo-auditable is not installed \
            (cargo install --locked cargo-auditable)",
        );
    }
    build.make_sure_of_target()?;
    if architecture.name() != std::env::consts::ARCH || std::env::consts::OS != "linux" {
        return build.with_zig();
    }
    let path = build.natively()?;
    let bytes = std::fs::read(&path).map_err(PackagingError::file("read the program that cargo built", &path))?;
    if Program::read(&bytes).is_ok_and(|program| program.check().is_err()) {
        context
            .progress
            .report(&format!("this machine links against a glibc newer than {LAMBDA_GLIBC}; linking again with zig"));
        return build.with_zig();
    }
    Ok(path)
}

impl Build<'_> {
    fn target(&self) -> String {
        format!("{}-unknown-linux-gnu", self.architecture.name())
    }

    /// Makes sure that rustc has the target's standard library.
    fn make_sure_of_target(&self) -> Result<(), PackagingError> {
        if self.has_target() {
            return Ok(());
        }
        let target = self.target();
        self.context.progress.report(&format!("adding the Rust target {target} (rustup target add)"));
        let mut rustup = self.context.environment.command("rustup");
        rustup.args(["target", "add", &target]).current_dir(self.source).stdin(Stdio::null()).stdout(Stdio::null());
        let added = rustup.status().is_ok_and(|status| status.success());
        if added && self.has_target() {
            return Ok(());
        }
        Err(ToolchainError::Tool {
            program: "the search for Rust's standard library",
            status: None,
            hint: format!(
                "`rustup target add {target}` installs it; if that is not possible, package for {} only (--arch), or \
                    give a ready program with --bootstrap",
                aws_name(match self.architecture {
                    Architecture::X86_64 => Architecture::Aarch64,
                    Architecture::Aarch64 => Architecture::X86_64,
                })
            ),
        }
        .into())
    }

    fn has_target(&self) -> bool {
        let mut rustc = self.context.environment.command("rustc");
        rustc.args(["--print", "target-libdir", "--target", &self.target()]).current_dir(self.source);
        let Ok(output) = rustc.stdin(Stdio::null()).output() else { return false };
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let mut files = folder.read_dir().into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    }

    fn cargo(&self, subcommand: &str) -> Command {
        let auditable: &[&str] = if self.is_auditable { &["auditable"] } else { &[] };
        cargo(self.source, self.context, &[auditable, &[subcommand]].concat())
    }

    fn natively(&self) -> Result<PathBuf, PackagingError> {
        let mut command = self.cargo("build");
        self.program(&mut command, &self.target())
    }

    fn with_zig(&self) -> Result<PathBuf, PackagingError> {
        let zig = Zig::find(self.context)?;
        let mut command = self.cargo("zigbuild");
        zig.set_up(&mut command, self.context);
        self.program(&mut command, &format!("{}.{LAMBDA_GLIBC}", self.target()))
    }

    fn program(&self, command: &mut Command, target: &str) -> Result<PathBuf, PackagingError> {
        command.args(["--release", "--locked", "-p", "damper-lambda", "--bin", "bootstrap", "--config", PROFILE]);
        command.args(["--message-format", "json-render-diagnostics", "--target", target]);
        command.arg("--target-dir").arg(&self.folder);
        for name in CLEARED {
            command.env_remove(name);
        }
        // The program must contain neither the path of the source tree nor code for this processor only.
        let mut flags = OsString::from("--remap-path-prefix=");
        flags.push(self.source);
        flags.push("=damper");
        command.env("CARGO_ENCODED_RUSTFLAGS", flags).env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
        let output = run(command, self.source)?;
        let messages = output.stdout.split(|byte| *byte == b'\n');
        let executable = messages
            .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
            .filter(|message| message.reason == "compiler-artifact")
            .find_map(|message| message.executable);
        executable.ok_or_else(|| {
            PackagingError::cannot("find the program that cargo built", "cargo reported no program named bootstrap")
        })
    }
}

fn has_auditable(source: &Path, context: &BuildContext<'_>) -> bool {
    let mut command = cargo(source, context, &["auditable", "--version"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn cargo(source: &Path, context: &BuildContext<'_>, arguments: &[&str]) -> Command {
    let mut command = context.environment.cargo();
    // The tree's folder, whose rust-toolchain.toml counts.
    command.args(arguments).current_dir(source);
    command
}

fn run(command: &mut Command, source: &Path) -> Result<Output, PackagingError> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| ToolchainError::Tool {
        program: "cargo",
        status: None,
        hint: format!("it cannot be run ({error}); install Rust from https://rustup.rs"),
    })?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(ToolchainError::Compile { path: source.to_path_buf() }.into())
    }
}
