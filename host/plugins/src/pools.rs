//! The pools of instances, and the choice of a pool for a component.
//!
//! Most components fit into the narrow pool. The wide pool, for interpreters, reserves a tebibyte of address space, which takes time: it is
//! made when the first component needs it.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::ProviderPre;
use crate::compiled::Compiled;
use crate::engine::{CodeSettings, PooledEngine};
use crate::host_functions;
use crate::store_data::StoreData;
use crate::wasi;

/// Both pools, and room for the instances in them.
pub(crate) struct Pools {
    settings: CodeSettings,
    /// The most instances at a time, in both pools together.
    most_instances: u32,
    permits: Arc<Semaphore>,
    /// None where this machine has no room for the pool.
    narrow: Option<Pool>,
    /// Made when a component first needs it, or why it could not be made.
    wide: OnceLock<Result<Pool, String>>,
}

/// A pool, ready to be used.
struct Pool {
    engine: Engine,
    linker: Linker<StoreData>,
    permits: Semaphore,
}

/// Room for one instance, until it is dropped.
pub(crate) struct InstancePermit<'a> {
    _permit: SemaphorePermit<'a>,
    _pool_permit: SemaphorePermit<'a>,
}

impl Pool {
    fn new(pooled: PooledEngine) -> wasmtime::Result<Self> {
        let PooledEngine { engine, instances } = pooled;
        let mut linker = Linker::new(&engine);
        host_functions::add_to_linker(&mut linker)?;
        Ok(Self { engine, linker, permits: Semaphore::new(instances as usize) })
    }

    /// Loads a component into the pool's engine and resolves its imports.
    fn prepare(&self, code: &Compiled) -> wasmtime::Result<ProviderPre<StoreData>> {
        let component = code.load(&self.engine)?;
        self.link(&component)
    }

    fn link(&self, component: &Component) -> wasmtime::Result<ProviderPre<StoreData>> {
        let without_sockets = wasi::without_sockets(&self.linker, component)?;
        ProviderPre::new(without_sockets.as_ref().unwrap_or(&self.linker).instantiate_pre(component)?)
    }
}

impl Pools {
    /// Makes the narrow pool, with room for so many instances at a time. If this machine has no room for it, makes the wide one at once.
    pub(crate) fn new(settings: CodeSettings, most_instances: u32) -> Result<Self, String> {
        let narrow = PooledEngine::narrow(&settings, most_instances);
        let narrow = narrow.inspect_err(|error| {
            tracing::warn!(%error, most_instances, "not enough address space for the narrow instance pool; all providers share the wide pool, which has fewer instances");
        });
        let pools = Self {
            narrow: narrow.ok().map(Pool::new).transpose().map_err(describe_error)?,
            wide: OnceLock::new(),
            permits: Arc::new(Semaphore::new(most_instances as usize)),
            settings,
            most_instances,
        };
        if pools.narrow.is_none() {
            pools.wide()?;
        }
        Ok(pools)
    }

    /// How components are compiled for the pools.
    pub(crate) fn settings(&self) -> &CodeSettings {
        &self.settings
    }

    /// Whether there was room for the narrow pool.
    pub(crate) fn has_narrow(&self) -> bool {
        self.narrow.is_some()
    }

    /// The wide pool. Making it the first time is slow.
    fn wide(&self) -> Result<&Pool, String> {
        let make =
            || PooledEngine::wide(&self.settings, self.most_instances).and_then(Pool::new).map_err(describe_error);
        self.wide.get_or_init(make).as_ref().map_err(String::clone)
    }

    /// Loads a component into the pool that it fits into, and resolves its imports. Blocks.
    pub(crate) fn prepare(&self, name: &str, code: &Compiled) -> Result<ProviderPre<StoreData>, String> {
        match self.narrow.as_ref().map(|narrow| narrow.prepare(code)) {
            Some(Ok(prepared)) => return Ok(prepared),
            // Usual for interpreted languages; an operator cannot change it.
            Some(Err(error)) => tracing::debug!(
                provider = name, error = %format!("{error:#}"),
                "the component does not fit into the narrow pool; its instances come from the wide pool"
            ),
            None => {}
        }
        let wide = self.wide().map_err(|error| format!("the wide instance pool cannot be created: {error}"))?;
        wide.prepare(code).map_err(|error| format!("the component cannot run here: {error:#}"))
    }

    /// Waits for room for one instance of a component, in the pool that it was loaded into. None: the host has ended.
    pub(crate) async fn acquire_instance(&self, component: &ProviderPre<StoreData>) -> Option<InstancePermit<'_>> {
        let made = self.wide.get().and_then(|wide| wide.as_ref().ok());
        let pool = self.narrow.iter().chain(made).find(|pool| Engine::same(component.engine(), &pool.engine))?;
        Some(InstancePermit {
            _permit: self.permits.acquire().await.ok()?,
            _pool_permit: pool.permits.acquire().await.ok()?,
        })
    }
}

fn describe_error(error: impl Display) -> String {
    format!("{error:#}")
}
