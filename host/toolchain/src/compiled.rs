//! The output of a language's compiler, and the folder for it.

use std::path::PathBuf;

/// The folder, within a project, for its component.
pub const BUILT_FOLDER: &str = "target/damper";

/// The output of a language's compiler.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// The component, without its manifest.
    pub(crate) wasm: PathBuf,
    /// The folder for the finished component.
    pub(crate) folder: PathBuf,
}
