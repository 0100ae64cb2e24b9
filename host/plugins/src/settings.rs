//! An operator's settings for a provider, `[providers.NAME]` of a damper.toml, and their combination with a manifest: the limits in force,
//! hosts, settings and secrets.
//!
//! Every program that runs providers uses this module, so that the same table means the same on one machine and in AWS. This module reads
//! no environment, no file and no secret. The caller passes the origin of the settings and makes the sources of secrets.

mod credential;
mod error;
mod shape;

use std::collections::BTreeMap;
use std::path::Path;

use damper_core::escape::escape_text;
use damper_core::manifest::Manifest;

use crate::grants::{Grants, Origin};

pub use credential::{FoundSecret, SecretBackends, SecretPlace, SecretPlaceError, SecretSources};
pub use error::BindingError;
pub use shape::{CredentialSettings, HostGrant, ProviderSettings, SettingsError, Text};

/// The origin of settings, for messages and for the grants without settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// This file. It alone grants.
    File(&'a Path),
    /// There is no damper.toml: the hosts that the manifest asks for are granted by https, and no secret.
    Nowhere,
}

/// A manifest combined with an operator's settings.
#[derive(Debug, Clone)]
pub struct BoundProvider {
    /// The manifest, with the limits that the operator tightened.
    pub manifest: Manifest,
    /// The grants to the provider.
    pub grants: Grants,
    /// Warnings for a person, before the provider runs.
    pub warnings: Vec<String>,
}

/// Combines a manifest with the operator's settings. `sources` finds and reads secrets.
///
/// # Errors
/// If they do not fit, or a secret's place cannot be used here.
pub fn bind(
    manifest: &Manifest,
    settings: &ProviderSettings,
    place: Place<'_>,
    sources: SecretSources<'_>,
) -> Result<BoundProvider, BindingError> {
    let binder = Binder { manifest, settings, place, sources };
    let mut warnings = Vec::new();
    let hosts = binder.hosts(&mut warnings)?;
    let grants = Grants {
        private: binder.private()?,
        secrets: binder.secrets(&hosts, &mut warnings)?,
        config: binder.config()?,
        proxy: settings.proxy.clone(),
        hosts,
    };
    Ok(BoundProvider { manifest: tighten_manifest(manifest, settings, place)?, grants, warnings })
}

/// A manifest with the limits that the operator tightens; nothing is granted.
///
/// # Errors
/// If what is tightened is not allowed.
pub fn tighten_manifest(
    manifest: &Manifest,
    settings: &ProviderSettings,
    place: Place<'_>,
) -> Result<Manifest, BindingError> {
    manifest.clone().tighten(&settings.tightening()).map_err(|source| BindingError::Tightening {
        provider: manifest.name.clone(),
        source: Box::new(source),
        file: place.file(),
    })
}

impl Place<'_> {
    fn file(self) -> Option<std::path::PathBuf> {
        match self {
            Self::File(path) => Some(path.to_path_buf()),
            Self::Nowhere => None,
        }
    }
}

struct Binder<'a> {
    manifest: &'a Manifest,
    settings: &'a ProviderSettings,
    place: Place<'a>,
    sources: SecretSources<'a>,
}

impl Binder<'_> {
    /// The hosts that may be reached by https. Without a damper.toml, those that the manifest asks for.
    fn hosts(&self, warnings: &mut Vec<String>) -> Result<Vec<String>, BindingError> {
        let asked = &self.manifest.egress.hosts;
        let name = &self.manifest.name;
        match (&self.settings.hosts, self.place) {
            (Some(HostGrant::Manifest), _) => Ok(asked.clone()),
            (Some(HostGrant::Listed(hosts)), _) => hosts.iter().map(|host| self.host("hosts", host)).collect(),
            (None, Place::Nowhere) => {
                warnings.push(format!("{name}: there is no damper.toml, so it is granted the hosts of its manifest ({}) by https, and no secret", asked.join(", ")));
                Ok(asked.clone())
            }
            (None, Place::File(_)) if !self.settings.private.is_empty() => Ok(Vec::new()),
            (None, Place::File(_)) => {
                Err(BindingError::NoHost { provider: name.clone(), asked: asked.clone(), file: self.place.file() })
            }
        }
    }

    fn host(&self, key: &str, text: &str) -> Result<String, BindingError> {
        let origin = Origin::https(text).map_err(|_| {
            let hint = "list names like \"api.example.org\"; list origins other than https on port 443 at `private`";
            self.setting(key, format!("holds {text:?}, which is not a host name"), hint)
        })?;
        Ok(origin.host().to_owned())
    }

    fn private(&self) -> Result<Vec<Origin>, BindingError> {
        let origin = |text: &String| {
            text.parse()
                .map_err(|error| self.setting("private", format!("cannot be used: {error}"), "list whole origins"))
        };
        self.settings.private.iter().map(origin).collect()
    }

    /// The manifest's settings with the operator's in their place.
    fn config(&self) -> Result<BTreeMap<String, String>, BindingError> {
        let mut config = self.manifest.config.clone();
        for (key, value) in &self.settings.config {
            let Some(setting) = config.get_mut(key) else {
                let known: Vec<&str> = self.manifest.config.keys().map(String::as_str).collect();
                let problem = "is not a setting of its manifest";
                return Err(self.setting(&format!("config.{key}"), problem, known_or_none("settings", &known)));
            };
            setting.clone_from(&value.0);
        }
        let unset: Vec<String> =
            config.iter().filter(|(_, value)| value.is_empty()).map(|(key, _)| key.clone()).collect();
        if unset.is_empty() {
            return Ok(config);
        }
        Err(BindingError::Unset { provider: self.manifest.name.clone(), keys: unset, file: self.place.file() })
    }

    fn setting(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) -> BindingError {
        BindingError::Setting {
            provider: self.manifest.name.clone(),
            key: escape_text(key),
            problem: escape_text(&problem.into()),
            hint: hint.into(),
            file: self.place.file(),
        }
    }
}

fn known_or_none(what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("it has no {what}; remove it")
    } else {
        format!("its {what} are: {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests;
