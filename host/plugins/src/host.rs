//! The plugin host: one engine for all providers. It turns a provider's file, its manifest and its grants into a plugin.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use damper_core::manifest::Manifest;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::artifacts::{Artifacts, Found};
use crate::bindings::ProviderPre;
use crate::component_file::ComponentFile;
use crate::credentials::CredentialError;
use crate::engine::{CodeSettings, Engines};
use crate::grants::{Grants, OriginError};
use crate::http_client::ProxyError;
use crate::plugin::Plugin;
use crate::rehearsal::Rehearsal;
use crate::resolver::{Resolver, SystemResolver};
use crate::state::{self, State};

/// How a plugin host is set up.
#[derive(Clone)]
pub struct HostOptions {
    /// Where compiled components are kept; none: nowhere, and each start compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// The most fetches at a time, over all providers. A fetch beyond it waits for another to end.
    pub max_in_flight: u32,
    /// Who looks host names up.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { cache_dir: None, max_in_flight: 256, resolver: Arc::new(SystemResolver) }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache_dir, max_in_flight, .. } = self;
        f.debug_struct("HostOptions")
            .field("cache_dir", cache_dir)
            .field("max_in_flight", max_in_flight)
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
    #[error("cannot keep compiled components in {folder}: {source}")]
    CacheDir {
        /// The folder.
        folder: String,
        /// Why not.
        source: std::io::Error,
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
        "{provider} has no setting {key:?}: take it out of [providers.{provider}.config], or correct it; it has {known}"
    )]
    ConfigUnknown {
        /// The provider.
        provider: String,
        /// The key.
        key: String,
        /// The keys there are.
        known: String,
    },
    /// The secrets cannot be scrubbed from texts.
    #[error("the secrets of {0} are too many or too long to be kept out of the logs")]
    Secrets(String),
}

/// Runs providers: one engine, its instances' pool, and the store of compiled components.
pub struct PluginHost {
    inner: Arc<Inner>,
}

/// What plugins share of their host.
pub(crate) struct Inner {
    engines: Engines,
    pooled_linker: Option<Linker<State>>,
    linker: Linker<State>,
    artifacts: Option<Artifacts>,
    settings_key: String,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Room for fetches, which is the pool's.
    pub(crate) room: Arc<Semaphore>,
}

