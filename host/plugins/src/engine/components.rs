//! The components of a host: each is compiled, or read compiled, when it is first needed, and shared by the plugins
//! that have it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tokio::sync::Mutex as AsyncMutex;

use super::artifacts::Artifacts;
use super::compiled::{CachedCode, Compiled, ComponentSource};
#[cfg(feature = "compile")]
use super::compiler::Compiler;
use super::pools::{InstancePermit, Pools};
use crate::bindings::ProviderPre;
use crate::instance::StoreData;
use crate::lock::lock;

/// The components of all plugins of a host, the pools of their instances, and the cache of their compiled code.
pub(crate) struct ComponentStore {
    pools: Pools,
    artifacts: Option<Artifacts>,
    settings_key: String,
    #[cfg(feature = "compile")]
    compiler: Compiler,
    /// By the digest of what is prepared: plugins with the same component share it.
    components: Mutex<HashMap<String, Weak<LazyComponent>>>,
}

/// A component that is compiled, or read compiled, when it is first needed.
pub(crate) struct LazyComponent {
    name: String,
    source: ComponentSource,
    prepared: OnceLock<Result<ProviderPre<StoreData>, String>>,
    /// Held by the fetch that prepares the component, so that the others wait without a thread each.
    preparing: AsyncMutex<()>,
}

impl ComponentStore {
    /// An empty store. `artifacts` is the cache of compiled code, if there is one.
    pub(crate) fn new(pools: Pools, artifacts: Option<Artifacts>) -> Self {
        Self {
            artifacts,
            settings_key: pools.settings().key(),
            pools,
            #[cfg(feature = "compile")]
            compiler: Compiler::default(),
            components: Mutex::default(),
        }
    }

    /// The same store with this compiler for components that are not in the cache.
    #[cfg(feature = "compile")]
    pub(crate) fn with_compiler(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// Whether guests' instructions are counted.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.pools.settings().counts_instructions()
    }

    /// Whether there was room for the narrow pool.
    pub(crate) fn has_narrow_pool(&self) -> bool {
        self.pools.has_narrow()
    }

    /// Waits for room for one instance of a component. None: the host has ended.
    pub(crate) async fn acquire_instance(&self, component: &ProviderPre<StoreData>) -> Option<InstancePermit<'_>> {
        self.pools.acquire_instance(component).await
    }

    /// A component to be prepared; plugins with the same component share it. Packaged code is shared only with the same
    /// code in the same file, whose digest is then compared once.
    pub(crate) fn add(&self, name: &str, source: ComponentSource) -> Arc<LazyComponent> {
        let key = match &source {
            ComponentSource::Component { digest, .. } => digest.clone(),
            ComponentSource::Packaged(artifact) => artifact.sharing_key(),
        };
        let make = || LazyComponent {
            name: name.to_owned(),
            source,
            prepared: OnceLock::new(),
            preparing: AsyncMutex::new(()),
        };
        self.shared_component(key, make)
    }

    /// The component of this key, of another plugin that has it or a new one.
    fn shared_component(&self, key: String, make: impl FnOnce() -> LazyComponent) -> Arc<LazyComponent> {
        let mut components = lock(&self.components);
        components.retain(|_, component| component.strong_count() > 0);
        if let Some(known) = components.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(make());
        components.insert(key, Arc::downgrade(&made));
        made
    }

    /// Makes a component ready to be instantiated: compiled now, read compiled, or mapped from a package; its imports
    /// resolved. It blocks: call it on a thread that may block.
    fn prepare(&self, name: &str, source: &ComponentSource) -> Result<ProviderPre<StoreData>, String> {
        let code = match source {
            ComponentSource::Component { digest, bytes, .. } => self.code(name, digest, bytes)?,
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

impl LazyComponent {
    /// The digest of the component, compiled or not.
    pub(crate) fn digest(&self) -> &str {
        self.source.digest()
    }

    /// The component, ready to be instantiated, or why it cannot be prepared.
    pub(crate) async fn get_or_prepare(
        self: &Arc<Self>,
        store: &Arc<ComponentStore>,
    ) -> Result<&ProviderPre<StoreData>, String> {
        if self.prepared.get().is_none() {
            let _preparing = self.preparing.lock().await;
            let (this, store) = (Arc::clone(self), Arc::clone(store));
            // It continues for the next fetch if the waiting one ends.
            let work = move || {
                this.prepared.get_or_init(|| store.prepare(&this.name, &this.source));
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| "the component's compilation panicked".to_owned())?;
        }
        match self.prepared.get() {
            Some(Ok(prepared)) => Ok(prepared),
            Some(Err(why)) => Err(why.clone()),
            None => Err("the component was not prepared".to_owned()),
        }
    }
}
