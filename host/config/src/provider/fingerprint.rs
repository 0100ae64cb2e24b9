//! A fingerprint of a provider's component and settings: cheap to take, and compared with the one before.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml::Table;

use super::find;
use crate::config::{Config, LayeredSettings};

/// A file as it was at one moment. A file that is replaced or written differs in one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// In seconds and nanoseconds.
    modified: (i64, i64),
    /// When its metadata changed, which no program can set.
    changed: (i64, i64),
}

/// A provider's settings and its component's file at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    settings: Table,
    /// None: there is no such file.
    component: Option<FileIdentity>,
}

impl FileIdentity {
    /// The file of this path; none if it cannot be found.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata: Metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_path_buf(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Fingerprint {
    /// A provider's now.
    #[must_use]
    pub fn take(config: &Config, provider: &str) -> Self {
        let settings = config.layers(provider).map(LayeredSettings::table).unwrap_or_default();
        let component = find(config, provider).ok().and_then(|path| FileIdentity::of(&path));
        Self { settings, component }
    }

    /// Whether the component's file is the same, and only settings may differ.
    #[must_use]
    pub fn has_same_component(&self, other: &Self) -> bool {
        self.component == other.component
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_fingerprint_differs_after_each_change_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("gleif.wasm");
        fs::write(&component, "one").unwrap();
        let take = |settings: &str| {
            let text = format!("components = {:?}\n[providers.gleif]\n{settings}\n", folder.path());
            Fingerprint::take(&Config::parse(&text).unwrap(), "gleif")
        };
        let before = take("hosts = [\"a.test\"]");
        assert_eq!(take("hosts   =   ['a.test'] # the same"), before);
        let other = take("hosts = [\"b.test\"]");
        assert!(other != before && other.has_same_component(&before));
        // Another file of the same name and size.
        fs::write(folder.path().join("new"), "two").unwrap();
        fs::rename(folder.path().join("new"), &component).unwrap();
        let replaced = take("hosts = [\"a.test\"]");
        assert!(replaced != before && !replaced.has_same_component(&before));
        fs::remove_file(&component).unwrap();
        assert_ne!(take("hosts = [\"a.test\"]"), replaced);
    }
}
