//! A component brought together with what damper.toml says of it, and where this program reads secrets.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use damper_core::fetcher::FetchRequest;
use damper_core::item::Item;
use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Secret, SecretError, SecretSource};
use damper_plugins::settings::{
    self, BindingError, FoundSecret, Place, ProviderSettings, SecretBackends, SecretPlace, SecretPlaceError,
    SecretSources,
};
use jiff::Timestamp;

use crate::config::{Config, read_secret, replace_secret};
use crate::environment::{self, NotUtf8};

/// A provider with what it was granted.
#[derive(Debug)]
pub struct Bound {
    /// Its component.
    pub file: ComponentFile,
    /// Its manifest with what the operator tightened.
    pub manifest: Manifest,
    /// Its grants.
    pub grants: Grants,
    /// Warnings for the operator before it runs.
    pub warnings: Vec<String>,
}

impl Bound {
    /// The first attempt at an item, now.
    #[must_use]
    pub fn first_fetch(&self, item: Item, now: Timestamp) -> FetchRequest {
        let Manifest { window, limits, .. } = &self.manifest;
        let Item { id, params } = item;
        let (day, timeout) = (window.day(now), limits.fetch_timeout);
        FetchRequest { id, params, attempt: 1, day, timeout, resume: None }
    }
}

/// Bring a component together with what damper.toml says of one of its providers.
///
/// # Errors
/// If they do not fit.
pub fn bind(config: &Config, provider: &str, file: ComponentFile) -> Result<Bound, BindingError> {
    let bound = bind_with(config, provider, &file, &|place| source(config, place))?;
    let settings::BoundProvider { manifest, grants, warnings } = bound;
    Ok(Bound { file, manifest, grants, warnings })
}

/// A component with what damper.toml says of one of its providers, without reading any secret.
///
/// # Errors
/// If they do not fit.
pub fn bind_without_secrets(
    config: &Config,
    provider: &str,
    file: &ComponentFile,
) -> Result<settings::BoundProvider, BindingError> {
    let unread =
        |_: &SecretPlace| Ok(FoundSecret { source: Arc::new(Secret::new("")) as Arc<dyn SecretSource>, known: None });
    bind_with(config, provider, file, &unread)
}

fn bind_with(
    config: &Config,
    provider: &str,
    file: &ComponentFile,
    find: &dyn Fn(&SecretPlace) -> Result<FoundSecret, SecretPlaceError>,
) -> Result<settings::BoundProvider, BindingError> {
    let nothing = ProviderSettings::default();
    let said = config.provider(provider).unwrap_or(&nothing);
    let asked = file.manifest.clone().for_provider(provider);
    let sources = SecretSources { backends: SecretBackends::Machine, find };
    settings::bind(&asked, said, place(config), sources).map_err(|error| locate(config, error))
}

/// A component's manifest with what the operator tightens; nothing is granted.
///
/// # Errors
/// If what is tightened is not allowed.
pub(super) fn tighten_manifest(
    config: &Config,
    provider: &str,
    file: &ComponentFile,
) -> Result<Manifest, BindingError> {
    let nothing = ProviderSettings::default();
    let said = config.provider(provider).unwrap_or(&nothing);
    let asked = file.manifest.clone().for_provider(provider);
    settings::tighten_manifest(&asked, said, place(config)).map_err(|error| locate(config, error))
}

/// The error with the position of the setting at fault, if a layer of damper.toml has it.
fn locate(config: &Config, error: BindingError) -> BindingError {
    let layers = config.layers(error.provider());
    let origin = layers.and_then(|layers| match error.key() {
        Some(key) => layers.origin(&key),
        None => layers.first_in(&format!("providers.{}", error.provider())),
    });
    match origin.cloned() {
        Some(origin) => error.with_origin(origin),
        None => error,
    }
}

fn place(config: &Config) -> Place<'_> {
    config.file.as_deref().map_or(Place::Nowhere, Place::File)
}

/// A secret, read at the start so that what cannot work is told before anything runs. A file is read again when an API
/// no longer accepts what it held.
fn source(config: &Config, place: &SecretPlace) -> Result<FoundSecret, SecretPlaceError> {
    let unusable = |problem: String, hint: &str| SecretPlaceError { problem, hint: hint.to_owned() };
    match place {
        SecretPlace::Environment(variable) => match environment::secret(variable) {
            Ok(Some(text)) => {
                let secret = Secret::new(text);
                Ok(FoundSecret { source: Arc::new(secret.clone()), known: Some(secret) })
            }
            Ok(None) => {
                let problem = format!("names the environment variable {variable}, which is not set");
                Err(unusable(problem, "set it for this run"))
            }
            Err(NotUtf8) => {
                let problem = format!("names the environment variable {variable}, which is not UTF-8");
                Err(unusable(problem, "put the secret into a file as text"))
            }
        },
        SecretPlace::File(file) => {
            let path = config.folder.join(file);
            let text = read_secret(&path).map_err(|problem| {
                let problem = format!("names the file {}: {problem}", path.display());
                unusable(problem, "the file must hold the secret alone, belong to you and have mode 0600")
            })?;
            Ok(FoundSecret { source: Arc::new(SecretFile(path)), known: Some(Secret::new(text)) })
        }
        SecretPlace::SecretsManager(_) => {
            // The name is not shown: by mistake it may be the secret itself.
            let problem = "names a secret of AWS Secrets Manager, which is read in AWS only";
            Err(unusable(
                problem.to_owned(),
                "for a run on this machine, write `env = \"NAME\"` or `file = \"path\"` instead of `secret`",
            ))
        }
    }
}

/// A file that holds a secret.
struct SecretFile(PathBuf);

#[async_trait]
impl SecretSource for SecretFile {
    async fn read(&self) -> Result<Secret, SecretError> {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || read_secret(&path)).await;
        let read = read.unwrap_or_else(|_| Err("it was not read to its end".to_owned()));
        read.map(Secret::new).map_err(SecretError::new)
    }

    fn is_writable(&self) -> bool {
        true
    }

    async fn replace(&self, old: &Secret, new: &Secret) -> Result<bool, SecretError> {
        let (path, old, new) = (self.0.clone(), old.clone(), new.clone());
        let replace = move || replace_secret(&path, old.text_to_store(), new.text_to_store());
        let replaced = tokio::task::spawn_blocking(replace).await;
        replaced.unwrap_or_else(|_| Err("it was not written to its end".to_owned())).map_err(SecretError::new)
    }
}
