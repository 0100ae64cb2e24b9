//! Why a registry could not be used, with remedies.

use std::io;
use std::path::PathBuf;

use crate::artifact::ArtifactError;
use crate::digest::Digest;
use crate::reference::ReferenceError;
use crate::signature_error::SignatureError;

/// The origin of the credentials that were sent, or their absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// There is no docker configuration: neither `DOCKER_CONFIG` nor a home.
    Nowhere,
    /// The configuration has none for this registry, or is not there.
    Missing(PathBuf),
    /// They were found by this configuration.
    Found(PathBuf),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The caller: what was named cannot be used, or is not allowed.
    Input,
    /// The registry, or the network to it; another try may succeed.
    Service,
    /// The folder on this machine.
    Folder,
}

/// Why a registry could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A text names no artifact.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no HTTP client.
    #[error("connections cannot be set up: {0}")]
    Setup(String),
    /// The registry was not reached.
    #[error("the registry {host} was not reached: {problem}")]
    Unreachable {
        /// The host.
        host: String,
        /// The problem.
        problem: String,
    },
    /// The registry did not answer in time, or broke off.
    #[error("the registry {host} failed: {problem}")]
    Failed {
        /// The host.
        host: String,
        /// The problem.
        problem: String,
    },
    /// The registry refuses access.
    #[error("the registry {host} refuses access to {repository} (status {status}){said}")]
    Denied {
        /// The host.
        host: String,
        /// The repository.
        repository: String,
        /// The status of its response.
        status: u16,
        /// Its own words, with punctuation before them; may be empty.
        said: String,
        /// The credentials that it was shown.
        credentials: CredentialOrigin,
    },
    /// The docker configuration, or a program that it names, gives no credentials.
    #[error("no credentials for {host}: {problem}")]
    Credentials {
        /// The host.
        host: String,
        /// The configuration.
        file: PathBuf,
        /// The problem.
        problem: String,
    },
    /// There is no such artifact.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Something else is there under the tag.
    #[error("{reference} exists already with another content ({existing}; this component would be {offered})")]
    Exists {
        /// The reference.
        reference: String,
        /// The artifact that is there.
        existing: Digest,
        /// The artifact that was to be pushed.
        offered: Digest,
    },
    /// A push needs a tag.
    #[error("{0} names no version to push to")]
    NoTag(String),
    /// The artifact is no component.
    #[error("{reference}: {problem}")]
    Artifact {
        /// The reference.
        reference: String,
        /// The problem.
        problem: ArtifactError,
    },
    /// The content is not the one that was asked for.
    #[error("{what} has the digest {actual} instead of {expected}")]
    DigestMismatch {
        /// The content.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The registry violates the protocol.
    #[error("the registry {host} is not understood: {problem}")]
    Protocol {
        /// The host.
        host: String,
        /// The violation.
        problem: String,
    },
    /// The signature does not hold.
    #[error("{subject}: {problem}")]
    Signature {
        /// The artifact or the file.
        subject: String,
        /// The problem.
        problem: SignatureError,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// The action that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
}

impl RegistryError {
    /// Who has to do something about it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Setup(_) | Self::Unreachable { .. } | Self::Failed { .. } | Self::Protocol { .. } => Cause::Service,
            Self::File { .. } => Cause::Folder,
            _ => Cause::Input,
        }
    }

    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Reference(error) => error.hint().to_owned(),
            Self::Unreachable { host, .. } => {
                format!("check the name {host} and the network; a registry without TLS needs --plain-http")
            }
            Self::Failed { .. } => "try again later; nothing was changed, or the same command completes it".to_owned(),
            Self::Denied { host, credentials, .. } => match credentials {
                CredentialOrigin::Nowhere => {
                    format!("set HOME or DOCKER_CONFIG, and log in with `docker login {host}`")
                }
                CredentialOrigin::Missing(file) => {
                    format!("{} has no credentials for it: log in with `docker login {host}`", file.display())
                }
                CredentialOrigin::Found(file) => format!(
                    "the credentials of {} were shown: check that they may do this, or log in again with \
                        `docker login {host}`",
                    file.display()
                ),
            },
            Self::Credentials { host, file, .. } => {
                format!("correct {}, or log in again with `docker login {host}`", file.display())
            }
            Self::NotFound(_) => {
                "check name and version; some registries say this where access is refused, or before the repository is \
                    created"
                    .to_owned()
            }
            Self::Exists { .. } => {
                "raise the component's version and push under it; or replace what is there with --overwrite".to_owned()
            }
            Self::NoTag(_) => "add the version: oci://REGISTRY/NAME:VERSION".to_owned(),
            Self::Artifact { problem: ArtifactError::TooLarge { .. }, .. } => {
                "build it in release mode and without debug information".to_owned()
            }
            Self::Artifact { .. } => "name a component that `damper push` or `wkg oci push` has pushed".to_owned(),
            Self::DigestMismatch { .. } => {
                "the content was changed or damaged on its way; nothing of it was kept".to_owned()
            }
            Self::Signature { problem, .. } => problem.hint().to_owned(),
            Self::Setup(_) | Self::Protocol { .. } | Self::File { .. } => return None,
        };
        Some(hint)
    }

    /// Whether the same request may succeed if it is sent again.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. })
    }
}
