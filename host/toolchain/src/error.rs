//! The errors of building, each with its place and a hint.

use std::io;
use std::path::{Path, PathBuf};

use damper_core::manifest::ManifestError;
use damper_plugins::component_file::ComponentFileError;
use damper_plugins::ownership::OwnershipError;

/// Why a component cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A provider.toml cannot be used.
    #[error("the manifest cannot be used: {source}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: Box<ManifestError>,
    },
    /// A project, a setting or a program of the machine cannot be used.
    #[error("{what}")]
    Input {
        /// The problem.
        what: String,
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// The hint that goes with the error.
        hint: String,
    },
    /// A provider does not compile, and its compiler has printed the reason already.
    #[error("the provider does not compile")]
    Compile {
        /// The crate's Cargo.toml, or the provider's module.
        path: PathBuf,
    },
    /// A program that is needed failed, and has printed the reason already.
    #[error("{program} failed{}", .status.map(|code| format!(" (exit code {code})")).unwrap_or_default())]
    Tool {
        /// The program.
        program: &'static str,
        /// Its exit code.
        status: Option<i32>,
        /// The hint that goes with the error.
        hint: String,
    },
    /// The compiler's output is no component that can be run.
    #[error(transparent)]
    Component(Box<ComponentFileError>),
    /// A folder of programs that others can change.
    #[error("{source}, and damper runs programs from there")]
    UntrustedFolder {
        /// The folder.
        folder: PathBuf,
        /// The ownership problem.
        source: OwnershipError,
    },
    /// A file cannot be read or written.
    #[error("cannot {action}: {source}")]
    File {
        /// The action that failed.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {action}: {message}")]
    Unexpected {
        /// The action that failed.
        action: &'static str,
        /// The error.
        message: String,
    },
}

impl ToolchainError {
    /// The file of the error.
    #[must_use]
    pub fn place(&self) -> Option<&Path> {
        match self {
            Self::Manifest { path, .. } | Self::Compile { path } | Self::File { path, .. } => Some(path),
            Self::Input { path, .. } => path.as_deref(),
            Self::Tool { .. } | Self::Component(_) | Self::UntrustedFolder { .. } | Self::Unexpected { .. } => None,
        }
    }

    /// The hint, unless the message already says what to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Input { hint, .. } | Self::Tool { hint, .. } => Some(hint.clone()),
            Self::Compile { path } => Some(compile_hint(path)),
            Self::UntrustedFolder { folder, source } => Some(untrusted_hint(folder, source)),
            Self::Manifest { .. } | Self::Component(_) | Self::File { .. } | Self::Unexpected { .. } => None,
        }
    }

    pub(crate) fn input(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: None, hint: hint.into() }
    }

    pub(crate) fn input_in(path: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: Some(path.to_path_buf()), hint: hint.into() }
    }

    pub(crate) fn untrusted_folder(folder: &Path, error: OwnershipError) -> Self {
        match error {
            OwnershipError::Io { path, source } => Self::File { action: "use the cache", path, source },
            source => Self::UntrustedFolder { folder: folder.to_path_buf(), source },
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn cannot(action: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unexpected { action, message: error.to_string() }
    }
}

impl From<ComponentFileError> for ToolchainError {
    fn from(error: ComponentFileError) -> Self {
        Self::Component(Box::new(error))
    }
}

/// The hint for a provider that does not compile. What an interpreter in a component lacks is no mistake of syntax.
fn compile_hint(path: &Path) -> String {
    let hint = "see the compiler's output above";
    let is_interpreted = ["js", "mjs", "ts", "py"].iter().any(|name| path.extension().is_some_and(|it| it == *name));
    if is_interpreted {
        format!(
            "{hint}; docs/PROVIDER_GUIDE.md lists what a component does not have: \"What the engine does not have\""
        )
    } else {
        hint.to_owned()
    }
}

/// The hint for a folder of programs that others can change. A changed mode does not take away what others have put
/// there, so that none is advised.
#[must_use]
pub fn untrusted_hint(folder: &Path, error: &OwnershipError) -> String {
    match error {
        OwnershipError::Io { .. } => "check its permissions, or set DAMPER_CACHE to a folder of yours".to_owned(),
        error if error.path().starts_with(folder) => {
            format!("delete the folder {}: damper creates it again", folder.display())
        }
        _ => "set DAMPER_CACHE to a folder below folders that only you can write to".to_owned(),
    }
}
