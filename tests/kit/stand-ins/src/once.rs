//! The files of a stand-in, downloaded or built once.
//!
//! It is made under another name and renamed when it is whole, while a lock file is held: two processes at once make
//! one, and what a killed process leaves is never taken for the whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::environment::folder;

/// The folder `name` of the stand-ins; where it is not there, `make` fills it.
///
/// # Errors
/// Says what `make` says, or what is wrong with the folder.
pub(crate) fn once(name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let stand_ins = folder();
    fs::create_dir_all(&stand_ins).map_err(|error| format!("{} cannot be made: {error}", stand_ins.display()))?;
    let lock = File::create(stand_ins.join("lock")).map_err(|error| format!("no lock file: {error}"))?;
    lock.lock().map_err(|error| format!("the lock file cannot be locked: {error}"))?;
    let home = stand_ins.join(name);
    if home.exists() {
        return Ok(home);
    }
    let draft = stand_ins.join("draft");
    // A killed process may have left one; a missing one is as good.
    let _ = fs::remove_dir_all(&draft);
    make(&draft)?;
    fs::rename(&draft, &home).map_err(|error| format!("{} cannot be renamed: {error}", draft.display()))?;
    Ok(home)
}

/// Run a program to its end. If it fails, its last lines are the error.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{:?} does not run: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim_end().lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
    Err(format!("{:?} failed: {}", command.get_program(), last.join(" / ")))
}
