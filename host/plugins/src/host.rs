//! The plugin host: one engine for all providers. It turns a provider's file, its manifest and its grants into a plugin.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use damper_core::manifest::Manifest;

use crate::artifacts::{Artifacts, Cache};
use crate::bindings::ProviderPre;
use crate::compiled::{CachedCode, Compiled, ComponentSource};
#[cfg(feature = "compile")]
use crate::compiler::Compiler;
use crate::component_file::ComponentFile;
use crate::credentials::CredentialError;
use crate::engine::CodeSettings;
use crate::execution_marks::ExecutionMarks;
use crate::grants::{Grants, OriginError};
use crate::http_client::ProxyError;
use crate::machine::MemoryLimits;
use crate::memory_budget::MemoryBudget;
use crate::ownership::OwnershipError;
use crate::package::PackagedProvider;
use crate::plugin::{LazyComponent, Plugin};
use crate::pools::Pools;
use crate::resolver::{Resolver, SystemResolver};
use crate::store_data::StoreData;
use crate::test_environment::TestEnvironment;

/// The multiple of the free memory that one provider may hold. A provider alone gets four fifths of the guests' memory and two thirds of
/// the host's.
const GUEST_MULTIPLE: usize = 4;
const HOST_MULTIPLE: usize = 2;

/// How a plugin host is set up.
#[derive(Clone)]
pub struct HostOptions {
    /// The cache of compiled components. None: each start compiles them again.
    pub cache: Option<Cache>,
    /// The most fetches at a time, over all providers. A fetch beyond it waits for another to end.
    pub max_in_flight: u32,
    /// The memory that components may take together; none: a part of what this process may use.
    pub memory: Option<MemoryLimits>,
    /// The marks of running components, for the next process if this one is killed. None: nothing is marked.
    pub execution_marks: Option<Arc<ExecutionMarks>>,
    /// The resolver of host names.
    pub resolver: Arc<dyn Resolver>,
    /// The compiler for components that are not in the cache.
    #[cfg(feature = "compile")]
    pub compiler: Compiler,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache: None,
            max_in_flight: 256,
            memory: None,
            execution_marks: None,
            resolver: Arc::new(SystemResolver),
            #[cfg(feature = "compile")]
            compiler: Compiler::default(),
        }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache, max_in_flight, memory, .. } = self;
        f.debug_struct("HostOptions")
            .field("cache", cache)
            .field("max_in_flight", max_in_flight)
            .field("memory", memory)
            .finish_non_exhaustive()
    }
}

/// A plugin host that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no compiled code for such a machine.
    #[error("components cannot run on this machine ({arch}, {os}): use Linux or macOS on x86_64 or aarch64")]
    Unsupported {
        /// Its architecture.
        arch: &'static str,
        /// Its operating system.
        os: &'static str,
    },
    /// The folder for compiled components cannot be used.
    #[error("cannot store compiled components in {folder}: {source}")]
    CacheDir {
        /// The folder.
        folder: String,
        /// Why not.
        source: OwnershipError,
    },
    /// The engine does not start.
    #[error("the engine for components does not start: {0}")]
    Engine(String),
}

/// A provider that cannot be loaded as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A credential cannot be set up.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A granted host is no host name.
    #[error("the granted hosts: {0}")]
    Host(#[from] OriginError),
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A setting without a default was not given.
    #[error("the setting {key:?} has no default: set it in damper.toml under [providers.{provider}.config]")]
    ConfigMissing {
        /// The provider.
        provider: String,
        /// The key.
        key: String,
    },
    /// A setting was given that the manifest does not list.
    #[error(
        "{provider} has no setting {key:?}: remove it from [providers.{provider}.config], or correct it; it has {known}"
    )]
    ConfigUnknown {
        /// The provider.
        provider: String,
        /// The key.
        key: String,
        /// The keys there are.
        known: String,
    },
}

/// Runs providers: one engine, its instances' pool, and the store of compiled components.
pub struct PluginHost {
    inner: Arc<Inner>,
}

/// The part of the host that its plugins share.
pub(crate) struct Inner {
    pub(crate) pools: Pools,
    artifacts: Option<Artifacts>,
    settings_key: String,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) execution_marks: Option<Arc<ExecutionMarks>>,
    #[cfg(feature = "compile")]
    compiler: Compiler,
    /// The components of all plugins, by digest: plugins with the same component share it.
    components: Mutex<HashMap<String, Weak<LazyComponent>>>,
    /// The memory of all instances.
    pub(crate) guest_memory: Arc<MemoryBudget>,
    /// The memory that the host holds for all calls.
    pub(crate) host_memory: Arc<MemoryBudget>,
}

