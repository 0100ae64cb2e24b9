//! Compiled components on disk. An artifact is kept under a name made of the component's digest and everything that decides
//! how compiled code looks; it is written whole or not at all.
//!
//! Artifacts run as native code. An artifact is therefore read only if no other user can change its folder, if it is a regular file that no
//! other user can change, and if it has the mark (an HMAC with this user's key over its name and its code). A file that another user
//! planted has no such mark.

mod key;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, renameat, unlinkat};
use sha2::{Digest, Sha256};

use crate::ownership::{self, GroupWrite, OwnershipError};

pub use key::{CacheKey, CacheKeyError};

/// The first bytes of an artifact's file; the number is the version of the layout.
const MAGIC: &[u8; 8] = b"DAMPER-2";
const MARK_BYTES: usize = 32;

/// The cache of compiled components.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The folder. It is created if it is missing.
    pub folder: PathBuf,
    /// The key that marks what this user has put there.
    pub key: CacheKey,
}

/// A folder of compiled components, opened and checked.
#[derive(Debug)]
pub(crate) struct Artifacts {
    folder: File,
    path: PathBuf,
    key: CacheKey,
}

/// The result of reading an artifact.
#[derive(Debug)]
pub(crate) enum StoredArtifact {
    /// The compiled component.
    Valid(Vec<u8>),
    /// A file with other content than was written, with the problem.
    Damaged(String),
    /// Nothing.
    Missing,
}

impl Artifacts {
    /// Opens the folder, and creates it if it is missing.
    ///
    /// # Errors
    /// If others can change it, or a folder above it.
    pub(crate) fn open(cache: Cache) -> Result<Self, OwnershipError> {
        let Cache { folder: path, key } = cache;
        Ok(Self { folder: ownership::make_folder(&path, GroupWrite::Refused)?, path, key })
    }

    /// The name of a component's artifact.
    pub(crate) fn name(digest: &str, settings_key: &str) -> String {
        let parts = Sha256::new().chain_update(MAGIC).chain_update(digest).chain_update([0]).chain_update(settings_key);
        format!("{}.cwasm", crate::component_file::hexadecimal(&parts.finalize()))
    }

    /// The path of the artifact of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads an artifact.
    pub(crate) fn read(&self, name: &str) -> StoredArtifact {
        match ownership::open_file(&self.folder, &self.path, OsStr::new(name), GroupWrite::Refused) {
            Ok(file) => self.read_verified(name, file),
            Err(error) if error.is_absence() => StoredArtifact::Missing,
            Err(error) => StoredArtifact::Damaged(error.to_string()),
        }
    }

    fn read_verified(&self, name: &str, mut file: File) -> StoredArtifact {
        let mut bytes = Vec::new();
        if let Err(error) = file.read_to_end(&mut bytes) {
            return StoredArtifact::Damaged(error.to_string());
        }
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return StoredArtifact::Damaged("it has another layout".to_owned());
        };
        let Some((mark, code)) = rest.split_at_checked(MARK_BYTES) else {
            return StoredArtifact::Damaged("it is cut off".to_owned());
        };
        if self.key.is_mark(mark, name, code) {
            StoredArtifact::Valid(code.to_vec())
        } else {
            StoredArtifact::Damaged("it was changed, or was not written by this user".to_owned())
        }
    }

    /// Writes an artifact: to a file of its own first, and then in one step to its place, so that other processes see it whole.
    pub(crate) fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let (mut file, draft) = key::create_new(&self.folder, OsStr::new("code"))?;
        let parts: [&[u8]; 3] = [MAGIC, &self.key.mark(name, code), code];
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        let placed = written
            .and_then(|()| renameat(&self.folder, &draft, &self.folder, Path::new(name)).map_err(io::Error::from));
        if placed.is_err() {
            // Best effort: a leftover draft is never read.
            let _ = unlinkat(&self.folder, &draft, AtFlags::empty());
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn cache(folder: PathBuf) -> Cache {
        Cache { folder, key: CacheKey::new(KEY) }
    }

    fn artifacts() -> (tempfile::TempDir, Artifacts, String) {
        let place = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(cache(place.path().join("a/b"))).unwrap();
        (place, artifacts, Artifacts::name("sha256:00", "key"))
    }

    fn problem(artifacts: &Artifacts, name: &str) -> String {
        match artifacts.read(name) {
            StoredArtifact::Damaged(problem) => problem,
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (_place, artifacts, name) = artifacts();
        assert!(matches!(artifacts.read(&name), StoredArtifact::Missing));
        artifacts.write(&name, b"code").unwrap();
        artifacts.write(&name, b"newer code").unwrap();
        assert!(matches!(artifacts.read(&name), StoredArtifact::Valid(code) if code == b"newer code"));
        assert_eq!(fs::read_dir(&artifacts.path).unwrap().count(), 1);
        assert_eq!(fs::metadata(artifacts.path(&name)).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn every_damage_is_seen() {
        let (_place, artifacts, name) = artifacts();
        let path = artifacts.path(&name);
        artifacts.write(&name, b"code").unwrap();
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            fs::write(&path, &damaged).unwrap();
            problem(&artifacts, &name);
            fs::write(&path, &whole[..index]).unwrap();
            problem(&artifacts, &name);
        }
    }

    #[test]
    fn a_planted_file_is_not_read_and_is_replaced() {
        let (place, artifacts, name) = artifacts();
        let path = artifacts.path(&name);
        // Marked with another key, as somebody else can make it while the folder is open to others.
        let others =
            Artifacts::open(Cache { folder: place.path().join("others"), key: CacheKey::new([8; 32]) }).unwrap();
        others.write(&name, b"planted").unwrap();
        fs::copy(others.path(&name), &path).unwrap();
        assert!(problem(&artifacts, &name).contains("not written by this user"));
        // Our own, under another name.
        let other_name = Artifacts::name("sha256:01", "key");
        artifacts.write(&other_name, b"of another component").unwrap();
        fs::rename(artifacts.path(&other_name), &path).unwrap();
        assert!(problem(&artifacts, &name).contains("not written by this user"));
        // By way of a link.
        fs::remove_file(&path).unwrap();
        symlink(others.path(&name), &path).unwrap();
        assert!(problem(&artifacts, &name).contains("not a regular file"));
        artifacts.write(&name, b"code").unwrap();
        assert!(matches!(artifacts.read(&name), StoredArtifact::Valid(code) if code == b"code"));
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_file_that_others_may_write_to_is_not_read() {
        let (_place, artifacts, name) = artifacts();
        artifacts.write(&name, b"code").unwrap();
        for mode in [0o666, 0o660, 0o602] {
            fs::set_permissions(artifacts.path(&name), fs::Permissions::from_mode(mode)).unwrap();
            assert!(problem(&artifacts, &name).contains("other users can write"), "{mode:o}");
        }
    }

    #[test]
    fn another_component_or_setting_has_another_name() {
        let name = Artifacts::name("sha256:00", "key");
        assert_ne!(Artifacts::name("sha256:01", "key"), name);
        assert_ne!(Artifacts::name("sha256:00", "yek"), name);
    }

    #[test]
    fn the_folder_is_the_owners_alone() {
        let (place, artifacts, _) = artifacts();
        let folder = artifacts.path.clone();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        for (path, mode) in [(folder.clone(), 0o777), (folder.clone(), 0o770), (place.path().join("a"), 0o777)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Artifacts::open(cache(folder.clone())).unwrap_err();
            assert!(matches!(error, OwnershipError::Writable { .. }) && error.path() == path, "{error}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}
