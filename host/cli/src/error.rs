//! The errors of the program: one enum with exit code, place and hint.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(feature = "aws")]
use damper_aws::backend::OpenError as DeploymentOpenError;
#[cfg(feature = "aws")]
use damper_aws::deployment::DeploymentError;
use damper_config::{ConfigError, FindError, LockError, OpenError};
use damper_core::admin::{AdminError, SERVICE_HINT};
use damper_core::ledger::LedgerError;
use damper_core::manifest::ManifestError;
use damper_core::pipeline::AdaptError;
use damper_local::database::DatabaseError;
use damper_local::export::ExportError;
use damper_local::items::ItemsError;
#[cfg(feature = "package")]
use damper_package::PackagingError;
use damper_plugins::HostError;
use damper_plugins::component_file::ComponentFileError;
use damper_plugins::settings::BindingError;
#[cfg(feature = "registry")]
use damper_registry::{Cause, RegistryError};
use damper_runner::RunError;
use damper_toolchain::{ToolchainError, untrusted_hint};

/// How the program ends. The numbers are documented in `damper --help`; usage errors (2) are clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All is done.
    Done,
    /// Work is left: a signal came, or the window is closed.
    WorkLeft,
    /// A provider is stopped and needs an operator.
    Stopped,
    /// A file, an id, a manifest, a setting or a component cannot be used.
    BadInput,
    /// The database or the output folder failed.
    Storage,
    /// An unexpected error.
    Unexpected,
}

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Stopped => 3,
            Self::BadInput => 4,
            Self::Storage => 5,
            Self::WorkLeft => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The damper.toml cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A provider cannot be used: there is no component, it is none that can be run, or the operator's settings do not
    /// fit it.
    #[error(transparent)]
    Provider(#[from] OpenError),
    /// The damper.lock cannot be used, or does not let a provider be used.
    #[error(transparent)]
    Lock(LockError),
    /// A provider cannot run, or does not go on.
    #[error(transparent)]
    Run(RunError),
    /// Components cannot run here.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A provider.toml cannot be used.
    #[error("the manifest cannot be used: {source}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: Box<ManifestError>,
    },
    /// Something that was typed or fed cannot be used.
    #[error("{what}")]
    Input {
        /// The problem.
        what: String,
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// The hint that goes with the error.
        hint: Option<String>,
    },
    /// Lines were malformed, and told already.
    #[error("{0} malformed")]
    Malformed(u64),
    /// A provider does not compile, or a program that builds cannot be used.
    #[error(transparent)]
    Toolchain(ToolchainError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The export failed.
    #[error(transparent)]
    Export(ExportError),
    /// The control item or the mapping was not read or changed.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// The deployment in AWS was not found.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// A registry cannot be used, or what it has.
    #[cfg(feature = "registry")]
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// A stream cannot be fed like this; it says what to do.
    #[error("{0}")]
    NotFed(String),
    /// The database or the stream behind a backend failed; it says what to do.
    #[error("{0}")]
    Store(String),
    /// A service of AWS failed.
    #[error("{0}")]
    Service(String),
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
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The reader of our output has closed it.
    #[error("the reader of the output has closed it")]
    OutputClosed,
    /// The stream's counts do not add up.
    #[error("the counts of {provider} do not add up: {counts}")]
    Counts {
        /// The provider.
        provider: String,
        /// The counts.
        counts: String,
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

impl CliError {
    /// Bad input, without a file.
    pub(crate) fn input(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: None, hint: Some(hint.into()) }
    }

    /// Bad input in a file.
    pub(crate) fn input_in(path: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), path: Some(path.to_path_buf()), hint: Some(hint.into()) }
    }

    /// A component that cannot be loaded.
    pub(crate) fn load(provider: String, message: String) -> Self {
        Self::Run(RunError::Load { provider, message })
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }

    /// Standard output that cannot be written.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Output(error) }
    }

    /// An unexpected error.
    pub(crate) fn internal(action: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unexpected { action, message: error.to_string() }
    }

    /// The end of a program that failed so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Provider(_)
            | Self::Lock(_)
            | Self::Run(RunError::Load { .. })
            | Self::Manifest { .. }
            | Self::Input { .. }
            | Self::Malformed(_)
            | Self::NotFed(_) => Exit::BadInput,
            Self::Toolchain(ToolchainError::Tool { .. }) => Exit::Unexpected,
            Self::Toolchain(_) => Exit::BadInput,
            #[cfg(feature = "aws")]
            Self::Deployment(DeploymentError::Failed { .. }) => Exit::Storage,
            #[cfg(feature = "aws")]
            Self::Deployment(_) => Exit::BadInput,
            #[cfg(feature = "registry")]
            Self::Registry(error) => match error.cause() {
                Cause::Input => Exit::BadInput,
                Cause::Service | Cause::Folder => Exit::Storage,
            },
            Self::Host(HostError::CacheDir { .. }) => Exit::Storage,
            Self::File { source, .. } if is_bad_input(source.kind()) => Exit::BadInput,
            Self::Run(RunError::Stopped { .. }) => Exit::Stopped,
            Self::Run(_)
            | Self::Database(_)
            | Self::Ledger(_)
            | Self::Export(_)
            | Self::Adapt(_)
            | Self::Store(_)
            | Self::Service(_) => Exit::Storage,
            Self::File { .. } | Self::Output(_) => Exit::Storage,
            // As a shell's own programs do where `head` has seen enough.
            Self::OutputClosed => Exit::Done,
            Self::Host(_) | Self::Counts { .. } | Self::Unexpected { .. } => Exit::Unexpected,
        }
    }

    /// Whether everything was said already.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::OutputClosed | Self::Malformed(_))
    }

    /// The place of the error, unless the message already names it.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::Config(error) => Some(error.place()),
            Self::Provider(error) => error.place(),
            Self::Lock(error) => error.place(),
            Self::Manifest { path, .. } | Self::File { path, .. } => Some(path.display().to_string()),
            Self::Toolchain(error) => error.place().map(|path| path.display().to_string()),
            Self::Input { path, .. } => path.as_ref().map(|path| path.display().to_string()),
            _ => None,
        }
    }

    /// The hint, unless the message already says what to do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Provider(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::Input { hint, .. } => hint.clone(),
            #[cfg(feature = "aws")]
            Self::Deployment(error) => Some(error.hint().to_owned()),
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.hint(),
            Self::Service(_) => Some(SERVICE_HINT.to_owned()),
            Self::Toolchain(error) => error.hint(),
            Self::File { source, .. } => file_hint(source.kind()),
            Self::Host(HostError::CacheDir { folder, source }) => Some(untrusted_hint(Path::new(folder), source)),
            Self::Run(error) => error.hint(),
            Self::Ledger(_) => {
                Some("check the disk and the permissions of the database, then run again; nothing is lost".into())
            }
            Self::Counts { .. } => Some(
                "this is a defect in damper: keep the database and report it; damper runs nothing more on it".into(),
            ),
            Self::Unexpected { .. } => Some("run again with DAMPER_LOG=debug; if it fails again, report it".into()),
            _ => None,
        }
    }
}

