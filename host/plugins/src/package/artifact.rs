//! A provider's compiled code in a package, and the proof that it is what was packaged.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::description::ProviderDescription;
use super::error::PackageError;
use crate::digest::hexadecimal;

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Compiled code in a file that is not checked yet.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    provider: String,
    path: PathBuf,
    component: String,
    digest: String,
    instance_bytes: u64,
}

/// A file of compiled code that has the digest it was packaged with.
pub(crate) struct CheckedFile(PathBuf);

impl Artifact {
    /// The compiled code of a described provider, in this file.
    pub(super) fn new(provider: &str, path: PathBuf, described: ProviderDescription) -> Self {
        let ProviderDescription { component, artifact: digest, instance_bytes, .. } = described;
        Self { provider: provider.to_owned(), path, component, digest, instance_bytes }
    }

    /// The bytes that the host stores for one instance beside its memories and tables.
    pub(crate) fn instance_bytes(&self) -> u64 {
        self.instance_bytes
    }

    /// The digest of the component that was compiled.
    pub(crate) fn component(&self) -> &str {
        &self.component
    }

    /// What is equal for the same code in the same file.
    pub(crate) fn sharing_key(&self) -> String {
        format!("{} {} {}", self.component, self.digest, self.path.display())
    }

    /// Reads the whole file once and compares its digest.
    pub(crate) fn check(&self) -> Result<CheckedFile, PackageError> {
        let provider = self.provider.clone();
        let found = compute_digest(&self.path).map_err(|source| PackageError::Unreadable {
            provider: provider.clone(),
            file: self.path.display().to_string(),
            source,
        })?;
        if found == self.digest {
            return Ok(CheckedFile(self.path.clone()));
        }
        Err(PackageError::AnotherDigest {
            provider,
            file: self.path.display().to_string(),
            packaged: self.digest.clone(),
            found,
        })
    }
}

impl CheckedFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn compute_digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(format!("sha256:{}", hexadecimal(&hasher.finalize()))),
            read => hasher.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}
