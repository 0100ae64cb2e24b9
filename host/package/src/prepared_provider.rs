//! A component with its operator's settings, checked: whether Lambda can run it as the operator set it up.

use std::cell::RefCell;
use std::collections::BTreeSet;
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

/// An operator's settings of one provider.
#[derive(Debug, Clone)]
pub struct OperatorSettings<'a> {
    /// The settings, if the provider is listed.
    pub settings: Option<&'a ProviderSettings>,
    /// The same as they are written; empty if it is not listed.
    pub table: Table,
    /// Their origin.
    pub place: Place<'a>,
}

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
    /// Brings a component together with the operator's settings of one of its providers.
    ///
    /// # Errors
    /// If Lambda cannot run it so.
    pub fn new(provider: &str, file: ComponentFile, said: OperatorSettings<'_>) -> Result<Self, PackagingError> {
        let (nothing, place) = (ProviderSettings::default(), said.place);
        let (said, settings) = (said.settings, said.into_text()?);
        let asked = file.manifest.clone().for_provider(provider);
        let secrets = RefCell::new(BTreeSet::new());
        let find = |place: &SecretPlace| {
            secrets.borrow_mut().insert(secret_name(place, provider)?);
            // Nobody asks it: packaging needs no secret, only to know which there are.
            Ok(FoundSecret { source: Arc::new(Secret::new("")) as Arc<dyn SecretSource>, known: None })
        };
        let sources = SecretSources { backends: SecretBackends::SecretsManager, find: &find };
        let bound = settings::bind(&asked, said.unwrap_or(&nothing), place, sources)?;
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

impl OperatorSettings<'_> {
    /// The settings as they are packaged: without the component's path on this machine. Without a damper.toml, the
    /// settings that such a provider gets.
    fn into_text(self) -> Result<String, PackagingError> {
        if self.place == Place::Nowhere {
            return Ok("hosts = \"manifest\"\n".to_owned());
        }
        let mut table = self.table;
        table.remove("component");
        toml::to_string(&table).map_err(|error| PackagingError::cannot("write the provider's settings", error))
    }
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