impl From<ComponentFileError> for CliError {
    fn from(error: ComponentFileError) -> Self {
        Self::Provider(error.into())
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Database(error) => Self::Database(error),
            RunError::Ledger(error) => Self::Ledger(error),
            RunError::Adapt(error) => Self::Adapt(error),
            error => Self::Run(error),
        }
    }
}

impl From<FindError> for CliError {
    fn from(error: FindError) -> Self {
        Self::Provider(error.into())
    }
}

impl From<BindingError> for CliError {
    fn from(error: BindingError) -> Self {
        Self::Provider(error.into())
    }
}

impl From<LockError> for CliError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Unreadable { path, source } => Self::File { action: "read", path, source },
            LockError::Changeable(error) => Self::Config(error),
            LockError::Unwritable(error) => Self::internal("write damper.lock", error),
            error @ (LockError::Damaged { .. } | LockError::Refused { .. }) => Self::Lock(error),
        }
    }
}

impl From<ToolchainError> for CliError {
    fn from(error: ToolchainError) -> Self {
        match error {
            ToolchainError::Manifest { path, source } => Self::Manifest { path, source },
            ToolchainError::Input { what, path, hint } => Self::Input { what, path, hint: Some(hint) },
            ToolchainError::Component(error) => (*error).into(),
            ToolchainError::File { action, path, source } => Self::File { action, path, source },
            ToolchainError::Unexpected { action, message } => Self::Unexpected { action, message },
            error => Self::Toolchain(error),
        }
    }
}

#[cfg(feature = "package")]
impl From<PackagingError> for CliError {
    fn from(error: PackagingError) -> Self {
        match error {
            PackagingError::Toolchain(error) => error.into(),
            PackagingError::Binding(error) => error.into(),
            PackagingError::Input { what, path, hint } => Self::Input { what, path, hint: Some(hint) },
            PackagingError::File { action, path, source } => Self::File { action, path, source },
            PackagingError::Unexpected { action, message } => Self::Unexpected { action, message },
        }
    }
}

#[cfg(feature = "registry")]
impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::File { action, path, source } => Self::File { action, path, source },
            error => Self::Registry(Box::new(error)),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Write(error) => Self::output(error),
            error => Self::Export(error),
        }
    }
}

impl From<AdminError> for CliError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Ledger(error) => Self::Ledger(error),
            AdminError::Adapt(error) => Self::Adapt(error),
            AdminError::Storage(what) => Self::Store(what),
            AdminError::Service(what) => Self::Service(what),
            AdminError::NoStream(what) => Self::NotFed(what),
            AdminError::Refused(_) | AdminError::ForeignLetter(_) => {
                Self::Input { what: error.to_string(), path: None, hint: error.hint().map(str::to_owned) }
            }
        }
    }
}

impl From<ItemsError> for CliError {
    fn from(error: ItemsError) -> Self {
        match error {
            ItemsError::Rows(error) => Self::input(error.to_string(), error.hint()),
            ItemsError::Backend(error) => error.into(),
        }
    }
}

#[cfg(feature = "aws")]
impl From<DeploymentOpenError> for CliError {
    fn from(error: DeploymentOpenError) -> Self {
        match error {
            DeploymentOpenError::Deployment(error) => Self::Deployment(error),
            error @ DeploymentOpenError::Bucket(_) => Self::input(error.to_string(), error.hint()),
        }
    }
}

fn is_bad_input(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound};
    matches!(kind, NotFound | IsADirectory | NotADirectory | InvalidInput | InvalidData)
}

fn file_hint(kind: io::ErrorKind) -> Option<String> {
    let hint = match kind {
        io::ErrorKind::NotFound => "check the name; a relative path begins at the working folder",
        io::ErrorKind::PermissionDenied => "check the permissions of the file and its folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space and run again",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        _ => return None,
    };
    Some(hint.to_owned())
}
