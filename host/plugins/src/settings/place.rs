//! The origin of an operator's settings.

use std::path::{Path, PathBuf};

/// The origin of settings, for messages and for the grants without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// This file. It alone grants.
    File(&'a Path),
    /// There is no damper.toml: the hosts that the manifest asks for are granted by https, and no secret.
    Nowhere,
}

impl Place<'_> {
    /// The file, if there is one.
    pub(super) fn file(self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.to_path_buf()),
            Self::Nowhere => None,
        }
    }
}