impl PluginHost {
    /// Sets the engine up.
    ///
    /// # Errors
    /// If this machine cannot run components, or the folder for compiled ones cannot be used.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        Self::with_settings(options, |settings| settings)
    }

    /// Sets up an engine whose guests' instructions are counted ([`Usage`](crate::Usage)). It runs other and slower code than
    /// [`PluginHost::new`]: use it for measurements only.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn with_metering(options: HostOptions) -> Result<Self, HostError> {
        Self::with_settings(options, CodeSettings::with_metering)
    }

    fn with_settings(
        options: HostOptions,
        adjust: impl FnOnce(CodeSettings) -> CodeSettings,
    ) -> Result<Self, HostError> {
        let settings = CodeSettings::host()
            .ok_or(HostError::Unsupported { arch: std::env::consts::ARCH, os: std::env::consts::OS })?;
        let pools = Pools::new(adjust(settings), options.max_in_flight.max(1)).map_err(HostError::Engine)?;
        let artifacts = options.cache.map(|cache| {
            let shown = cache.folder.display().to_string();
            Artifacts::open(cache).map_err(|source| HostError::CacheDir { folder: shown, source })
        });
        let memory = options.memory.unwrap_or_default();
        let inner = Inner {
            artifacts: artifacts.transpose()?,
            settings_key: pools.settings().key(),
            pools,
            resolver: options.resolver,
            execution_marks: options.execution_marks,
            #[cfg(feature = "compile")]
            compiler: options.compiler,
            components: Mutex::default(),
            guest_memory: MemoryBudget::new(memory.guests, GUEST_MULTIPLE),
            host_memory: MemoryBudget::new(memory.host, HOST_MULTIPLE),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a provider ready to fetch. The manifest is the file's own or one that was tightened. The component itself is
    /// compiled, or read compiled from the cache, with the first fetch.
    ///
    /// # Errors
    /// If the grants do not fit the manifest, or ask for what this version does not support.
    pub fn load(&self, file: &ComponentFile, manifest: Manifest, grants: Grants) -> Result<Plugin, LoadError> {
        let source = ComponentSource::Component { digest: file.digest.clone(), bytes: file.bytes.clone() };
        Plugin::new(Arc::clone(&self.inner), source, manifest, grants, None)
    }

    /// As [`PluginHost::load`], for a provider out of a package. Its compiled code is checked and mapped with the first fetch;
    /// nothing is compiled.
    ///
    /// # Errors
    /// As [`PluginHost::load`].
    pub fn load_packaged(
        &self,
        packaged: &PackagedProvider,
        manifest: Manifest,
        grants: Grants,
    ) -> Result<Plugin, LoadError> {
        Plugin::new(
            Arc::clone(&self.inner),
            ComponentSource::Packaged(packaged.artifact.clone()),
            manifest,
            grants,
            None,
        )
    }

    /// Makes a provider ready to fetch in a test environment, for tests of providers only: its requests go to a server on loopback, and no
    /// address is checked. Everything else is as with [`PluginHost::load`].
    ///
    /// # Errors
    /// As [`PluginHost::load`].
    pub fn load_for_test(
        &self,
        file: &ComponentFile,
        manifest: Manifest,
        grants: Grants,
        environment: TestEnvironment,
    ) -> Result<Plugin, LoadError> {
        let source = ComponentSource::Component { digest: file.digest.clone(), bytes: file.bytes.clone() };
        Plugin::new(Arc::clone(&self.inner), source, manifest, grants, Some(environment))
    }

    /// Whether there is room for a pool of as many instances as may be in flight; without one, all share the pool for interpreters.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.inner.pools.has_narrow()
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("is_pooled", &self.is_pooled()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Whether guests' instructions are counted.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.pools.settings().counts_instructions()
    }

    /// The component of this digest, of another plugin that has it or a new one.
    pub(crate) fn shared_component(&self, digest: &str, make: impl FnOnce() -> LazyComponent) -> Arc<LazyComponent> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.retain(|_, component| component.strong_count() > 0);
        if let Some(known) = components.get(digest).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(make());
        components.insert(digest.to_owned(), Arc::downgrade(&made));
        made
    }

    /// Makes a component ready to be instantiated: compiled now, read compiled, or mapped from a package; its imports resolved. It blocks:
    /// call it on a thread that may block.
    pub(crate) fn prepare(&self, name: &str, source: &ComponentSource) -> Result<ProviderPre<StoreData>, String> {
        let code = match source {
            ComponentSource::Component { digest, bytes } => self.code(name, digest, bytes)?,
            ComponentSource::Packaged(artifact) => Compiled::File(artifact.check().map_err(|error| error.to_string())?),
        };
        self.pools.prepare(name, &code)
    }

    #[cfg(feature = "compile")]
    fn compile(&self, bytes: &[u8]) -> Result<Compiled, String> {
        Compiled::compile(&self.compiler, self.pools.settings(), bytes)
    }

    #[cfg(not(feature = "compile"))]
    fn compile(&self, bytes: &[u8]) -> Result<Compiled, String> {
        Compiled::compile(self.pools.settings(), bytes)
    }

    /// The component's compiled code.
    fn code(&self, name: &str, digest: &str, bytes: &[u8]) -> Result<Compiled, String> {
        let Some(artifacts) = &self.artifacts else { return self.compile(bytes) };
        let file = Artifacts::name(digest, &self.settings_key);
        let path = artifacts.path(&file);
        match Compiled::read_cached(artifacts, &file) {
            CachedCode::Valid(code) => return Ok(code),
            CachedCode::Damaged(problem) => tracing::warn!(
                provider = name, file = %path.display(), problem, "the cached compiled component is damaged; it is compiled again and replaced"
            ),
            CachedCode::Missing => {}
        }
        let code = self.compile(bytes)?;
        if let Err(error) = code.write_cached(artifacts, &file) {
            tracing::warn!(provider = name, file = %path.display(), %error, "the compiled component was not written to the cache; the next process compiles it again");
        }
        Ok(code)
    }
}
