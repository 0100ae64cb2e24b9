//! Replaces several files of a folder together: all are written beside the old ones first, then each takes its place.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::PackagingError;

/// The folder of new and replaced files, below the one that they belong to, so that a rename suffices.
const STAGING: &str = ".damper-new";

/// Files that are written, and are not in their places yet. The folder goes when this is dropped.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    home: &'a Path,
    names: Vec<&'a str>,
}

/// A file that was replaced or taken away.
struct Moved<'a> {
    name: &'a str,
    had_old: bool,
}

impl<'a> Staging<'a> {
    /// Writes the files below `home`, and nothing of what is there changes. A killed run's leftovers are removed.
    ///
    /// # Errors
    /// If one cannot be written.
    pub(super) fn write(home: &'a Path, files: &BTreeMap<&'a str, &[u8]>) -> Result<Self, PackagingError> {
        let staging = Self { home, names: files.keys().copied().collect() };
        match fs::remove_dir_all(home.join(STAGING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PackagingError::file("remove", &home.join(STAGING))(error));
            }
            _ => {}
        }
        for (name, content) in files {
            let path = staging.new_path(name);
            write_durably(&path, content).map_err(PackagingError::file("write", &path))?;
        }
        Ok(staging)
    }

    /// Puts the files into their places and takes `stale` ones away.
    ///
    /// # Errors
    /// If one cannot be replaced or taken away: then the old files are in their places again.
    pub(super) fn switch(self, stale: &[String]) -> Result<(), PackagingError> {
        let mut moved = Vec::new();
        let switched = self.switch_each(stale, &mut moved);
        if switched.is_err() {
            self.restore(&moved);
        }
        switched
    }

    fn switch_each<'b>(&self, stale: &'b [String], moved: &mut Vec<Moved<'b>>) -> Result<(), PackagingError>
    where
        'a: 'b,
    {
        for name in self.names.iter().copied() {
            let target = self.home.join(name);
            let had_old = self.keep_old(name).map_err(PackagingError::file("replace", &target))?;
            moved.push(Moved { name, had_old });
            make_parent(&target)
                .and_then(|()| fs::rename(self.new_path(name), &target))
                .map_err(PackagingError::file("replace", &target))?;
        }
        for name in stale {
            let (target, old) = (self.home.join(name), self.old_path(name));
            make_parent(&old)
                .and_then(|()| fs::rename(&target, &old))
                .map_err(PackagingError::file("remove", &target))?;
            moved.push(Moved { name, had_old: true });
        }
        Ok(())
    }

    /// Keeps a second name of a file that is about to be replaced. Answers whether there was one.
    fn keep_old(&self, name: &str) -> io::Result<bool> {
        let (target, old) = (self.home.join(name), self.old_path(name));
        if !target.try_exists()? {
            return Ok(false);
        }
        make_parent(&old)?;
        // Some file systems have no links.
        fs::hard_link(&target, &old).or_else(|_| fs::copy(&target, &old).map(drop))?;
        Ok(true)
    }

    /// Best effort: the error that led here is the one to tell.
    fn restore(&self, moved: &[Moved<'_>]) {
        for Moved { name, had_old } in moved.iter().rev() {
            let target = self.home.join(name);
            let _ = if *had_old { fs::rename(self.old_path(name), &target) } else { fs::remove_file(&target) };
        }
    }

    fn new_path(&self, name: &str) -> PathBuf {
        self.home.join(STAGING).join("new").join(name)
    }

    fn old_path(&self, name: &str) -> PathBuf {
        self.home.join(STAGING).join("old").join(name)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // Best effort: the next run removes it too.
        let _ = fs::remove_dir_all(self.home.join(STAGING));
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    make_parent(path)?;
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}
