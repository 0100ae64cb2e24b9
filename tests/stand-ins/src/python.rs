//! A virtual environment with the pinned packages of `requirements.txt`, made once for each set of them.
//!
//! It is made under another name and renamed when it is whole, while a lock file is held: two processes at once make one, and
//! what a killed process leaves is never taken for the whole. It is used through its `bin/python` alone, which bears renaming.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::environment::{folder, say};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The Python of the virtual environment, which is made where it is missing. Also for other tools of it, for example
/// `python -m cfnlint`.
///
/// # Errors
/// Says what is missing.
pub fn python() -> Result<&'static Path, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(|| make(&folder())).as_deref().map_err(Clone::clone)
}

fn make(folder: &Path) -> Result<PathBuf, String> {
    let version = run(Command::new("python3").args(["-c", "import sys; print(sys.version)"]))
        .map_err(|error| format!("install Python 3.10 or later with its venv module ({error})"))?;
    let home = folder.join(name(&version.stdout));
    let python = home.join("bin/python");
    fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let lock = File::create(folder.join("lock")).map_err(|error| format!("no lock file: {error}"))?;
    lock.lock().map_err(|error| format!("the lock file cannot be locked: {error}"))?;
    if python.exists() {
        return Ok(python);
    }
    say("stand-ins: installing moto and ministack from PyPI, once, about a minute ...");
    let draft = folder.join("draft");
    // A killed process may have left one; a missing one is as good.
    let _ = fs::remove_dir_all(&draft);
    run(Command::new("python3").args(["-m", "venv"]).arg(&draft))?;
    let requirements = draft.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
    run(Command::new(draft.join("bin/python")).args(pip).arg(&requirements))?;
    fs::rename(&draft, &home).map_err(|error| format!("{} cannot be renamed: {error}", draft.display()))?;
    Ok(python)
}

/// The environment's name: another Python or another package is another environment.
fn name(version: &[u8]) -> String {
    let digest = Sha256::new().chain_update(REQUIREMENTS).chain_update(version).finalize();
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("python-{short}")
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{:?} does not run: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim_end().lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
    Err(format!("{:?} failed: {}", command.get_program(), last.join(" / ")))
}
