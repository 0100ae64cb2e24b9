//! A folder of pulled components, each under its digest: `sha256-....wasm`, and beside it, if it is signed, the
//! signature (`sha256-....signed.json`) under the digest of the artifact.
//!
//! A pinned component that is in the store is had without the network. The store is not trusted: what it returns was
//! read and has the digest that was asked for. A file that has not is downloaded again.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::pull::{Resolved, pull, resolve, write_file};
use crate::reference::Reference;
use crate::registry::{Access, Registry};
use crate::signature::{PublicKey, SignatureError, SignedPayload, find_signature};
use crate::transport::RegistryOptions;

/// The largest size of all components together, in bytes. Beyond it those that were unused for longest are removed.
pub const MAX_STORE_BYTES: u64 = 2 << 30;
const MAX_PROOF_BYTES: u64 = 256 << 10;
/// The most signatures that are kept.
const MAX_PROOFS: usize = 1_000;
const COMPONENT: &str = "wasm";
const PROOF: &str = "signed.json";

/// What a reference is pinned to, for damper.lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The digest of the artifact's manifest, which signatures name.
    pub manifest: Digest,
    /// The digest of the component's file.
    pub component: Digest,
}

/// A component of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredComponent {
    /// Its file. It may change after it was checked: compare `pin.component` with the digest of what is loaded.
    pub path: PathBuf,
    /// Its content, which has the digest.
    pub content: Bytes,
    /// The digests of what was found.
    pub pin: Pin,
    /// The fingerprint of the key that signed it, if signatures were asked for.
    pub signer: Option<String>,
    /// Whether it was downloaded now.
    pub is_new: bool,
}

/// The store.
#[derive(Debug, Clone)]
pub struct ComponentStore {
    folder: PathBuf,
    max_component_bytes: u64,
    max_store_bytes: u64,
}

/// A signature, and the artifact that it was checked for.
#[derive(Serialize, Deserialize)]
struct Proof {
    component: String,
    signed: SignedPayload,
}

impl ComponentStore {
    /// The store in this folder, which is made when it is first written to. `max_component_bytes`: the largest
    /// component that is downloaded.
    #[must_use]
    pub fn new(folder: PathBuf, max_component_bytes: u64) -> Self {
        Self { folder, max_component_bytes, max_store_bytes: MAX_STORE_BYTES }
    }

    /// The same store with another largest size, in bytes.
    #[must_use]
    pub fn with_max_bytes(self, max_store_bytes: u64) -> Self {
        Self { max_store_bytes, ..self }
    }

