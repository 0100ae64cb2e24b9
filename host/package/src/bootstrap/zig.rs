//! zig as the linker for another machine than this one: it has every glibc's symbols, of which it takes the version
//! asked for. If it is not installed, it is downloaded from PyPI once, into Damper's cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use damper_toolchain::{BuildContext, ToolchainError, check_programs, replace_file};

/// The packages to install; the folder's name is derived from them.
const REQUIREMENTS: &str = include_str!("zig/requirements.txt");
const FOLDER: &str = "zig-0.15.2-zigbuild-0.24.1-locked";

/// `cargo zigbuild`, ready to be run.
#[derive(Debug)]
pub(crate) struct Zig {
    /// The folder in which both were installed; `None` if both are on the path.
    folder: Option<PathBuf>,
}

impl Zig {
    /// Finds it, or gets it.
    ///
    /// # Errors
    /// If it is neither installed nor to be had.
    pub(crate) fn find(context: &BuildContext<'_>) -> Result<Self, ToolchainError> {
        if ["cargo-zigbuild", "zig"].iter().all(|program| answers(program, context)) {
            return Ok(Self { folder: None });
        }
        let cache = context.open_cache()?;
        let folder = cache.join(FOLDER);
        if !folder.join("bin/cargo-zigbuild").is_file() {
            context.progress.report("fetching zig and cargo-zigbuild from PyPI (about 100 MB, once)");
            install(&cache, &folder, context)?;
        }
        check_programs(&folder)?;
        Ok(Self { folder: Some(folder) })
    }

    /// Makes a cargo command find it.
    pub(crate) fn set_up(&self, command: &mut Command, context: &BuildContext<'_>) {
        let Some(folder) = &self.folder else { return };
        command.env("CARGO_ZIGBUILD_ZIG_PATH", folder.join("ziglang/zig"));
        let mut path = folder.join("bin").into_os_string();
        if let Some(rest) = context.environment.search_path() {
            path.push(":");
            path.push(rest);
        }
        command.env("PATH", path);
    }
}

fn answers(program: &str, context: &BuildContext<'_>) -> bool {
    let argument = if program == "zig" { "version" } else { "--version" };
    let mut command = context.environment.command(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs it beside its place and moves it there whole, so that two at a time do not disturb each other.
fn install(cache: &Path, folder: &Path, context: &BuildContext<'_>) -> Result<(), ToolchainError> {
    let making = cache.join(format!(".{FOLDER}.{}", std::process::id()));
    let requirements = cache.join(format!(".{FOLDER}.{}.txt", std::process::id()));
    replace_file(&requirements, REQUIREMENTS.as_bytes())?;
    let mut pip = context.environment.command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&making)
        .args(["--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement"])
        .arg(&requirements);
    let done = pip.stdin(Stdio::null()).stdout(Stdio::null()).status();
    // Best effort: what is left over does no harm.
    let _ = std::fs::remove_file(&requirements);
    let installed = done.as_ref().is_ok_and(std::process::ExitStatus::success);
    if installed && (std::fs::rename(&making, folder).is_ok() || folder.is_dir()) {
        return Ok(());
    }
    // Best effort: what is left over does no harm.
    let _ = std::fs::remove_dir_all(&making);
    Err(ToolchainError::Tool {
        program: "the installation of zig, which links for Lambda,",
        status: done.ok().and_then(|status| status.code()),
        hint: "`pip install ziglang cargo-zigbuild` installs it; if that is not possible, package for this machine's \
            architecture only (--arch), or give a ready program with --bootstrap"
            .to_owned(),
    })
}
