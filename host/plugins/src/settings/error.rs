//! Errors of combining a manifest with an operator's settings.

use std::path::PathBuf;

use damper_core::manifest::{ManifestError, Position};

/// Where a setting is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingOrigin {
    /// The table, such as `defaults` or `providers.acme-life`.
    pub table: String,
    /// The position in the file.
    pub position: Position,
}

/// A provider's settings do not fit its manifest, or cannot be used here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// There is a damper.toml, and it grants nothing.
    #[error("{provider} has no granted hosts, and {}", describe_asked(.asked))]
    NoHost {
        /// The provider.
        provider: String,
        /// The hosts that its manifest asks for; none: it leaves them to the operator.
        asked: Vec<String>,
        /// The file.
        file: Option<PathBuf>,
        /// The provider's table and a position in it, if they are known.
        origin: Option<Box<SettingOrigin>>,
    },
    /// A tightened limit is not allowed.
    #[error("the settings of {provider} cannot be used: {}{source}", table_prefix(.origin.as_deref()))]
    Tightening {
        /// The provider.
        provider: String,
        /// The problem.
        source: Box<ManifestError>,
        /// The file.
        file: Option<PathBuf>,
        /// The setting's table and position there, if they are known.
        origin: Option<Box<SettingOrigin>>,
    },
    /// A setting is wrong.
    #[error("{}.{key} {problem}", table_name(.provider, .origin.as_deref()))]
    Setting {
        /// The provider.
        provider: String,
        /// The key below `[providers.NAME]`.
        key: String,
        /// The problem.
        problem: Box<str>,
        /// The remedy.
        hint: Box<str>,
        /// The file.
        file: Option<PathBuf>,
        /// The setting's table and position there, if they are known.
        origin: Option<Box<SettingOrigin>>,
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
        /// The provider's table and a position in it, if they are known.
        origin: Option<Box<SettingOrigin>>,
    },
}

fn describe_asked(hosts: &[String]) -> String {
    if hosts.is_empty() {
        return "its component leaves them to you".to_owned();
    }
    format!("it asks for {}", hosts.join(", "))
}

/// The table of a setting, as far as it is known.
fn table_name(provider: &str, origin: Option<&SettingOrigin>) -> String {
    origin.map_or_else(|| format!("providers.{provider}"), |origin| origin.table.clone())
}

fn table_prefix(origin: Option<&SettingOrigin>) -> String {
    origin.map(|origin| format!("{}.", origin.table)).unwrap_or_default()
}

impl BindingError {
    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &str {
        let (Self::NoHost { provider, .. }
        | Self::Tightening { provider, .. }
        | Self::Setting { provider, .. }
        | Self::Unset { provider, .. }) = self;
        provider
    }

    /// The key of the setting at fault below the provider's table, such as `limits.max_concurrency`, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Setting { key, .. } => Some(key.clone()),
            Self::Tightening { source, .. } => source.field().map(|field| {
                let whole = field.split('[').next().unwrap_or(field);
                whole.to_owned()
            }),
            Self::NoHost { .. } | Self::Unset { .. } => None,
        }
    }

    /// The error with the table and the position of the setting at fault.
    #[must_use]
    pub fn with_origin(mut self, at: SettingOrigin) -> Self {
        let (Self::NoHost { origin, .. }
        | Self::Tightening { origin, .. }
        | Self::Setting { origin, .. }
        | Self::Unset { origin, .. }) = &mut self;
        *origin = Some(Box::new(at));
        self
    }

    /// The file at fault, with line and column if they are known.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let (Self::NoHost { file, origin, .. }
        | Self::Tightening { file, origin, .. }
        | Self::Setting { file, origin, .. }
        | Self::Unset { file, origin, .. }) = self;
        let file = file.as_ref()?.display();
        let place = |origin: &SettingOrigin| format!("{file}:{}:{}", origin.position.line, origin.position.column);
        Some(origin.as_deref().map_or_else(|| file.to_string(), place))
    }

    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoHost { provider, asked, .. } if asked.is_empty() => format!(
                "name the hosts of this provider's API in damper.toml:\n  [providers.{provider}]\n  \
                    hosts = [\"api.example.org\"]"
            ),
            Self::NoHost { provider, asked, .. } => {
                let listed: Vec<String> = asked.iter().map(|host| format!("{host:?}")).collect();
                format!(
                    "grant the hosts that you agree to:\n  [providers.{provider}]\n  hosts = [{}]",
                    listed.join(", ")
                )
            }
            Self::Tightening { provider, origin, .. } => {
                let table = table_name(provider, origin.as_deref());
                format!("correct it below [{table}]; the stricter of it and the manifest applies")
            }
            Self::Setting { hint, .. } => hint.to_string(),
            Self::Unset { provider, keys, .. } => {
                let lines: Vec<String> = keys.iter().map(|key| format!("\n  {key} = \"...\"")).collect();
                format!("set them in damper.toml:\n  [providers.{provider}.config]{}", lines.concat())
            }
        }
    }
}