impl PluginHost {
    /// Sets the engine up.
    ///
    /// # Errors
    /// Where this machine cannot run components, or the folder for compiled ones cannot be used.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        Self::with(options, |settings| settings)
    }

    /// Sets up an engine whose guests' instructions are counted ([`Usage`](crate::Usage)). That is other code than what
    /// [`PluginHost::new`] runs, and slower: it is for measuring alone.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn metered(options: HostOptions) -> Result<Self, HostError> {
        Self::with(options, CodeSettings::metered)
    }

    fn with(options: HostOptions, adjust: impl FnOnce(CodeSettings) -> CodeSettings) -> Result<Self, HostError> {
        let engine_error = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let settings = CodeSettings::host()
            .ok_or(HostError::Unsupported { arch: std::env::consts::ARCH, os: std::env::consts::OS })?;
        let instances = options.max_in_flight.max(1);
        let engines = Engines::new(adjust(settings), instances).map_err(engine_error)?;
        let artifacts = options.cache_dir.map(|folder| {
            let shown = folder.display().to_string();
            Artifacts::open(folder).map_err(|source| HostError::CacheDir { folder: shown, source })
        });
        let pooled_linker = engines.pooled.as_ref().map(linker).transpose().map_err(engine_error)?;
        let inner = Inner {
            pooled_linker,
            linker: linker(&engines.on_demand).map_err(engine_error)?,
            artifacts: artifacts.transpose()?,
            settings_key: engines.settings.key(),
            engines,
            resolver: options.resolver,
            room: Arc::new(Semaphore::new(instances as usize)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a provider ready to fetch. The manifest is the file's own or one that was tightened. The component itself is
    /// compiled, or read compiled from the cache, with the first fetch.
    ///
    /// # Errors
    /// Where the grants do not fit the manifest, or ask for what this version does not support.
    pub fn load(&self, file: &ComponentFile, manifest: Manifest, grants: Grants) -> Result<Plugin, LoadError> {
        Plugin::new(Arc::clone(&self.inner), file, manifest, grants, None)
    }

    /// Makes a provider ready to fetch from the world of a test, for tests of providers and for nothing else: its requests go
    /// to a server on loopback, and no address is checked. Everything else is as with [`PluginHost::load`].
    ///
    /// # Errors
    /// As [`PluginHost::load`].
    pub fn rehearse(
        &self,
        file: &ComponentFile,
        manifest: Manifest,
        grants: Grants,
        world: Rehearsal,
    ) -> Result<Plugin, LoadError> {
        Plugin::new(Arc::clone(&self.inner), file, manifest, grants, Some(world))
    }

    /// Whether instances come from a pool; without one each is made anew, which is slower.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.inner.engines.pooled.is_some()
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("is_pooled", &self.is_pooled()).finish_non_exhaustive()
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    state::add_to_linker(&mut linker)?;
    Ok(linker)
}

impl Inner {
    /// Whether guests' instructions are counted.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.engines.settings.counts_instructions()
    }

    /// Compiles a component, or reads it compiled, and resolves its imports. Takes its time: call it where blocking is allowed.
    pub(crate) fn prepare(&self, name: &str, digest: &str, bytes: &[u8]) -> Result<ProviderPre<State>, String> {
        let code = self.code(name, digest, bytes)?;
        let pooled = self.engines.pooled.as_ref().zip(self.pooled_linker.as_ref());
        if let Some((engine, linker)) = pooled {
            match load_compiled(engine, &code).and_then(|component| link(linker, &component)) {
                Ok(ready) => return Ok(ready),
                Err(error) => tracing::warn!(
                    provider = name, error = %format!("{error:#}"),
                    "the component does not fit into the pool of instances; each is made on demand, which is slower"
                ),
            }
        }
        load_compiled(&self.engines.on_demand, &code)
            .and_then(|component| link(&self.linker, &component))
            .map_err(|error| format!("the component cannot run here: {error:#}"))
    }

    /// The component's compiled code.
    fn code(&self, name: &str, digest: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let Some(artifacts) = &self.artifacts else { return compile(&self.engines.on_demand, bytes) };
        let path = artifacts.path(digest, &self.settings_key);
        match Artifacts::read(&path) {
            Found::Whole(code) => return Ok(code),
            Found::Damaged(problem) => tracing::warn!(
                provider = name, file = %path.display(), problem, "a compiled component is damaged; it is compiled again"
            ),
            Found::Nothing => {}
        }
        let code = compile(&self.engines.on_demand, bytes)?;
        if let Err(error) = artifacts.write(&path, &code) {
            tracing::warn!(provider = name, file = %path.display(), %error, "a compiled component cannot be kept");
        }
        Ok(code)
    }
}

fn link(linker: &Linker<State>, component: &Component) -> wasmtime::Result<ProviderPre<State>> {
    ProviderPre::new(linker.instantiate_pre(component)?)
}

#[cfg(feature = "compile")]
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(bytes).map_err(|error| format!("the component does not compile: {error:#}"))
}

#[cfg(not(feature = "compile"))]
fn compile(_engine: &Engine, _bytes: &[u8]) -> Result<Vec<u8>, String> {
    Err("the component is not compiled for this program, and this program holds no compiler: compile it when packaging"
        .to_owned())
}

/// Loads compiled code: the one place where Damper trusts bytes.
///
/// What is loaded is machine code that runs with the program's own rights, outside of any sandbox. The engine checks that it
/// was compiled by the same release with the same settings, not that it is harmless. It must therefore be code that this
/// program compiled just now, or that comes from a folder which only its owner can write to and whose file still has the
/// digest it was written with: what [`Inner::code`] returns, and nothing else.
#[allow(unsafe_code, reason = "the engine offers no other way to load compiled code")]
fn load_compiled(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was made by `precompile_component`, in this process or in an earlier one that kept it in a folder closed
    // to others and verified by its digest; see above.
    unsafe { Component::deserialize(engine, code) }
}
