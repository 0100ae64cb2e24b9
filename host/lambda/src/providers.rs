//! The providers of the package, each with its pipeline, made when it is first needed: what a package holds that nobody
//! asks for costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use damper_core::control::crashes::Crash;
use damper_core::fetcher::Fetcher;
use damper_core::pipeline::{Pipeline, Stores};
use damper_plugins::grants::SecretSource;
use damper_plugins::package::{Package, PackageError, PackagedProvider};
use damper_plugins::settings::{
    FoundSecret, Place, ProviderSettings, SecretBackends, SecretPlace, SecretPlaceError, SecretSources, bind,
};
use damper_plugins::{
    CrashMarks, HostError, HostOptions, KeyCounting, LoadError, MemoryLimits, PluginHost, TokenSharing,
};

/// The most fetches at a time in one process, over all providers; a fetch beyond it waits for another to end.
const MOST_IN_FLIGHT: u32 = 128;
/// The source of a packaged provider's settings, for messages.
const SETTINGS: &str = "damper.toml";

/// A source of pipelines.
pub(crate) trait Providers: Send + Sync {
    /// The names of all providers that this function works for.
    fn names(&self) -> Result<Vec<String>, ProviderError>;

    /// A provider's pipeline, the same for every invocation of this process.
    fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, ProviderError>;

    /// Processes that died while this provider's component ran, and that are not recorded yet.
    fn crashes(&self, _name: &str) -> Vec<Crash> {
        Vec::new()
    }

    /// The crashes of this provider are recorded.
    fn forget_crashes(&self, _name: &str) {}
}

/// A provider that cannot be worked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It is not in the package, or cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The engine does not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The operator's settings do not fit it.
    #[error("the settings of {provider} in this package cannot be used: {message}")]
    Settings { provider: String, message: String },
    /// Another function works for it: this one's role reaches nothing of it.
    #[error("{provider} has a function of its own: deploy the provider's stack, whose mapping invokes that function")]
    Elsewhere { provider: String },
    /// Its credentials or grants cannot be set up.
    #[error("{provider} cannot be loaded: {source}")]
    Load { provider: String, source: LoadError },
}

/// Makes the source of a secret of AWS Secrets Manager from its provider's name, and its own name or ARN.
pub(crate) type Secrets = Box<dyn Fn(&str, &str) -> Arc<dyn SecretSource> + Send + Sync>;

/// The state of credentials that the processes of the function share.
pub(crate) struct SharedCredentials {
    /// Tokens.
    pub(crate) tokens: TokenSharing,
    /// The counts of keys' requests.
    pub(crate) key_counting: KeyCounting,
}

/// The providers of a package.
pub(crate) struct PackagedProviders {
    package: Package,
    stores: Stores,
    secrets: Secrets,
    shared: SharedCredentials,
    memory: Option<MemoryLimits>,
    /// Those that this function works for; none: all.
    assigned: Option<BTreeSet<String>>,
    crash_marks: CrashMarks,
    loaded: Mutex<LoadedProviders>,
}

#[derive(Default)]
struct LoadedProviders {
    host: Option<PluginHost>,
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    /// By provider.
    crashes: BTreeMap<String, Vec<Crash>>,
}

impl PackagedProviders {
    /// The providers of the package in this folder, which may use so much memory together: those `assigned` to this
    /// function, or all. Nothing of them is read yet.
    ///
    /// # Errors
    /// If the folder holds no package.
    pub(crate) fn open(
        folder: &Path,
        stores: Stores,
        secrets: Secrets,
        shared: SharedCredentials,
        memory: Option<MemoryLimits>,
        crash_marks: CrashMarks,
        assigned: Option<BTreeSet<String>>,
    ) -> Result<Self, PackageError> {
        let (package, loaded) = (Package::open(folder)?, Mutex::default());
        Ok(Self { package, stores, secrets, shared, memory, assigned, crash_marks, loaded })
    }

    fn is_assigned(&self, name: &str) -> bool {
        self.assigned.as_ref().is_none_or(|assigned| assigned.contains(name))
    }

    fn load(&self, host: &PluginHost, name: &str) -> Result<(Arc<Pipeline>, Vec<Crash>), ProviderError> {
        let packaged = self.package.provider(name)?;
        let bound = self.bind(name, &packaged)?;
        for warning in &bound.warnings {
            tracing::warn!(provider = name, "{warning}");
        }
        let plugin = host
            .load_packaged(&packaged, bound.manifest.clone(), bound.grants)
            .map_err(|source| ProviderError::Load { provider: name.to_owned(), source })?;
        let crashes = self.crash_marks.find_crashes(plugin.marked_component(), plugin.digest());
        Ok((Pipeline::new(bound.manifest, Arc::new(plugin), self.stores.clone()), crashes))
    }

    /// The manifest and what the operator set, brought together as on one machine.
    fn bind(
        &self,
        name: &str,
        packaged: &PackagedProvider,
    ) -> Result<damper_plugins::settings::BoundProvider, ProviderError> {
        let unusable = |message: String| ProviderError::Settings { provider: name.to_owned(), message };
        let settings =
            ProviderSettings::from_toml(&packaged.settings).map_err(|error| unusable(error.problem.clone()))?;
        let place = Place::File(Path::new(SETTINGS));
        let sources =
            SecretSources { backends: SecretBackends::SecretsManager, find: &|place| self.secret(name, place) };
        bind(&packaged.manifest, &settings, place, sources)
            .map_err(|error| unusable(format!("{error}; {}", error.hint())))
    }

    fn secret(&self, provider: &str, place: &SecretPlace) -> Result<FoundSecret, SecretPlaceError> {
        match place {
            SecretPlace::SecretsManager(name) => {
                Ok(FoundSecret { source: (self.secrets)(provider, name), known: None })
            }
            SecretPlace::Environment(_) | SecretPlace::File(_) => Err(SecretPlaceError {
                problem: format!("names {place}, which does not exist in Lambda"),
                hint: "name a secret of AWS Secrets Manager: secret = \"...\"; then package and deploy again"
                    .to_owned(),
            }),
        }
    }
}

impl Providers for PackagedProviders {
    fn names(&self) -> Result<Vec<String>, ProviderError> {
        let mut names = self.package.names()?;
        names.retain(|name| self.is_assigned(name));
        Ok(names)
    }

    fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, ProviderError> {
        if !self.is_assigned(name) {
            return Err(ProviderError::Elsewhere { provider: name.to_owned() });
        }
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = loaded.pipelines.get(name) {
            return Ok(Arc::clone(pipeline));
        }
        let host = match &loaded.host {
            Some(host) => host,
            None => {
                let options = HostOptions {
                    max_in_flight: MOST_IN_FLIGHT,
                    memory: self.memory,
                    execution_marks: self.crash_marks.own(),
                    token_sharing: Some(self.shared.tokens.clone()),
                    key_counting: Some(self.shared.key_counting.clone()),
                    ..HostOptions::default()
                };
                loaded.host.insert(PluginHost::new(options)?)
            }
        };
        let (pipeline, crashes) = self.load(host, name)?;
        loaded.pipelines.insert(name.to_owned(), Arc::clone(&pipeline));
        loaded.crashes.insert(name.to_owned(), crashes);
        Ok(pipeline)
    }

    fn crashes(&self, name: &str) -> Vec<Crash> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.crashes.get(name).cloned().unwrap_or_default()
    }

    fn forget_crashes(&self, name: &str) {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).crashes.remove(name);
        self.crash_marks.forget(|component| component.is_of(name));
    }
}
