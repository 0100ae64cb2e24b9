//! Everything that building needs from the program: the environment, the folder for tools, and a place for messages.

use std::path::{Path, PathBuf};

use damper_plugins::ownership::{self, GroupWrite};

use crate::environment::BuildEnvironment;
use crate::error::ToolchainError;

/// Receives the messages of a build that takes long: what is fetched, and how large it is.
pub trait Progress: Sync {
    /// Reports one message for a person.
    fn report(&self, message: &str);
}

/// The surroundings of a build.
pub struct BuildContext<'a> {
    /// The folder for SDKs and tools; none: there is no place for one.
    pub cache: Option<&'a Path>,
    /// The environment of the programs that are run.
    pub environment: BuildEnvironment,
    /// The receiver of messages.
    pub progress: &'a dyn Progress,
}

impl BuildContext<'_> {
    /// The folder of the cache. It is created with strict permissions if it is missing, since programs are run from it.
    ///
    /// # Errors
    /// If there is no place for it, or others can change its content.
    pub fn open_cache(&self) -> Result<PathBuf, ToolchainError> {
        let cache = self.cache.ok_or_else(|| {
            ToolchainError::input("there is no folder for caches", "set DAMPER_CACHE to a folder of yours")
        })?;
        ownership::make_folder(cache, GroupWrite::Private)
            .map_err(|error| ToolchainError::untrusted_folder(cache, error))?;
        Ok(cache.to_path_buf())
    }
}
