//! What a manifest asks and an operator grants, brought together: the limits in force, hosts, settings and secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use damper_core::manifest::{Manifest, ManifestError};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Origin, Secret, SecretBinding};

use crate::config::{Config, CredentialConfig, HostGrant, ProviderConfig, read_secret};
use crate::settings;

/// A provider with what it was granted.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its component.
    pub(crate) file: ComponentFile,
    /// Its manifest with what the operator tightened.
    pub(crate) manifest: Manifest,
    /// What it was granted.
    pub(crate) grants: Grants,
    /// What a person should know before it runs.
    pub(crate) warnings: Vec<String>,
}

/// Why a component and the operator's settings do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindingError {
    /// The component is of another provider.
    #[error("the component of {provider} says that it is {found}")]
    AnotherName {
        /// The provider that is wanted.
        provider: String,
        /// The name in its manifest.
        found: String,
        /// The component.
        path: PathBuf,
    },
    /// There is a damper.toml, and it grants nothing.
    #[error("{provider} is granted no host, and it asks for {}", .asked.join(", "))]
    NoHost {
        /// The provider.
        provider: String,
        /// What its manifest asks for.
        asked: Vec<String>,
        /// The damper.toml.
        config: PathBuf,
    },
    /// What is tightened is not allowed.
    #[error("the settings of {provider} cannot be used: {source}")]
    Tightening {
        /// The provider.
        provider: String,
        /// What is wrong.
        source: Box<ManifestError>,
        /// The damper.toml.
        config: PathBuf,
    },
    /// A setting is wrong.
    #[error("providers.{provider}.{key} {problem}")]
    Setting {
        /// The provider.
        provider: String,
        /// The key below `[providers.NAME]`.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
        /// The damper.toml.
        config: PathBuf,
    },
    /// The manifest leaves settings to the operator, who has not set them.
    #[error("{provider} needs settings that nobody has set: {}", .keys.join(", "))]
    Unset {
        /// The provider.
        provider: String,
        /// Their keys.
        keys: Vec<String>,
        /// The damper.toml, if there is one.
        config: Option<PathBuf>,
    },
}

impl BindingError {
    /// The file at fault.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::AnotherName { path: file, .. }
            | Self::NoHost { config: file, .. }
            | Self::Tightening { config: file, .. }
            | Self::Setting { config: file, .. } => Some(file.display().to_string()),
            Self::Unset { config, .. } => config.as_ref().map(|file| file.display().to_string()),
        }
    }

    /// What to do.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::AnotherName { provider, found, .. } => {
                format!("use the name {found}, or name another component at [providers.{provider}] component")
            }
            Self::NoHost { provider, asked, .. } => {
                let listed: Vec<String> = asked.iter().map(|host| format!("{host:?}")).collect();
                format!("grant what you agree to:\n  [providers.{provider}]\n  hosts = [{}]", listed.join(", "))
            }
            Self::Tightening { provider, .. } => {
                format!("correct it below [providers.{provider}]; the stricter of this and the manifest's holds")
            }
            Self::Setting { hint, .. } => hint.clone(),
            Self::Unset { provider, keys, .. } => {
                let lines: Vec<String> = keys.iter().map(|key| format!("\n  {key} = \"...\"")).collect();
                format!("set them in damper.toml:\n  [providers.{provider}.config]{}", lines.concat())
            }
        }
    }
}

/// Bring a component together with what damper.toml says of it.
///
/// # Errors
/// Where they do not fit.
pub(crate) fn bind(config: &Config, file: ComponentFile) -> Result<Bound, BindingError> {
    let nothing = ProviderConfig::default();
    let said = config.provider(&file.manifest.name).unwrap_or(&nothing);
    let binder = Binder { config, manifest: &file.manifest, said };
    let mut warnings = Vec::new();
    let hosts = binder.hosts(&mut warnings)?;
    let grants = Grants {
        private: binder.private()?,
        secrets: binder.secrets(&hosts, &mut warnings)?,
        config: binder.settings()?,
        proxy: said.proxy.clone(),
        hosts,
    };
    let manifest = tightened(config, &file)?;
    Ok(Bound { file, manifest, grants, warnings })
}

/// A component's manifest with what the operator tightens; nothing is granted.
///
/// # Errors
/// Where what is tightened is not allowed.
pub(crate) fn tightened(config: &Config, file: &ComponentFile) -> Result<Manifest, BindingError> {
    let nothing = ProviderConfig::default();
    let said = config.provider(&file.manifest.name).unwrap_or(&nothing);
    file.manifest.clone().tighten(&said.tightening()).map_err(|source| BindingError::Tightening {
        provider: file.manifest.name.clone(),
        source: Box::new(source),
        config: Binder { config, manifest: &file.manifest, said }.config_file(),
    })
}

struct Binder<'a> {
    config: &'a Config,
    manifest: &'a Manifest,
    said: &'a ProviderConfig,
}

