//! Shared by the tests: components, case runners, cases.

use std::path::{Path, PathBuf};

use damper_plugins::component_file::ComponentFile;
use damper_plugins::{Cache, CacheKey};
use damper_workbench::{Case, CaseRunner};

#[allow(clippy::disallowed_methods, reason = "where a test's components lie is said by the environment")]
pub(crate) fn component(name: &str) -> ComponentFile {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/components"));
    let folder = std::env::var_os("DAMPER_TEST_COMPONENTS").map_or_else(default, PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `make components`", path.display());
    ComponentFile::read(&path).unwrap()
}

/// A case runner for a component. Compiled code is cached for the next run.
pub(crate) fn case_runner(name: &str) -> CaseRunner {
    case_runner_of(component(name))
}

/// A case runner for a component that was read already.
pub(crate) fn case_runner_of(file: ComponentFile) -> CaseRunner {
    let folder = PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/damper-workbench"));
    CaseRunner::new(file, Some(Cache { folder, key: CacheKey::new([7; 32]) })).unwrap()
}

/// The cases of a provider's folder, from the workspace's.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(folder);
    Case::read_folder(&folder).unwrap()
}
