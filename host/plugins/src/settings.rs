//! An operator's settings for a provider, `[providers.NAME]` of a damper.toml, and their combination with a manifest:
//! the limits in force, hosts, settings and secrets.
//!
//! Every program that runs providers uses this module, so that the same table means the same on one machine and in AWS.
//! This module reads no environment, no file and no secret. The caller passes the origin of the settings and makes the
//! sources of secrets.

mod binder;
mod credential;
mod error;
mod key_limit;
mod place;
mod secret_sources;
mod shape;

use damper_core::manifest::Manifest;

use crate::grants::Grants;

use binder::Binder;
pub use error::{BindingError, SettingOrigin};
pub use place::Place;
pub use secret_sources::{FoundSecret, SecretBackends, SecretPlace, SecretPlaceError, SecretSources};
pub use shape::{CredentialSettings, HostGrant, KeySettings, ProviderSettings, SettingsError, Text};

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

/// Combines a manifest with the operator's settings for the provider of its name. `sources` finds and reads secrets.
///
/// ```
/// use std::path::Path;
/// use damper_core::manifest::Manifest;
/// use damper_plugins::settings::{Place, ProviderSettings, SecretBackends, SecretSources, bind};
///
/// let manifest = Manifest::parse(r#"
///     name = "gleif"
///     version = "0.3.0"
///     egress.hosts = ["api.gleif.org", "files.gleif.org"]
///     limits.max_concurrency = 8
///     config.page_size = "50"
/// "#)?;
/// // What the operator writes below [providers.gleif] of damper.toml.
/// let settings = ProviderSettings::from_toml(r#"
///     hosts = ["api.gleif.org"]
///     limits.max_concurrency = 2
///     config.page_size = 10
/// "#)?;
/// // The manifest names no credential, so no secret is looked for.
/// let sources = SecretSources { backends: SecretBackends::Machine, find: &|_| unreachable!() };
/// let bound = bind(&manifest, &settings, Place::File(Path::new("damper.toml")), sources)?;
/// assert_eq!(bound.manifest.limits.max_concurrency.get(), 2);
/// assert_eq!(bound.grants.hosts, ["api.gleif.org"]);
/// assert_eq!(bound.grants.config["page_size"], "10");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    let mut in_force = tighten_manifest(manifest, settings, place)?;
    if manifest.egress.is_left_to_operator() {
        in_force.egress.hosts.clone_from(&grants.hosts);
    }
    Ok(BoundProvider { manifest: in_force, grants, warnings })
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
        origin: None,
    })
}

#[cfg(test)]
mod tests;
