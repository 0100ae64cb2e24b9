//! Finds the component that an earlier build made of a project, and compares its age with the sources'.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders in a project that no component is made of.
const NOT_SOURCE: [&str; 4] = ["cases", "fixtures", "node_modules", "target"];
/// Folders beside the sources, for tests alone. Within the sources such a name may be a module's.
const TESTS: [&str; 2] = ["test", "tests"];
/// How the names of files beside the sources begin that are for people alone.
const FOR_PEOPLE: [&str; 4] = ["CHANGELOG", "LICENSE", "NOTICE", "README"];
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

/// When the newest file that a component may be made of was changed.
fn newest_change(folder: &Path, depth: usize) -> Option<SystemTime> {
    let mut newest = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(data) = entry.metadata() else { continue };
        let changed = if data.is_dir() {
            let is_for_tests = depth == 0 && TESTS.contains(&name.as_str());
            let is_left_out = name.starts_with('.') || NOT_SOURCE.contains(&name.as_str()) || is_for_tests;
            if !is_left_out && depth < MAX_DEPTH { newest_change(&entry.path(), depth + 1) } else { None }
        } else if depth == 0 && FOR_PEOPLE.iter().any(|begin| name.starts_with(begin)) {
            None
        } else {
            data.modified().ok()
        };
        newest = newest.max(changed);
    }
    newest
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;
    use crate::files::replace_file;

    #[test]
    fn files_for_people_cases_and_tests_make_no_component_old() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let later = built + Duration::from_secs(60);
        let set = |name: &str, time| {
            replace_file(&at(name), name.as_bytes()).unwrap();
            File::options().write(true).open(at(name)).unwrap().set_modified(time).unwrap();
        };
        set("src/lib.rs", built - Duration::from_secs(60));
        let component = "target/damper/x.wasm";
        set(component, built);
        for name in ["README.md", "LICENSE", "cases/found.toml", "tests/it.rs", "test/a.js", "target/x", ".git/index"] {
            set(name, later);
        }
        assert!(is_newer(&at(component), folder.path()));
        for name in ["provider.toml", "src/README.md", "src/tests/new.rs"] {
            set(name, later);
            assert!(!is_newer(&at(component), folder.path()), "{name}");
            set(name, built - Duration::from_secs(60));
        }
    }
}
