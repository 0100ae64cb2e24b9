//! The places of secrets, and how a program that runs providers finds and reads them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::grants::{Secret, SecretSource};

/// The place of a secret, by a credential's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// `env`: an environment variable.
    Environment(String),
    /// `file`: a file, seen from the damper.toml's folder.
    File(PathBuf),
    /// `secret`: a secret of AWS Secrets Manager, by its name or its ARN.
    SecretsManager(String),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::SecretsManager(name) => write!(f, "the secret {name:?} of AWS Secrets Manager"),
        }
    }
}

/// A secret that was found.
pub struct FoundSecret {
    /// The source from which it is read.
    pub source: Arc<dyn SecretSource>,
    /// The secret, where it was read already.
    pub known: Option<Secret>,
}

/// The reason for which a place cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlaceError {
    /// The problem, as the end of a sentence about the credential: `names the file x, which is not there`.
    pub problem: String,
    /// The remedy.
    pub hint: String,
}

/// The sources of secrets that the caller of [`bind`](super::bind) provides.
#[derive(Clone, Copy)]
pub struct SecretSources<'a> {
    /// The backends that can be used.
    pub backends: SecretBackends,
    /// Makes the source of a secret from where it is.
    pub find: &'a dyn Fn(&SecretPlace) -> Result<FoundSecret, SecretPlaceError>,
}

/// The backends from which a program can read secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretBackends {
    /// On the machine that it runs on: in its environment, or in a file.
    Machine,
    /// In AWS Secrets Manager, as for a function in Lambda.
    SecretsManager,
}

impl SecretBackends {
    /// An example of such a place in a damper.toml.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Machine => "env = \"...\"   # or file = \"...\", mode 0600",
            Self::SecretsManager => "secret = \"...\"   # its name or ARN in AWS Secrets Manager",
        }
    }
}
