//! Whose a file is, and who else may read it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The longest secret, in bytes: a certificate chain with its key fits.
const MAX_SECRET_BYTES: u64 = 64 * 1024;
const ROOT: u32 = 0;

/// The user id of a file's owner.
///
/// # Errors
/// Where the system does not say.
pub(super) fn of(file: &File) -> io::Result<u32> {
    file.metadata().map(|metadata| metadata.uid())
}

/// Whether a file of this owner may tell us what to do: ours, or root's.
pub(super) fn is_trusted(owner: u32) -> bool {
    owner == ROOT || is_ours(owner)
}

fn is_ours(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

/// The text of a file that holds a secret, without the line break at its end.
///
/// # Errors
/// In words for the operator: where the file cannot be read, is empty, or others may read it too.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
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

fn check_private(metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if !is_ours(metadata.uid()) {
        return Err(format!("it belongs to another user (uid {}); make it yours", metadata.uid()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("others may read it (mode {mode:04o}); run `chmod 600` on it"));
    }
    Ok(())
}