    /// Finds a pinned component without the network. With `keys`, only one whose signature is in the store too and
    /// holds now. `None`: it has to be downloaded.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn find(&self, pin: &Pin, keys: Option<&[PublicKey]>) -> Result<Option<StoredComponent>, RegistryError> {
        let signer = match keys {
            Some(keys) => match self.find_signer(pin, keys)? {
                Some(signer) => Some(signer),
                None => return Ok(None),
            },
            None => None,
        };
        let path = self.component_path(pin.component);
        let Some(content) = read(&path, self.max_component_bytes)? else { return Ok(None) };
        if Digest::of(&content) != pin.component {
            return Ok(None);
        }
        // So that what is in use is removed last. A file system that refuses this is as good.
        let _ = File::open(&path).and_then(|file| file.set_modified(now()));
        Ok(Some(StoredComponent { path, content: content.into(), pin: *pin, signer, is_new: false }))
    }

    /// Finds a pinned component in the store, else downloads exactly it. With `keys`, only one with a signature that
    /// holds.
    ///
    /// # Errors
    /// If it is neither in the store nor to be had from the registry, or is not what is pinned.
    pub async fn resolve_pinned(
        &self,
        reference: &Reference,
        pin: &Pin,
        keys: Option<&[PublicKey]>,
        options: &RegistryOptions,
    ) -> Result<StoredComponent, RegistryError> {
        if let Some(stored) = self.find(pin, keys)? {
            return Ok(stored);
        }
        let reference = reference.with_digest(pin.manifest);
        let registry = Registry::open(&reference, Access::Pull, options)?;
        let resolved = resolve(&registry, &reference, self.max_component_bytes).await?;
        if resolved.component.digest != pin.component {
            let what = format!("the component of {reference}");
            let (expected, actual) = (pin.component, resolved.component.digest);
            return Err(RegistryError::DigestMismatch { what, expected, actual });
        }
        self.download(&registry, &reference, &resolved, keys).await
    }

    /// Finds out what a reference names now, and downloads it unless it is in the store: for the first use of a
    /// reference, and for updates of its pin.
    ///
    /// # Errors
    /// If the registry fails, or what it has may not be used.
    pub async fn resolve_newest(
        &self,
        reference: &Reference,
        keys: Option<&[PublicKey]>,
        options: &RegistryOptions,
    ) -> Result<StoredComponent, RegistryError> {
        let registry = Registry::open(reference, Access::Pull, options)?;
        let resolved = resolve(&registry, reference, self.max_component_bytes).await?;
        let pin = Pin { manifest: resolved.manifest, component: resolved.component.digest };
        if let Some(stored) = self.find(&pin, keys)? {
            return Ok(stored);
        }
        self.download(&registry, reference, &resolved, keys).await
    }

    async fn download(
        &self,
        registry: &Registry,
        reference: &Reference,
        resolved: &Resolved,
        keys: Option<&[PublicKey]>,
    ) -> Result<StoredComponent, RegistryError> {
        let pin = Pin { manifest: resolved.manifest, component: resolved.component.digest };
        let signed = match keys {
            Some(keys) => Some(find_signature(registry, reference, pin.manifest, keys).await?),
            None => None,
        };
        let content = pull(registry, reference, resolved).await?;
        let failed = |source| RegistryError::File { action: "make", path: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let path = self.component_path(pin.component);
        write_file(&path, &content)?;
        let signer = signed.as_ref().map(|(_, key)| key.fingerprint());
        if let Some((signed, _)) = signed {
            let proof = Proof { component: pin.component.to_string(), signed };
            let proof = serde_json::to_vec(&proof).map_err(|error| failed(error.into()))?;
            write_file(&self.proof_path(pin.manifest), &proof)?;
        }
        self.remove_unused(&path);
        Ok(StoredComponent { path, content, pin, signer, is_new: true })
    }

    /// The key of a stored signature that holds now.
    fn find_signer(&self, pin: &Pin, keys: &[PublicKey]) -> Result<Option<String>, RegistryError> {
        let path = self.proof_path(pin.manifest);
        let Some(proof) = read(&path, MAX_PROOF_BYTES)? else { return Ok(None) };
        let Ok(Proof { component, signed }) = serde_json::from_slice::<Proof>(&proof) else { return Ok(None) };
        if component != pin.component.to_string() {
            return Ok(None);
        }
        match signed.verify(pin.manifest, keys) {
            Ok(key) => Ok(Some(key.fingerprint())),
            Err(SignatureError::NoKey) => {
                let subject = pin.manifest.to_string();
                Err(RegistryError::Signature { subject, problem: SignatureError::NoKey })
            }
            // Another signature may be in the registry, of a newer key.
            Err(_) => Ok(None),
        }
    }

    fn component_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.{COMPONENT}", digest.file_stem()))
    }

    fn proof_path(&self, manifest: Digest) -> PathBuf {
        self.folder.join(format!("{}.{PROOF}", manifest.file_stem()))
    }

    /// Removes what was unused for longest until the store is small enough. A failure leaves more than there should be,
    /// which the next download tries again.
    fn remove_unused(&self, used: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        // Drafts that a killed process left count as components.
        let (proofs, components): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(_, _, path)| path.to_string_lossy().ends_with(PROOF));
        let mut total: u64 = components.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in components.iter().filter(|(_, _, path)| path != used) {
            if total > self.max_store_bytes && fs::remove_file(path).is_ok() {
                total = total.saturating_sub(*bytes);
            }
        }
        for (_, _, path) in proofs.iter().take(proofs.len().saturating_sub(MAX_PROOFS)) {
            let _ = fs::remove_file(path);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the time of a file's use, which decides about nothing but its removal")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The content of a file; none, if it is not there or too long to be what is sought.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
    let failed = |source| RegistryError::File { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
    Ok(Some(content).filter(|content| content.len() as u64 <= limit))
}
