//! Finds the component that an earlier build made of a project, and compares its age with the sources'.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders in a project that no component is made of.
const NOT_SOURCE: [&str; 4] = ["cases", "fixtures", "node_modules", "target"];
/// The most folders below a project's that are looked through.
const MAX_DEPTH: usize = 16;

/// The component that a build made of the project in `folder`: in cargo's target folder, which is that of the crate's
/// workspace, a folder above it, or `target` where the environment names one.
#[must_use]
pub fn find_built(folder: &Path, name: &str, target: Option<&Path>) -> Option<PathBuf> {
    let file = format!("damper/{name}.wasm");
    if let Some(target) = target {
        return Some(target.join(file)).filter(|path| path.is_file());
    }
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().map(|above| above.join("target").join(&file)).find(|path| path.is_file())
}

/// Whether a component is newer than the sources of its project.
#[must_use]
pub fn is_newer(component: &Path, folder: &Path) -> bool {
    let Ok(built) = fs::metadata(component).and_then(|data| data.modified()) else { return false };
    newest_change(folder, 0).is_some_and(|changed| changed < built)
}

/// When the newest file of a crate was changed.
fn newest_change(folder: &Path, depth: usize) -> Option<SystemTime> {
    let mut newest = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(data) = entry.metadata() else { continue };
        let changed = if data.is_dir() {
            let is_source = !name.starts_with('.') && !NOT_SOURCE.contains(&name.as_str()) && depth < MAX_DEPTH;
            if is_source { newest_change(&entry.path(), depth + 1) } else { None }
        } else {
            data.modified().ok()
        };
        newest = newest.max(changed);
    }
    newest
}
