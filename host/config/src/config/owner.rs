//! Ownership checks: who can change a damper.toml, and who can read a file that holds a secret.

use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use damper_plugins::ownership::{self, GroupWrite, OwnershipError};
use rustix::fs::{Mode, OFlags};

/// The longest secret, in bytes: a certificate chain with its key fits.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Checks that nobody but its owner and root can change an open file of settings, or exchange it: a file, and the
/// folder that it lies in, as it is named and where links lead.
///
/// # Errors
/// If others can.
pub(crate) fn check_unwritable_by_others(file: &File, path: &Path) -> Result<(), OwnershipError> {
    ownership::check_open(file, path, GroupWrite::Private)?;
    ownership::check_folder_of(path)?;
    // A path that is no file in a folder, such as a pipe, has no target to check.
    fs::canonicalize(path).map_or(Ok(()), |real| ownership::check_folder_of(&real))
}

/// The text of a file that holds a secret, without the line break at its end.
///
/// # Errors
/// In words for the operator: where the file cannot be read, is empty, or others may read it too.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    // A FIFO without a writer is opened at once instead of blocking for ever, and then refused.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from);
    let file = File::from(file.map_err(|error| format!("it cannot be read: {error}"))?);
    let metadata = file.metadata().map_err(|error| format!("it cannot be read: {error}"))?;
    check_private(&metadata)?;
    let mut text = String::new();
    file.take(MAX_SECRET_BYTES.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| format!("it cannot be read as text: {error}"))?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(format!("it has more than {MAX_SECRET_BYTES} bytes"));
    }
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() { Err("it is empty".to_owned()) } else { Ok(secret.to_owned()) }
}

/// Replaces the text of a file that holds a secret, if it is still `old`: whole or not at all, and on the disk when
/// this returns. The new file has mode 0600. A link to the file stays. Returns whether it was replaced.
///
/// # Errors
/// In words for the operator, without the secret. The file may have been replaced all the same.
pub(crate) fn replace_secret(path: &Path, old: &str, new: &str) -> Result<bool, String> {
    if read_secret(path)? != old {
        return Ok(false);
    }
    let cannot = |error: std::io::Error| format!("it cannot be replaced: {error}; its folder must be writable");
    let real = fs::canonicalize(path).map_err(cannot)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let mut draft = tempfile::Builder::new().prefix(".damper-secret-").tempfile_in(folder).map_err(cannot)?;
    draft.write_all(new.as_bytes()).and_then(|()| draft.as_file().sync_all()).map_err(cannot)?;
    draft.persist(&real).map_err(|error| cannot(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)?;
    Ok(true)
}

fn check_private(metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if !ownership::is_ours(metadata.uid()) {
        return Err(format!("it belongs to another user (uid {}); make it yours", metadata.uid()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("other users can read it (mode {mode:04o}); run `chmod 600` on it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn secret_file(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        path
    }

    #[test]
    fn a_secret_is_replaced_where_it_is_as_expected_and_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = secret_file(folder.path(), "one\n");
        assert_eq!(replace_secret(&path, "another", "two"), Ok(false));
        assert_eq!(read_secret(&path).unwrap(), "one");
        assert_eq!(replace_secret(&path, "one", "two"), Ok(true));
        assert_eq!(read_secret(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_link_to_a_secret_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (secret_file(folder.path(), "one"), folder.path().join("link"));
        symlink(&path, &link).unwrap();
        assert_eq!(replace_secret(&link, "one", "two"), Ok(true));
        assert_eq!(read_secret(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_secret_that_cannot_be_replaced_stays_and_no_error_quotes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing");
        let problem = replace_secret(&path, "hunter2", "hunter3").unwrap_err();
        assert!(problem.contains("cannot be read") && !problem.contains("hunter"), "{problem}");
    }
}
