//! Errors of combining a manifest with an operator's settings.

use std::path::PathBuf;

use damper_core::manifest::ManifestError;

/// A provider's settings do not fit its manifest, or cannot be used here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// There is a damper.toml, and it grants nothing.
    #[error("{provider} has no granted hosts, and it asks for {}", .asked.join(", "))]
    NoHost {
        /// The provider.
        provider: String,
        /// The hosts that its manifest asks for.
        asked: Vec<String>,
        /// The file.
        file: Option<PathBuf>,
    },
    /// A tightened limit is not allowed.
    #[error("the settings of {provider} cannot be used: {source}")]
    Tightening {
        /// The provider.
        provider: String,
        /// The problem.
        source: Box<ManifestError>,
        /// The file.
        file: Option<PathBuf>,
    },
    /// A setting is wrong.
    #[error("providers.{provider}.{key} {problem}")]
    Setting {
        /// The provider.
        provider: String,
        /// The key below `[providers.NAME]`.
        key: String,
        /// The problem.
        problem: String,
        /// The remedy.
        hint: String,
        /// The file.
        file: Option<PathBuf>,
    },
    /// The manifest leaves settings to the operator, who has not set them.
    #[error("{provider} needs settings that are not set: {}", .keys.join(", "))]
    Unset {
        /// The provider.
        provider: String,
        /// Their keys.
        keys: Vec<String>,
        /// The file, if there is one.
        file: Option<PathBuf>,
    },
}

impl BindingError {
    /// The file at fault.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let (Self::NoHost { file, .. }
        | Self::Tightening { file, .. }
        | Self::Setting { file, .. }
        | Self::Unset { file, .. }) = self;
        file.as_ref().map(|file| file.display().to_string())
    }

    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoHost { provider, asked, .. } => {
                let listed: Vec<String> = asked.iter().map(|host| format!("{host:?}")).collect();
                format!(
                    "grant the hosts that you agree to:\n  [providers.{provider}]\n  hosts = [{}]",
                    listed.join(", ")
                )
            }
            Self::Tightening { provider, .. } => {
                format!("correct it below [providers.{provider}]; the stricter of it and the manifest applies")
            }
            Self::Setting { hint, .. } => hint.clone(),
            Self::Unset { provider, keys, .. } => {
                let lines: Vec<String> = keys.iter().map(|key| format!("\n  {key} = \"...\"")).collect();
                format!("set them in damper.toml:\n  [providers.{provider}.config]{}", lines.concat())
            }
        }
    }
}
