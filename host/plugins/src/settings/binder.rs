//! Combines an operator's settings with a manifest: hosts, private origins and the component's own settings.

use std::collections::BTreeMap;

use damper_core::escape::escape_text;
use damper_core::manifest::Manifest;

use super::error::BindingError;
use super::place::Place;
use super::secret_sources::SecretSources;
use super::shape::{HostGrant, ProviderSettings};
use crate::grants::Origin;

/// A manifest and an operator's settings for it, which are combined.
pub(super) struct Binder<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) settings: &'a ProviderSettings,
    pub(super) place: Place<'a>,
    pub(super) sources: SecretSources<'a>,
}

impl Binder<'_> {
    /// The hosts that may be reached by https. Without a damper.toml, those that the manifest asks for.
    pub(super) fn hosts(&self, warnings: &mut Vec<String>) -> Result<Vec<String>, BindingError> {
        let asked = &self.manifest.egress.hosts;
        let name = &self.manifest.name;
        let is_left = self.manifest.egress.is_left_to_operator();
        match (&self.settings.hosts, self.place) {
            (Some(HostGrant::Manifest), _) if is_left => {
                let hint = "list the hosts of this provider's API: hosts = [\"api.example.org\"]";
                Err(self.setting(
                    "hosts",
                    "is \"manifest\", but the component's manifest leaves the hosts to you",
                    hint,
                ))
            }
            (None, Place::Nowhere) if is_left => Err(self.no_host()),
            (Some(HostGrant::Manifest), _) => Ok(asked.clone()),
            (Some(HostGrant::Listed(hosts)), _) => hosts.iter().map(|host| self.host("hosts", host)).collect(),
            (None, Place::Nowhere) => {
                warnings.push(format!("{name}: there is no damper.toml, so it is granted the hosts of its manifest ({}) by https, and no secret", asked.join(", ")));
                Ok(asked.clone())
            }
            (None, Place::File(_)) if !self.settings.private.is_empty() => Ok(Vec::new()),
            (None, Place::File(_)) => Err(self.no_host()),
        }
    }

    fn no_host(&self) -> BindingError {
        let Manifest { name, egress, .. } = self.manifest;
        BindingError::NoHost {
            provider: name.clone(),
            asked: egress.hosts.clone(),
            file: self.place.file(),
            origin: None,
        }
    }

    pub(super) fn host(&self, key: &str, text: &str) -> Result<String, BindingError> {
        let origin = Origin::https(text).map_err(|_| {
            let hint = "list names like \"api.example.org\"; list origins other than https on port 443 at `private`";
            self.setting(key, format!("holds {text:?}, which is not a host name"), hint)
        })?;
        Ok(origin.host().to_owned())
    }

    pub(super) fn private(&self) -> Result<Vec<Origin>, BindingError> {
        let origin = |text: &String| {
            text.parse()
                .map_err(|error| self.setting("private", format!("cannot be used: {error}"), "list whole origins"))
        };
        self.settings.private.iter().map(origin).collect()
    }

    /// The manifest's settings with the operator's in their place.
    pub(super) fn config(&self) -> Result<BTreeMap<String, String>, BindingError> {
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
        let (provider, file) = (self.manifest.name.clone(), self.place.file());
        Err(BindingError::Unset { provider, keys: unset, file, origin: None })
    }

    pub(super) fn setting(&self, key: &str, problem: impl Into<String>, hint: impl Into<String>) -> BindingError {
        BindingError::Setting {
            provider: self.manifest.name.clone(),
            key: escape_text(key),
            problem: escape_text(&problem.into()).into(),
            hint: hint.into().into(),
            file: self.place.file(),
            origin: None,
        }
    }
}

/// The names that there are, for a person who wrote another one.
pub(super) fn known_or_none(what: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("it has no {what}; remove it")
    } else {
        format!("its {what} are: {}", known.join(", "))
    }
}
