//! Writes files in one step.

use std::fs;
use std::path::Path;

use crate::error::ToolchainError;

/// Write a file so that it is there whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<(), ToolchainError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(ToolchainError::file("make the folder", folder))?;
    let mut draft = path.file_name().unwrap_or_default().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = folder.join(draft);
    let written = fs::write(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // Best effort: it may never have been made.
        let _ = fs::remove_file(&draft);
    }
    written.map_err(ToolchainError::file("write", path))
}
