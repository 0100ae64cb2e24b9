//! The folder that is deployed from: its changes and its writing. Other modules decide the files' contents.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use damper_toolchain::replace_file;

use crate::error::PackagingError;

/// The folder of the providers' templates.
pub const PROVIDERS: &str = "providers";

/// The change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    New,
    /// It is written anew.
    Changed,
    /// It is taken away.
    Removed,
    /// It stays as it is.
    Unchanged,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A folder for what is deployed.
#[derive(Debug)]
pub struct Dist {
    folder: PathBuf,
}

impl Dist {
    /// The folder with this path, which need not exist yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file that lies there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, PackagingError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PackagingError::file("read", &path)(error)),
        }
    }

    /// The change that a file with this content would get.
    ///
    /// # Errors
    /// If what lies there cannot be read.
    pub(crate) fn compare(&self, name: &str, content: &[u8]) -> Result<Change, PackagingError> {
        Ok(match self.read(name)? {
            None => Change::New,
            Some(found) if found == content => Change::Unchanged,
            Some(_) => Change::Changed,
        })
    }

    /// Writes the files, and takes away those of ours that are none of them.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn write(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, Change>, PackagingError> {
        let mut changes = BTreeMap::new();
        for (name, content) in files {
            let change = self.compare(name, content)?;
            if change != Change::Unchanged {
                replace_file(&self.path(name), content)?;
            }
            changes.insert(name.clone(), change);
        }
        for name in self.stale(|name| files.contains_key(name)) {
            let path = self.path(&name);
            fs::remove_file(&path).map_err(PackagingError::file("remove", &path))?;
            changes.insert(name, Change::Removed);
        }
        Ok(changes)
    }

    /// The files that an earlier run wrote and that are not `wanted` any more.
    pub(crate) fn stale(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let names = |folder: &Path| -> Vec<String> {
            let entries = folder.read_dir().into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let zips = names(&self.folder).into_iter().filter(|name| name.starts_with("damper-") && name.ends_with(".zip"));
        let templates = names(&self.folder.join(PROVIDERS)).into_iter().filter(|name| name.ends_with(".yaml"));
        let mut stale: Vec<String> =
            zips.chain(templates.map(|name| format!("{PROVIDERS}/{name}"))).filter(|name| !wanted(name)).collect();
        stale.sort();
        stale
    }
}
