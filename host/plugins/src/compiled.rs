//! Compiled code: where it comes from, and the one place where Damper trusts bytes.
//!
//! [`Compiled::load`] takes machine code that runs with the program's own rights, outside of any sandbox. The engine checks that it was
//! compiled by the same release with the same settings, not that it is harmless. A [`Compiled`] is therefore made in only three ways:
//!
//! - [`Compiled::compile`]: this program compiled it just now, in this process or in one that it started;
//! - [`Compiled::read_cached`]: this program compiled it earlier and wrote it to a folder and a file that only this user can write to, with
//!   a mark that only the holder of this user's key can make;
//! - [`Compiled::File`]: `damper package` compiled it and wrote its digest beside it, and the file has that digest. A user who can change
//!   both files can also change the program in the same package, and gains nothing by changing them.

use std::io;

use bytes::Bytes;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artifacts::{Artifacts, StoredArtifact};
#[cfg(feature = "compile")]
use crate::compiler::Compiler;
use crate::engine::CodeSettings;
use crate::package::{Artifact, CheckedFile};

/// The source of a provider's code.
pub(crate) enum ComponentSource {
    /// A component, to be compiled.
    Component {
        /// Its digest.
        digest: String,
        /// It.
        bytes: Bytes,
    },
    /// Compiled code in a package.
    Packaged(Artifact),
}

impl ComponentSource {
    /// The digest of the component, compiled or not.
    pub(crate) fn digest(&self) -> &str {
        match self {
            Self::Component { digest, .. } => digest,
            Self::Packaged(artifact) => artifact.component(),
        }
    }
}

/// Compiled code that may run.
pub(crate) enum Compiled {
    /// In memory. Made by [`Compiled::compile`] and [`Compiled::read_cached`] alone.
    Code(Vec<u8>),
    /// In a package's file, from which it is mapped.
    File(CheckedFile),
}

/// The result of reading code of an earlier compilation.
pub(crate) enum CachedCode {
    /// The compiled code.
    Valid(Compiled),
    /// A file with other content than was written, with the problem.
    Damaged(String),
    /// Nothing.
    Missing,
}

impl Compiled {
    /// Compiles a component.
    #[cfg(feature = "compile")]
    pub(crate) fn compile(compiler: &Compiler, settings: &CodeSettings, component: &[u8]) -> Result<Self, String> {
        let code = compiler.compile(settings, component);
        code.map(Self::Code).map_err(|why| format!("the component does not compile: {why}"))
    }

    /// Fails, because this program has no compiler.
    #[cfg(not(feature = "compile"))]
    pub(crate) fn compile(_settings: &CodeSettings, _component: &[u8]) -> Result<Self, String> {
        Err("the component is not compiled for this program, and this program has no compiler: run `damper package`"
            .to_owned())
    }

    /// Reads the code that was written under this name.
    pub(crate) fn read_cached(artifacts: &Artifacts, name: &str) -> CachedCode {
        match artifacts.read(name) {
            StoredArtifact::Valid(code) => CachedCode::Valid(Self::Code(code)),
            StoredArtifact::Damaged(problem) => CachedCode::Damaged(problem),
            StoredArtifact::Missing => CachedCode::Missing,
        }
    }

    /// Writes compiled code to the cache. Code from a package is already stored in the package.
    pub(crate) fn write_cached(&self, artifacts: &Artifacts, name: &str) -> io::Result<()> {
        match self {
            Self::Code(code) => artifacts.write(name, code),
            Self::File(_) => Ok(()),
        }
    }

    /// Loads the code into an engine.
    #[allow(unsafe_code, reason = "the engine offers no other way to load compiled code")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        match self {
            // SAFETY: `code` was made by `precompile_component`, in this process or in an earlier one that kept it in a folder
            // closed to others and marked it with this user's key; see this module's first lines.
            Self::Code(code) => unsafe { Component::deserialize(engine, code) },
            // SAFETY: the file was made by `precompile_component` in `damper package` and has the digest that was written with
            // it. While it is mapped it stays as it is: a deployed package is read-only, and nothing here writes to one.
            Self::File(file) => unsafe { Component::deserialize_file(engine, file.path()) },
        }
    }
}
