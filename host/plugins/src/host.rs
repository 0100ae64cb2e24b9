//! The plugin host: one engine for all providers. It turns a provider's file, its manifest and its grants into a
//! plugin.

use std::fmt;
use std::sync::Arc;

use damper_core::manifest::Manifest;

use crate::component_file::ComponentFile;
use crate::credentials::{KeyCounting, TokenSharing};
use crate::egress::{Resolver, SystemResolver};
#[cfg(feature = "compile")]
use crate::engine::compiler::Compiler;
use crate::engine::{Artifacts, Cache, CodeSettings, ComponentSource, ComponentStore, ExecutionMarks, Pools};
use crate::grants::Grants;
use crate::memory::{MemoryBudget, MemoryLimits};
use crate::ownership::OwnershipError;
use crate::package::PackagedProvider;
use crate::plugin::{LoadError, Plugin, SharedHost};
use crate::test_environment::TestEnvironment;

/// The multiple of the free memory that one provider may hold. A provider alone gets four fifths of the guests' memory
/// and two thirds of the host's.
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
    /// The store of the tokens that processes share. None: each process requests its own, and forgets them at its end.
    pub token_sharing: Option<TokenSharing>,
    /// The store in which all processes count the requests of keys that have a daily quota. None: each process counts
    /// its own, and forgets them at its end.
    pub key_counting: Option<KeyCounting>,
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
            token_sharing: None,
            key_counting: None,
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

/// Runs providers: one engine, its instances' pool, and the store of compiled components.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::path::Path;
/// # use damper_core::fetcher::Fetcher;
/// # use damper_plugins::{HostOptions, LoadError, PluginHost, component_file::ComponentFile, grants::Grants};
/// # let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/components/sdk-0.1.0-rust.wasm"));
/// let file = ComponentFile::read(path)?;
/// let host = PluginHost::new(HostOptions { max_in_flight: 8, ..HostOptions::default() })?;
///
/// // The manifest asks for hosts, and the operator grants them. Nothing is compiled before the first fetch.
/// let grants = Grants { hosts: file.manifest.egress.hosts.clone(), ..Grants::default() };
/// let plugin = host.load(&file, file.manifest.clone(), grants)?;
/// assert_eq!(plugin.digest(), file.digest);
///
/// // A setting that the manifest does not list is an error.
/// let grants = Grants { config: [("page".to_owned(), "9".to_owned())].into(), ..Grants::default() };
/// let refused = host.load(&file, file.manifest.clone(), grants);
/// assert!(matches!(refused, Err(LoadError::ConfigUnknown { known, .. }) if known == "base_url, use_key"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PluginHost {
    shared: Arc<SharedHost>,
}

impl PluginHost {
    /// Sets the engine up.
    ///
    /// # Errors
    /// If this machine cannot run components, or the folder for compiled ones cannot be used.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        Self::with_settings(options, |settings| settings)
    }

    /// Sets up an engine whose guests' instructions are counted ([`Usage`](crate::Usage)). It runs other and slower
    /// code than [`PluginHost::new`]: use it for measurements only.
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
        let components = ComponentStore::new(pools, artifacts.transpose()?);
        #[cfg(feature = "compile")]
        let components = components.with_compiler(options.compiler);
        let shared = SharedHost {
            components: Arc::new(components),
            resolver: options.resolver,
            execution_marks: options.execution_marks,
            token_sharing: options.token_sharing,
            key_counting: options.key_counting.unwrap_or_else(KeyCounting::in_process),
            guest_memory: MemoryBudget::new(memory.guests, GUEST_MULTIPLE),
            host_memory: MemoryBudget::new(memory.host, HOST_MULTIPLE),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a provider ready to fetch. The manifest is the file's own or one that was tightened. The component itself
    /// is compiled, or read compiled from the cache, with the first fetch.
    ///
    /// # Errors
    /// If the grants do not fit the manifest, or ask for what this version does not support.
    pub fn load(&self, file: &ComponentFile, manifest: Manifest, grants: Grants) -> Result<Plugin, LoadError> {
        Plugin::new(&self.shared, file.into(), manifest, grants, None)
    }

    /// As [`PluginHost::load`], for a provider out of a package. Its compiled code is checked and mapped with the first
    /// fetch; nothing is compiled.
    ///
    /// # Errors
    /// As [`PluginHost::load`].
    pub fn load_packaged(
        &self,
        packaged: &PackagedProvider,
        manifest: Manifest,
        grants: Grants,
    ) -> Result<Plugin, LoadError> {
        let source = ComponentSource::Packaged(packaged.artifact.clone());
        Plugin::new(&self.shared, source, manifest, grants, None)
    }

    /// Makes a provider ready to fetch in a test environment, for tests of providers only: its requests go to a server
    /// on loopback, and no address is checked. Everything else is as with [`PluginHost::load`].
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
        Plugin::new(&self.shared, file.into(), manifest, grants, Some(environment))
    }

    /// Whether there is room for a pool of as many instances as may be in flight; without one, all share the pool for
    /// interpreters.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.shared.components.has_narrow_pool()
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("is_pooled", &self.is_pooled()).finish_non_exhaustive()
    }
}
