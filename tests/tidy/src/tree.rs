//! The files of the tree.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the tree.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path, relative to the root.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Files that a program writes, and nobody reads or edits: the rules are for what people write. The Rust SDK's bindings
/// are those of the contract (`make bindings`; a test of tests/bindings holds them equal).
const GENERATED: [&str; 1] = ["sdk/rust/src/backend/wasm/bindings.rs"];

impl Source {
    /// Whether a program wrote the file.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        GENERATED.contains(&self.path.as_str())
    }

    /// Whether the file holds nothing but tests: it is compiled for tests alone, or belongs to a package of tests.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/examples/")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// Whether the file is compiled for its package's unit tests alone.
    #[must_use]
    pub fn is_unit_test(&self) -> bool {
        let below = self.path.split_once("/src/").map_or("", |(_, below)| below);
        below == "tests.rs"
            || below.ends_with("/tests.rs")
            || below.ends_with("_tests.rs")
            || below.starts_with("tests/")
            || below.contains("/tests/")
    }

    /// The package that the file belongs to, by its folder: `host/core`, `tests/aws`, `sdk/rust`.
    #[must_use]
    pub fn package(&self) -> String {
        let folders: Vec<&str> = self.path.split('/').collect();
        // The first folder holds packages, `tests/` too.
        let mut below = folders.iter().skip(1);
        let depth = below.position(|folder| matches!(*folder, "src" | "tests" | "examples" | "benches"));
        let depth = depth.map_or(2.min(folders.len().saturating_sub(1)), |depth| depth + 1);
        folders.get(..depth).unwrap_or_default().join("/")
    }
}

/// The root of the tree that this package lies in.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files that are kept in version control or are about to be, with this ending.
///
/// # Errors
/// If git cannot list them, or one cannot be read.
pub fn sources(root: &Path, ending: &str) -> io::Result<Vec<Source>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !listed.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr))));
    }
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut sources = Vec::new();
    for path in listed.lines().filter(|path| path.ends_with(ending)) {
        match std::fs::read_to_string(root.join(path)) {
            Ok(text) => sources.push(Source { path: path.to_owned(), text }),
            // It was deleted, and the deletion is not committed yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_file_is_the_folder_above_its_sources() {
        let package = |path: &str| Source { path: path.to_owned(), text: String::new() }.package();
        assert_eq!(package("host/core/src/pipeline/run.rs"), "host/core");
        assert_eq!(package("sdk/rust/macros/src/lib.rs"), "sdk/rust/macros");
        assert_eq!(package("tests/aws/tests/it/main.rs"), "tests/aws");
        assert_eq!(package("tests/kit/demo-api/src/main.rs"), "tests/kit/demo-api");
        assert_eq!(package("tests/e2e/main.rs"), "tests/e2e");
    }
}
