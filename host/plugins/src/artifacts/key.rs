//! The key that marks a compiled component as written by this user.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use damper_core::random::RandomSource;
use hmac::{Hmac, Mac};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use sha2::Sha256;

use crate::ownership::{self, GroupWrite, OwnershipError};

const KEY_BYTES: usize = 32;
/// An owner other than root may read the key; nobody else.
const OTHERS: u32 = 0o077;

/// A secret of this user, with which kept code is marked (HMAC-SHA256, RFC 2104) and recognised.
#[derive(Clone)]
pub struct CacheKey([u8; KEY_BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheKeyError {
    /// It can be read or changed by others, or is no key.
    #[error("the key of the cache is not trusted: {problem}")]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// It cannot be read, and none can be made.
    #[error("the key of the cache cannot be created: {0}")]
    Unavailable(OwnershipError),
}

impl CacheKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads the key of a file. If there is no such file, one is created that only its owner can read.
    ///
    /// # Errors
    /// If the file is not trusted, or there is none and none can be made in its folder.
    pub fn open(path: &Path) -> Result<Self, CacheKeyError> {
        let name = path.file_name().unwrap_or_default();
        let folder_path = path.parent().unwrap_or(Path::new("."));
        let folder = ownership::make_folder(folder_path, GroupWrite::Private).map_err(CacheKeyError::Unavailable)?;
        match Self::read(&folder, folder_path, name) {
            Err(CacheKeyError::Unavailable(error)) if error.is_absence() => {}
            read => return read,
        }
        let unavailable = |source| CacheKeyError::Unavailable(OwnershipError::Io { path: path.to_path_buf(), source });
        make(&folder, name).map_err(unavailable)?;
        // Another process may have been faster: its key counts.
        Self::read(&folder, folder_path, name)
    }

    fn read(folder: &File, folder_path: &Path, name: &OsStr) -> Result<Self, CacheKeyError> {
        let path = folder_path.join(name);
        let untrusted = |problem| CacheKeyError::Untrusted { path: path.clone(), problem };
        let file = match ownership::open_file(folder, folder_path, name, GroupWrite::Refused) {
            Ok(file) => file,
            Err(error @ OwnershipError::Io { .. }) => return Err(CacheKeyError::Unavailable(error)),
            Err(error) => return Err(untrusted(error.to_string())),
        };
        let unavailable = |source| CacheKeyError::Unavailable(OwnershipError::Io { path: path.clone(), source });
        let mode = file.metadata().map_err(unavailable)?.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(untrusted(format!("other users can read {} (mode {mode:04o})", path.display())));
        }
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unavailable)?;
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes);
        bytes.map(Self).map_err(|_| untrusted(format!("{} does not hold {KEY_BYTES} bytes", path.display())))
    }

    /// The mark of `code` that the holder of this key stored under `name`.
    pub(super) fn mark(&self, name: &str, code: &[u8]) -> [u8; 32] {
        self.mac(name, code).map_or([0; 32], |mac| mac.finalize().into_bytes().into())
    }

    /// Whether `code` was kept under `name` by the holder of this key. Takes as long for every wrong mark.
    pub(super) fn is_mark(&self, mark: &[u8], name: &str, code: &[u8]) -> bool {
        self.mac(name, code).is_some_and(|mac| mac.verify_slice(mark).is_ok())
    }

    fn mac(&self, name: &str, code: &[u8]) -> Option<Hmac<Sha256>> {
        // A key of any length is accepted, so that this is never none.
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).ok()?;
        let length = (name.len() as u64).to_be_bytes();
        Some(mac.chain_update(length).chain_update(name).chain_update(code))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(..)")
    }
}

/// Makes the file of a key, whole or not at all; a file that is there already stays.
fn make(folder: &File, name: &OsStr) -> io::Result<()> {
    let (mut file, draft) = create_new(folder, name)?;
    let written = [RandomSource::System.bits(), RandomSource::System.bits()]
        .iter()
        .try_for_each(|bits| file.write_all(&bits.to_be_bytes()))
        .and_then(|()| file.sync_all());
    let placed = written.and_then(|()| match linkat(folder, &draft, folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // A file system without hard links.
        Err(_) => renameat(folder, &draft, folder, name).map_err(io::Error::from),
    });
    // It is gone already where it was renamed.
    let _ = unlinkat(folder, &draft, AtFlags::empty());
    placed
}

/// A file of its own in a folder, for its owner alone, and its name: what is written is put into place when it is whole.
pub(super) fn create_new(folder: &File, name: &OsStr) -> io::Result<(File, OsString)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut draft = OsString::from(".writing-");
    draft.push(format!("{:032x}-", RandomSource::System.bits()));
    draft.push(name);
    let file = openat(folder, &draft, flags, Mode::RUSR | Mode::WUSR)?;
    Ok((File::from(file), draft))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_then_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config/damper/cache.key");
        let keys: Vec<CacheKey> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| CacheKey::open(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.0 == keys[0].0 && key.0 != [0; KEY_BYTES]));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        assert_eq!(format!("{:?}", keys[0]), "CacheKey(..)");
    }

    #[test]
    fn a_key_that_others_know_or_that_is_none_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cache.key");
        let refused = |what: &str| {
            let error = CacheKey::open(&path).unwrap_err();
            assert!(matches!(error, CacheKeyError::Untrusted { .. }) && error.to_string().contains(what), "{error}");
        };
        fs::write(&path, [7; KEY_BYTES]).unwrap();
        for (mode, what) in [(0o644, "can read"), (0o640, "can read"), (0o660, "can write"), (0o606, "can write")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            refused(what);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(CacheKey::open(&path).unwrap().0, [7; KEY_BYTES]);
        for length in [0, KEY_BYTES - 1, KEY_BYTES + 1] {
            fs::write(&path, vec![7; length]).unwrap();
            refused("does not hold");
        }
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        refused("not a regular file");
    }
}
