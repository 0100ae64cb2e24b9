//! Compiled components on disk. An artifact is kept under a name made of the component's digest and everything that decides
//! how compiled code looks; it is written whole or not at all, and read only if its own digest is right.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What an artifact's file begins with; the number is this layout's version.
const MAGIC: &[u8; 8] = b"DAMPER-1";
const DIGEST_BYTES: usize = 32;

/// A folder of compiled components. Only its owner may write to it: what is in there runs.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    folder: PathBuf,
}

/// What was found under a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// The compiled component.
    Whole(Vec<u8>),
    /// A file that is not what was written, with what is wrong.
    Damaged(String),
    /// Nothing.
    Nothing,
}

impl Artifacts {
    /// The folder, made if it is not there.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        check_private(&folder)?;
        Ok(Self { folder })
    }

    /// Where the artifact of a component lies.
    pub(crate) fn path(&self, digest: &str, settings_key: &str) -> PathBuf {
        let name = Sha256::new().chain_update(digest).chain_update([0]).chain_update(settings_key).finalize();
        self.folder.join(format!("{}.cwasm", crate::component_file::hexadecimal(&name)))
    }

    /// Reads an artifact.
    pub(crate) fn read(path: &Path) -> Found {
        let file = match fs::read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Damaged(error.to_string()),
        };
        let Some(rest) = file.strip_prefix(MAGIC) else { return Found::Damaged("it has another layout".to_owned()) };
        let Some((digest, code)) = rest.split_at_checked(DIGEST_BYTES) else {
            return Found::Damaged("it is cut off".to_owned());
        };
        if Sha256::digest(code).as_slice() == digest {
            Found::Whole(code.to_vec())
        } else {
            Found::Damaged("its digest is wrong".to_owned())
        }
    }

    /// Writes an artifact: to a file of its own first, and then in one step to its place, so that other processes see it whole.
    pub(crate) fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        file.persist(path).map(|file: File| drop(file)).map_err(|error| error.error)
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Refuses a folder that others may write to, or that is somebody else's.
#[cfg(unix)]
fn check_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(folder)?;
    let (mode, owner) = (metadata.mode(), metadata.uid());
    let shown = folder.display();
    let why = if mode & 0o022 != 0 {
        format!("others may write to {shown}, and what is in it runs: chmod 700 it")
    } else if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        format!("{shown} belongs to another user, and what is in it runs: name a folder of your own")
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(not(unix))]
fn check_private(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts() -> (tempfile::TempDir, Artifacts, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("a/b")).unwrap();
        let path = artifacts.path("sha256:00", "key");
        (folder, artifacts, path)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_folder, artifacts, path) = artifacts();
        assert!(matches!(Artifacts::read(&path), Found::Nothing));
        artifacts.write(&path, b"code").unwrap();
        artifacts.write(&path, b"newer code").unwrap();
        assert!(matches!(Artifacts::read(&path), Found::Whole(code) if code == b"newer code"));
        assert_eq!(fs::read_dir(&artifacts.folder).unwrap().count(), 1);
    }

    #[test]
    fn every_damage_is_seen() {
        let (_folder, artifacts, path) = artifacts();
        artifacts.write(&path, b"code").unwrap();
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(Artifacts::read(&path), Found::Damaged(_)), "byte {index}");
            fs::write(&path, &whole[..index]).unwrap();
            assert!(matches!(Artifacts::read(&path), Found::Damaged(_)), "cut at {index}");
        }
    }

    #[test]
    fn another_component_or_setting_has_another_name() {
        let (_folder, artifacts, path) = artifacts();
        assert_ne!(artifacts.path("sha256:01", "key"), path);
        assert_ne!(artifacts.path("sha256:00", "yek"), path);
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, artifacts, _) = artifacts();
        assert_eq!(fs::metadata(&artifacts.folder).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&artifacts.folder, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Artifacts::open(artifacts.folder.clone()).unwrap_err().to_string();
        assert!(error.contains("others may write"), "{error}");
    }
}
