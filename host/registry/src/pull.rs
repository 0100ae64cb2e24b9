//! Pull: from a reference to a component whose digest is checked, and to a file that is whole or not there.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;

use crate::artifact::{ComponentLayer, find_component};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::reference::Reference;
use crate::registry::Registry;

/// An artifact that a reference names, as far as its manifest tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest, which signatures and pins name.
    pub manifest: Digest,
    /// The component in it.
    pub component: ComponentLayer,
}

/// Finds what a reference names now. `max_bytes`: the largest component that is allowed.
///
/// # Errors
/// If there is nothing, it is no component, or it is not the content that the reference pins.
pub async fn resolve(registry: &Registry, reference: &Reference, max_bytes: u64) -> Result<Resolved, RegistryError> {
    let pinned = reference.digest().map(|digest| digest.to_string());
    let key = pinned.as_deref().or(reference.tag()).ok_or_else(|| RegistryError::NoTag(reference.to_string()))?;
    let found = registry.fetch_manifest(key).await?;
    let (bytes, manifest) = found.ok_or_else(|| RegistryError::NotFound(reference.to_string()))?;
    let component = find_component(&bytes, max_bytes)
        .map_err(|problem| RegistryError::Artifact { reference: reference.to_string(), problem })?;
    Ok(Resolved { manifest, component })
}

/// Downloads a component. What is returned has the digest that the manifest names.
///
/// # Errors
/// If the registry fails, or sends anything else.
pub async fn pull(registry: &Registry, reference: &Reference, resolved: &Resolved) -> Result<Bytes, RegistryError> {
    let ComponentLayer { digest, bytes, .. } = &resolved.component;
    let body = registry.fetch_blob(*digest, *bytes).await?;
    body.map(Bytes::from).ok_or_else(|| RegistryError::NotFound(format!("the component of {reference}")))
}

/// Writes a file so that it is never there in part: under another name, then renamed. It replaces a file of that name.
///
/// # Errors
/// If it cannot be written; then the file is as it was.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), RegistryError> {
    write_whole(path, content).map_err(|source| RegistryError::File { action: "write", path: path.to_owned(), source })
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The umask takes from these permissions what it takes from those of every file.
    let permissions = Permissions::from_mode(0o666);
    let mut draft = tempfile::Builder::new().prefix(".damper-").permissions(permissions).tempfile_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    // The file is there; not every file system can make sure that its name outlasts a power failure.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wasm");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        for path in [taken.as_path(), Path::new("/no/such/folder/x.wasm")] {
            let error = write_file(path, b"x").unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot write {}", path.display())), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }
}
