//! The folder that is deployed from: its changes and its writing. Other modules decide the files' contents.

mod staging;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use staging::Staging;

use crate::archive;
use crate::error::PackagingError;
use crate::removals::Removals;

/// The folder of the providers' templates.
pub const PROVIDERS: &str = "providers";
/// The ending of a template's name.
const TEMPLATE: &str = ".yaml";

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

    /// The names of the providers that an earlier run packaged: those with a template, and those in a zip. A zip that
    /// cannot be read holds none.
    ///
    /// # Errors
    /// If the folder, or a file of it, cannot be read.
    pub(crate) fn providers(&self) -> Result<BTreeSet<String>, PackagingError> {
        let mut providers = BTreeSet::new();
        for name in self.zips()? {
            let path = self.path(&name);
            let file = File::open(&path).map_err(PackagingError::file("read", &path))?;
            // Nobody can deploy a zip that cannot be read.
            let paths = archive::paths(file).unwrap_or_default();
            providers.extend(paths.iter().filter_map(|path| archive::provider_of(path)).map(str::to_owned));
        }
        providers.extend(self.templates()?.iter().filter_map(|name| name.strip_suffix(TEMPLATE)).map(str::to_owned));
        Ok(providers)
    }

    /// Checks that a package takes no provider out of the folder whose removal was not asked for.
    ///
    /// # Errors
    /// If it would, one that is to be removed is not there, or the folder cannot be read.
    pub(crate) fn check_removals(&self, removals: &Removals<'_>) -> Result<(), PackagingError> {
        let compared = removals.compare(&self.providers()?);
        compared.map_err(|(what, hint)| PackagingError::input_in(&self.folder, what, hint))
    }

    /// Writes the files, and takes away those of ours that are none of them: all of that, or nothing where an error is
    /// answered. One run writes at a time.
    ///
    /// # Errors
    /// If the folder cannot be written, another run writes to it, or a provider would go that is not to be removed.
    pub(crate) fn write(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        removals: &Removals<'_>,
    ) -> Result<BTreeMap<String, Change>, PackagingError> {
        fs::create_dir_all(&self.folder).map_err(PackagingError::file("make the folder", &self.folder))?;
        let _turn = self.lock()?;
        // Another run may have added one since this was checked before the work.
        self.check_removals(removals)?;
        let mut changes = BTreeMap::new();
        for (name, content) in files {
            changes.insert(name.clone(), self.compare(name, content)?);
        }
        let is_changed = |name: &String| changes.get(name).is_some_and(|change| *change != Change::Unchanged);
        let changed = files.iter().filter(|(name, _)| is_changed(name));
        let changed = changed.map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        let stale = self.stale(|name| files.contains_key(name))?;
        Staging::write(&self.folder, &changed)?.switch(&stale)?;
        changes.extend(stale.into_iter().map(|name| (name, Change::Removed)));
        Ok(changes)
    }

    /// Waits for nobody: two runs at a time are a mistake. The lock ends with the process.
    fn lock(&self) -> Result<Option<File>, PackagingError> {
        let folder = File::open(&self.folder).map_err(PackagingError::file("open", &self.folder))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => {
                let hint = "wait until it has ended, or give each an --output of its own";
                Err(PackagingError::input_in(&self.folder, "another `damper package` is writing to this folder", hint))
            }
            // Some file systems lock no folders.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// The files that an earlier run wrote and that are not `wanted` any more.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn stale(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, PackagingError> {
        let templates = self.templates()?.into_iter().map(|name| format!("{PROVIDERS}/{name}"));
        let mut stale: Vec<String> = self.zips()?.into_iter().chain(templates).filter(|name| !wanted(name)).collect();
        stale.sort();
        Ok(stale)
    }

    fn zips(&self) -> Result<Vec<String>, PackagingError> {
        let mut names = list(&self.folder)?;
        names.retain(|name| name.starts_with("damper-") && name.ends_with(".zip"));
        Ok(names)
    }

    /// The names in the folder of the providers' templates.
    fn templates(&self) -> Result<Vec<String>, PackagingError> {
        let mut names = list(&self.path(PROVIDERS))?;
        names.retain(|name| name.ends_with(TEMPLATE));
        Ok(names)
    }
}

/// The names in a folder; none where there is no folder. A name that is not UTF-8 is none of ours.
fn list(folder: &Path) -> Result<Vec<String>, PackagingError> {
    let cannot = PackagingError::file("read", folder);
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(cannot)?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

#[cfg(test)]
mod tests;
