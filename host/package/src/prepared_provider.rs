//! A component with its operator's settings, checked: whether Lambda can run it as the operator set it up.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Secret, SecretSource};
use damper_plugins::settings::{
    self, FoundSecret, Place, ProviderSettings, SecretBackends, SecretPlace, SecretPlaceError, SecretSources,
};
use toml::Table;

use crate::error::PackagingError;
use crate::retention::StreamRetention;

/// A provider that can be packaged.
#[derive(Debug)]
pub struct PreparedProvider {
    /// Its component.
    pub file: ComponentFile,
    /// Its manifest with what the operator tightened.
    pub manifest: Manifest,
    /// Its grants, without the secrets.
    pub grants: Grants,
    /// The operator's table, as TOML.
    pub settings: String,
    /// The names of its secrets in AWS Secrets Manager.
    pub secrets: BTreeSet<String>,
    /// Those of them that the function writes: they hold refresh tokens, which the endpoint replaces.
    pub rotated_secrets: BTreeSet<String>,
    /// How long its stream keeps an item.
    pub retention: StreamRetention,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
}

impl PreparedProvider {
    /// Brings a component together with what the operator says of it: `said`, which was read from `damper_toml` where
    /// there is such a file.
    ///
    /// # Errors
    /// If Lambda cannot run it so.
    pub fn new(
        file: ComponentFile,
        said: Option<&ProviderSettings>,
        damper_toml: Option<&Path>,
    ) -> Result<Self, PackagingError> {
        let nothing = ProviderSettings::default();
        let place = damper_toml.map_or(Place::Nowhere, Place::File);
        let secrets = RefCell::new(BTreeSet::new());
        let find = |place: &SecretPlace| {
            secrets.borrow_mut().insert(secret_name(place, &file.manifest.name)?);
            // Nobody asks it: packaging needs no secret, only to know which there are.
            Ok(FoundSecret { source: Arc::new(Secret::new("")) as Arc<dyn SecretSource>, known: None })
        };
        let sources = SecretSources { backends: SecretBackends::SecretsManager, find: &find };
        let bound = settings::bind(&file.manifest, said.unwrap_or(&nothing), place, sources)?;
        let settings = settings_text(damper_toml, &file.manifest.name)?;
        let retention = StreamRetention::of(&bound.manifest)?;
        let rotated_secrets = find_rotated_secrets(&bound.manifest, said.unwrap_or(&nothing));
        let mut warnings = bound.warnings;
        warnings.extend(retention.warning(&bound.manifest));
        Ok(Self {
            file,
            manifest: bound.manifest,
            grants: bound.grants,
            settings,
            secrets: secrets.into_inner(),
            rotated_secrets,
            retention,
            warnings,
        })
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.name
    }
}

/// The secrets of which the host replaces a part.
fn find_rotated_secrets(manifest: &Manifest, said: &ProviderSettings) -> BTreeSet<String> {
    let rotated = manifest.credentials.iter().filter(|(_, kind)| kind.is_rotated());
    rotated.filter_map(|(name, _)| said.credentials.get(name)?.secret.clone()).collect()
}

/// The settings below `[providers.NAME]` without the component's path on this machine. Without a damper.toml: the
/// settings that such a provider gets.
fn settings_text(damper_toml: Option<&Path>, name: &str) -> Result<String, PackagingError> {
    let Some(path) = damper_toml else { return Ok("hosts = \"manifest\"\n".to_owned()) };
    let text = fs::read_to_string(path).map_err(PackagingError::file("read", path))?;
    let mut whole: Table = text.parse().map_err(|error| PackagingError::cannot("read damper.toml again", error))?;
    let table = whole.get_mut("providers").and_then(|providers| providers.get_mut(name));
    let Some(table) = table.and_then(toml::Value::as_table_mut) else { return Ok(String::new()) };
    table.remove("component");
    toml::to_string(table).map_err(|error| PackagingError::cannot("write the provider's settings", error))
}

/// The name of a secret, which must lie where Lambda finds it.
fn secret_name(place: &SecretPlace, provider: &str) -> Result<String, SecretPlaceError> {
    let unusable = |problem: String, hint: String| Err(SecretPlaceError { problem, hint });
    let kind = match place {
        SecretPlace::SecretsManager(name) => return Ok(name.clone()),
        SecretPlace::Environment(_) => "env",
        SecretPlace::File(_) => "file",
    };
    let hint = format!("put the secret into AWS Secrets Manager and name it here: `secret = \"damper/{provider}\"`");
    unusable(format!("binds `{kind}`, which does not exist in Lambda"), hint)
}
