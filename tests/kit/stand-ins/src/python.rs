//! A virtual environment with the pinned packages of `requirements.txt`, made once for each set of them. It is used
//! through its `bin/python` alone, which bears that the folder is renamed when it is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::environment::say;
use crate::once::{once, run};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The Python of the virtual environment, which is made where it is missing. Also for other tools of it, for example
/// `python -m cfnlint`.
///
/// # Errors
/// Says what is missing.
pub fn python() -> Result<&'static Path, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(find).as_deref().map_err(Clone::clone)
}

fn find() -> Result<PathBuf, String> {
    let version = run(Command::new("python3").args(["-c", "import sys; print(sys.version)"]))
        .map_err(|error| format!("install Python 3.10 or later with its venv module ({error})"))?;
    Ok(once(&name(&version.stdout), install)?.join("bin/python"))
}

fn install(home: &Path) -> Result<(), String> {
    say("stand-ins: installing moto and ministack from PyPI, once, about a minute ...");
    run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
    run(Command::new(home.join("bin/python")).args(pip).arg(&requirements)).map(drop)
}

/// The environment's name: another Python or another package is another environment.
fn name(version: &[u8]) -> String {
    let digest = Sha256::new().chain_update(REQUIREMENTS).chain_update(version).finalize();
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("python-{short}")
}