impl Binder<'_> {
    /// The hosts that may be reached by https. Where there is no damper.toml at all, those that the manifest asks for.
    fn hosts(&self, warnings: &mut Vec<String>) -> Result<Vec<String>, BindingError> {
        let asked = &self.manifest.egress.hosts;
        let name = &self.manifest.name;
        match (&self.said.hosts, &self.config.file) {
            (Some(HostGrant::Manifest), _) => Ok(asked.clone()),
            (Some(HostGrant::Listed(hosts)), _) => hosts.iter().map(|host| self.host("hosts", host)).collect(),
            (None, None) => {
                warnings.push(format!("{name}: there is no damper.toml, so it is granted what its manifest asks for: {} by https; and no secret", asked.join(", ")));
                Ok(asked.clone())
            }
            (None, Some(_)) if !self.said.private.is_empty() => Ok(Vec::new()),
            (None, Some(config)) => {
                Err(BindingError::NoHost { provider: name.clone(), asked: asked.clone(), config: config.clone() })
            }
        }
    }

    fn host(&self, key: &str, text: &str) -> Result<String, BindingError> {
        let origin = Origin::https(text).map_err(|_| {
            let hint = "list names like \"api.example.org\"; what is not https on port 443 goes to `private`";
            self.setting(key, format!("holds {text:?}, which is no host name"), hint)
        })?;
        Ok(origin.host().to_owned())
    }

    fn private(&self) -> Result<Vec<Origin>, BindingError> {
        let origin = |text: &String| {
            text.parse()
                .map_err(|error| self.setting("private", format!("cannot be used: {error}"), "list whole origins"))
        };
        self.said.private.iter().map(origin).collect()
    }

    /// The manifest's settings with the operator's in their place.
    fn settings(&self) -> Result<BTreeMap<String, String>, BindingError> {
        let mut settings = self.manifest.config.clone();
        for (key, value) in &self.said.config {
            let Some(setting) = settings.get_mut(key) else {
                let known: Vec<&str> = self.manifest.config.keys().map(String::as_str).collect();
                let problem = "is no setting of its manifest";
                return Err(self.setting(&format!("config.{key}"), problem, known_or_none("settings", &known)));
            };
            setting.clone_from(&value.0);
        }
        let unset: Vec<String> =
            settings.iter().filter(|(_, value)| value.is_empty()).map(|(key, _)| key.clone()).collect();
        if unset.is_empty() {
            return Ok(settings);
        }
        Err(BindingError::Unset { provider: self.manifest.name.clone(), keys: unset, config: self.config.file.clone() })
    }

    fn secrets(
        &self,
        granted: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<String, SecretBinding>, BindingError> {
        let asked = &self.manifest.credentials;
        if let Some(unknown) = self.said.credentials.keys().find(|name| !asked.contains_key(*name)) {
            let known: Vec<&str> = asked.keys().map(String::as_str).collect();
            let problem = "is no credential of its manifest";
            return Err(self.setting(&format!("credentials.{unknown}"), problem, known_or_none("credentials", &known)));
        }
        let mut secrets = BTreeMap::new();
        for name in asked.keys() {
            match self.said.credentials.get(name) {
                Some(said) => {
                    secrets.insert(name.clone(), self.secret(name, said, granted)?);
                }
                None => warnings.push(format!(
                    "{provider}: its credential {name:?} has no secret; where it is used the fetch fails. To give one, write in damper.toml:\n  [providers.{provider}.credentials.{name}]\n  env = \"...\"   # or file = \"...\", mode 0600",
                    provider = self.manifest.name
                )),
            }
        }
        Ok(secrets)
    }

    fn secret(&self, name: &str, said: &CredentialConfig, granted: &[String]) -> Result<SecretBinding, BindingError> {
        let key = format!("credentials.{name}");
        let text = match (&said.env, &said.file) {
            (Some(variable), None) => match settings::secret(variable) {
                Ok(Some(text)) => text,
                Ok(None) => {
                    let problem = format!("names the environment variable {variable}, which is not set");
                    return Err(self.setting(&key, problem, "set it for this run"));
                }
                Err(()) => {
                    let problem = format!("names the environment variable {variable}, which is no UTF-8");
                    return Err(self.setting(&key, problem, "put the secret into a file as text"));
                }
            },
            (None, Some(file)) => {
                let path = self.config.folder.join(file);
                read_secret(&path).map_err(|problem| {
                    let problem = format!("names the file {}: {problem}", path.display());
                    self.setting(&key, problem, "the file must hold the secret alone, belong to you and have mode 0600")
                })?
            }
            _ => {
                return Err(self.setting(
                    &key,
                    "needs either `env` or `file`",
                    "say where the secret is, in one place",
                ));
            }
        };
        let hosts = match &said.hosts {
            None => granted.to_vec(),
            Some(hosts) => {
                let origin = |text: &String| match text.parse::<Origin>() {
                    Ok(origin) => Ok(origin.to_string()),
                    Err(_) => self.host(&format!("{key}.hosts"), text),
                };
                hosts.iter().map(origin).collect::<Result<_, _>>()?
            }
        };
        Ok(SecretBinding { secret: Secret::new(text), hosts })
    }

    fn setting(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) -> BindingError {
        BindingError::Setting {
            provider: self.manifest.name.clone(),
            key: key.to_owned(),
            problem: problem.into(),
            hint: hint.into(),
            config: self.config_file(),
        }
    }

    fn config_file(&self) -> PathBuf {
        self.config.file.as_deref().unwrap_or(Path::new(crate::config::FILE_NAME)).to_path_buf()
    }
}

fn known_or_none(what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("it has no {what}; leave it out")
    } else {
        format!("its {what} are: {}", known.join(", "))
    }
}
